import { useEffect, useRef } from 'preact/hooks';
import { isAgent } from '../base';
import { keysShown } from './keys';
import { PAGES } from './pages';

const ANYWHERE: [string, string][] = [
  ['/', 'Search: the filter, or the query'],
  ['Esc', 'Leave a field, close a dialogue'],
  ['?', 'This list'],
];
const QUERY: [string, string][] = [
  ['Enter', 'Run'],
  ['Shift Enter', 'New line'],
  ['Ctrl Space', 'Complete'],
];
const GRAPH: [string, string][] = [
  ['Drag', 'Zoom in'],
  ['Shift drag', 'Move in time'],
  ['Double-click', 'Back to the time before'],
  ['Click on a series', 'Only this one; again: all'],
  ['Ctrl click', 'Add or remove one'],
];

function KeyTable({ title, rows }: { title: string; rows: [string, string][] }) {
  return (
    <section>
      <h3>{title}</h3>
      <dl class="keys">
        {rows.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((key, i) => (
                <kbd key={i}>{key}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

export function KeysHelp() {
  const dialog = useRef<HTMLDialogElement>(null);
  const shown = keysShown.value;
  useEffect(() => {
    if (shown) dialog.current?.showModal();
    else dialog.current?.close();
  }, [shown]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the browser closes a dialog on Escape
    <dialog
      ref={dialog}
      aria-label="Keys"
      onClose={() => (keysShown.value = false)}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <div class="dialog-body">
        <div class="row spread">
          <h2>Keys</h2>
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </div>
        <div class="key-columns">
          <KeyTable title="Anywhere" rows={ANYWHERE} />
          <KeyTable title="Go to" rows={PAGES.map((page) => [`g ${page.key}`, page.title])} />
          {!isAgent && <KeyTable title="Query" rows={QUERY} />}
          {!isAgent && <KeyTable title="Graph" rows={GRAPH} />}
        </div>
      </div>
    </dialog>
  );
}
