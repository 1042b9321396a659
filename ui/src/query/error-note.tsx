import { useEffect, useRef } from 'preact/hooks';
import type { ApiError } from '../api/error';
import { parseErrorOf } from './parse-error';

const HINTS: [RegExp, string][] = [
  [/unclosed left parenthesis/, 'Add the missing ) at the end.'],
  [/unknown function with name/, 'Press Ctrl Space in the editor for the functions that exist.'],
  [
    /expected type range vector/,
    'This function needs a range: put a duration in brackets after the selector, e.g. [5m].',
  ],
  [
    /expected type instant vector.*range vector|ranges only allowed for vector selectors/,
    'Leave out the range in brackets here, or wrap it in a function such as rate().',
  ],
  [
    /invalid expression type "range vector" for range query/,
    'A graph needs one value at a time: wrap the range in rate() or an ..._over_time() function, or look at the table.',
  ],
  [/must contain at least one non-empty matcher/, 'Name a metric, or a label with a value.'],
  [
    /found duplicate series|many-to-many matching|multiple matches for labels/,
    'Several series on one side have the same labels: compare fewer labels with on(...) or sum them first.',
  ],
  [
    /query processing would load too many samples|exceeded maximum resolution/,
    'Take a shorter time range, a larger step, or fewer series.',
  ],
  [/timed out|timeout/, 'Take a shorter time range or fewer series, or put a recording rule in front.'],
];

/** The line with a caret below the character; on a narrow screen scrolled to it. */
function ErrorPlace({ line, column }: { line: string; column: number }) {
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    if (box.current) box.current.scrollLeft = (box.current.scrollWidth * column) / Math.max(1, line.length) - 120;
  }, [line, column]);
  return (
    <pre class="error-place" ref={box}>
      {line}
      {'\n'}
      <span class="caret">{`${' '.repeat(column)}^`}</span>
    </pre>
  );
}

/** Why a query failed, under the character that caused it. */
export function ErrorNote({ error, expr, onPick }: { error: ApiError; expr: string; onPick: (expr: string) => void }) {
  if (error.type === 'canceled') return <p class="note">{error.message}</p>;
  const place = parseErrorOf(error.message, expr);
  const hint = HINTS.find(([pattern]) => pattern.test(error.message))?.[1];
  const unclosed = /unclosed left parenthesis/.test(error.message);
  const missing = unclosed ? Math.max(1, expr.split('(').length - expr.split(')').length) : 0;
  return (
    <div class="note bad" role="alert">
      {place ? (
        <>
          <ErrorPlace line={expr.split('\n')[place.line] ?? ''} column={place.column} />
          <p>
            <strong>
              Line {place.line + 1}, character {place.column + 1}:
            </strong>{' '}
            {place.message}
          </p>
        </>
      ) : (
        <p>
          <strong>{error.type.replaceAll('_', ' ')}:</strong> {error.message}
        </p>
      )}
      {hint && <p>{hint}</p>}
      {unclosed && (
        <button type="button" onClick={() => onPick(expr.trimEnd() + ')'.repeat(missing))}>
          Close it and run
        </button>
      )}
    </div>
  );
}
