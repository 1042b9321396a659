import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { pageUrl } from '../base';
import { PAGES } from './pages';

export const keysShown = signal(false);

/** How long `g` waits for its second key. */
const SEQUENCE_MS = 1500;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable="true"]') !== null;
}

/** Moves the focus to the page's search: the filter, or the editor of the query page. */
export function focusSearch(): boolean {
  const search = document.querySelector<HTMLElement>('[data-search]');
  const field = search?.matches('input, textarea')
    ? search
    : search?.querySelector<HTMLElement>('textarea, [contenteditable="true"]');
  field?.focus();
  if (field instanceof HTMLInputElement) field.select();
  return field !== null && field !== undefined;
}

/** Until when the key after `g` is taken as a page's; outlives the change of page that re-installs the listener. */
let sequenceEnds = 0;

export function useGlobalKeys(): void {
  const { route } = useLocation();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target)) {
        if (event.key === 'Escape') (event.target as HTMLElement).blur();
        return;
      }
      if (sequenceEnds > Date.now()) {
        sequenceEnds = 0;
        const page = PAGES.find((one) => one.key === event.key);
        if (page) {
          event.preventDefault();
          route(pageUrl(page.path));
        }
        return;
      }
      if (event.key === 'g') sequenceEnds = Date.now() + SEQUENCE_MS;
      else if (event.key === '?') keysShown.value = true;
      else if (event.key === '/' && focusSearch()) event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [route]);
}
