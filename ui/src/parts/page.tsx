import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api/error';
import { isAgent, pageUrl } from '../base';
import { spokenDuration } from '../format/duration';

/** What stands at the top of a page: its title, its filters, and a thin line while something loads. */
export function Page(props: {
  title: string;
  loading?: boolean;
  tools?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <div class="page">
      <Progress active={props.loading ?? false} />
      <div class="page-head">
        <h1>{props.title}</h1>
        {props.tools}
      </div>
      {props.children}
    </div>
  );
}

export function Progress({ active }: { active: boolean }) {
  return (
    <div class={active ? 'progress active' : 'progress'} role="status" aria-label={active ? 'Loading' : undefined} />
  );
}

/** Why a page has nothing to show. */
export function Failure({ error, what }: { error: ApiError; what: string }) {
  if (error.status === 404) {
    return (
      <div class="note">
        <p>
          <strong>{what} are not available here yet.</strong> This server has no such endpoint; it comes with a later
          version.
        </p>
        <p>
          {!isAgent && (
            <>
              <a href={pageUrl('query')}>Ask a question</a> or look{' '}
            </>
          )}
          {isAgent && 'Look '}
          at the <a href={pageUrl('targets')}>targets</a> meanwhile.
        </p>
      </div>
    );
  }
  return (
    <div class="note bad" role="alert">
      <strong>{what} could not be loaded.</strong> {error.message}
    </div>
  );
}

/** Said beside an answer that a refresh failed to replace. */
export function NotRefreshed({ error, since }: { error: ApiError; since: number }) {
  return (
    <span class="not-refreshed" role="alert" title={error.message}>
      As of {spokenDuration(since)} ago: {error.message}
    </span>
  );
}

export function FilterBox(props: {
  value: string;
  onInput: (value: string) => void;
  label: string;
  placeholder?: string;
}) {
  return (
    <input
      type="search"
      data-search
      class="filter"
      aria-label={props.label}
      placeholder={props.placeholder ?? `${props.label}  (press /)`}
      value={props.value}
      onInput={(event) => props.onInput(event.currentTarget.value)}
      spellcheck={false}
      autocomplete="off"
    />
  );
}

/** Every word must occur somewhere in the text, whatever its case. */
export function matchesWords(text: string, filter: string): boolean {
  const lower = text.toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every((word) => lower.includes(word));
}

/** A choice of one among few, as joined buttons. */
export function Segmented<T extends string>(props: {
  label: string;
  value: T;
  options: [T, ComponentChildren][];
  onChange: (value: T) => void;
}) {
  return (
    <fieldset class="segmented" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button key={value} type="button" aria-pressed={value === props.value} onClick={() => props.onChange(value)}>
          {text}
        </button>
      ))}
    </fieldset>
  );
}
