import { useEffect, useState } from 'preact/hooks';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { formatCount } from '../format/number';
import { readHistory } from './history';
import { answerable, firstRefresh, fittingRange, type Holdings, holdings, type Starter } from './starters';

/** How often to look whether the first samples arrived, and for how long they keep arriving. */
const LOOK_AGAIN_MS = 2_000;
const NEW_MS = 60_000;

/** What the server holds; asked again while it is new. */
function useHoldings(): Holdings | 'unknown' | undefined {
  const [known, setKnown] = useState<Holdings | 'unknown'>();
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () =>
      holdings(abort.signal).then(
        (found) => {
          setKnown(found);
          const isNew = found.since !== undefined && Date.now() - found.since < NEW_MS;
          if (found.metrics.size === 0 || isNew) timer = setTimeout(look, LOOK_AGAIN_MS);
        },
        () => !abort.signal.aborted && setKnown('unknown'),
      );
    look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, []);
  return known;
}

function Greeting({ known }: { known: Holdings | 'unknown' | undefined }) {
  // The space is kept while the answer is under way, so that nothing below it moves.
  if (known === undefined || known === 'unknown') return <p class="greeting">&nbsp;</p>;
  if (known.metrics.size === 0) {
    return (
      <p class="greeting" role="status">
        Nothing was scraped in the last minutes. The first samples of a new server arrive within one scrape interval,
        and this page shows them by itself; meanwhile see the <a href={pageUrl('targets')}>targets</a>.
      </p>
    );
  }
  return (
    <p class="greeting numeric" role="status">
      <a href={pageUrl('targets')}>
        {formatCount(known.targets)} {known.targets === 1 ? 'target' : 'targets'}
      </a>
      {known.series > 0 && (
        <>
          {' · '}
          <a href={pageUrl('tsdb-status')}>{formatCount(known.series)} series</a>
        </>
      )}
      {known.since !== undefined && (
        <span class="muted"> · {spokenDuration(Math.max(1000, Date.now() - known.since))} in memory</span>
      )}
    </p>
  );
}

/** What a blank page offers: what was run before, and questions that this server can answer. */
export function Examples(props: {
  onPick: (expr: string) => void;
  onStart: (starter: Starter, range: number, refresh: number) => void;
}) {
  const recent = readHistory().slice(0, 6);
  const known = useHoldings();
  const held = known === 'unknown' ? undefined : known;
  const groups = answerable(held?.metrics.size ? held : undefined);
  return (
    <div class="welcome">
      <Greeting known={known} />
      <div class="examples">
        {recent.length > 0 && (
          <section>
            <h2>Run before</h2>
            <ul>
              {recent.map((expr) => (
                <li key={expr}>
                  <button type="button" class="example" onClick={() => props.onPick(expr)}>
                    <code>{expr}</code>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        )}
        {groups.map(({ title, starters }) => (
          <section key={title}>
            <h2>{title}</h2>
            <ul>
              {starters.map((starter) => (
                <li key={starter.expr}>
                  <button
                    type="button"
                    class="example"
                    onClick={() => {
                      const [since, now] = [held?.since, Date.now()];
                      props.onStart(starter, fittingRange(since, now), firstRefresh(since, now));
                    }}
                  >
                    <span>{starter.title}</span>
                    <code>{starter.expr}</code>
                  </button>
                </li>
              ))}
            </ul>
          </section>
        ))}
      </div>
      <p class="muted keys-hint">
        <kbd>Enter</kbd> runs, <kbd>Ctrl</kbd> <kbd>Space</kbd> completes, <kbd>?</kbd> lists all keys.
      </p>
    </div>
  );
}
