import { useMemo, useState } from 'preact/hooks';
import type { Target, TargetsAnswer } from '../api/answers';
import { isAgent, pageUrl } from '../base';
import { parseDuration, spokenDuration } from '../format/duration';
import { seriesSelector } from '../format/labels';
import { formatCount, formatValue } from '../format/number';
import { targetKey } from '../format/relabel';
import { bothTimes } from '../format/time';
import { LabelSet } from '../parts/labels';
import { Failure, FilterBox, matchesWords, Page, Segmented } from '../parts/page';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';
import '../style/targets.css';

type Health = 'all' | 'up' | 'down' | 'unknown';

const REFRESH_MS = 10_000;
/** Targets of one pool that are shown before asking for the rest. */
const SHOWN = 200;

function textOf(target: Target): string {
  return [target.scrapePool, target.scrapeUrl, seriesSelector(target.labels), target.lastError].join(' ');
}

/** `up{…}` with exactly the target's own labels. */
function upQuery(labels: Target['labels']): string {
  const params = new URLSearchParams({ 'g0.expr': seriesSelector({ __name__: 'up', ...labels }), 'g0.tab': 'graph' });
  return `${pageUrl('query')}?${params}`;
}

/** The page that shows rule by rule how a target came about. */
function stepsOf({ scrapePool, discoveredLabels }: Target): string {
  const params = new URLSearchParams({
    filter: discoveredLabels.__address__ ?? '',
    open: targetKey(scrapePool, discoveredLabels),
  });
  return `${pageUrl('service-discovery')}?${params}`;
}

function ScrapeTimes({ target, now }: { target: Target; now: number }) {
  const last = Date.parse(target.lastScrape);
  const interval = parseDuration(target.scrapeInterval) ?? 0;
  const never = !(last > 0);
  const next = last + interval - now;
  return (
    <dl class="facts-list numeric">
      <div>
        <dt>Last</dt>
        <dd title={never ? undefined : bothTimes(last)}>{never ? 'not yet' : `${spokenDuration(now - last)} ago`}</dd>
      </div>
      <div>
        <dt>Took</dt>
        <dd>{never ? '–' : formatValue(target.lastScrapeDuration, 'seconds')}</dd>
      </div>
      <div>
        <dt>Next</dt>
        <dd title={`every ${target.scrapeInterval}, given up after ${target.scrapeTimeout}`}>
          {never || !interval ? 'soon' : next > 0 ? `in ${spokenDuration(next)}` : 'due'}
        </dd>
      </div>
    </dl>
  );
}

function TargetRow({ target, now }: { target: Target; now: number }) {
  return (
    <li class={`target ${target.health}`}>
      <div class="target-head">
        <span class={`state ${target.health}`}>{target.health}</span>
        <a href={target.globalUrl || target.scrapeUrl} target="_blank" rel="noopener noreferrer" class="target-url">
          {target.scrapeUrl}
        </a>
        <ScrapeTimes target={target} now={now} />
      </div>
      <div class="target-labels">
        <LabelSet labels={target.labels} />
        {!isAgent && <a href={upQuery(target.labels)}>graph of up</a>}{' '}
        <a href={stepsOf(target)}>how it was relabelled</a>
      </div>
      {target.lastError && <pre class="target-error">{target.lastError}</pre>}
    </li>
  );
}

function Pool(props: {
  name: string;
  targets: Target[];
  shown: Target[];
  now: number;
  open: boolean;
  onToggle: () => void;
}) {
  const up = props.targets.filter((target) => target.health === 'up').length;
  const [all, setAll] = useState(false);
  const rows = all ? props.shown : props.shown.slice(0, SHOWN);
  return (
    <section class="pool">
      <h2>
        <button type="button" class="pool-head" aria-expanded={props.open} onClick={props.onToggle}>
          <span class="fold" aria-hidden="true">
            {props.open ? '▾' : '▸'}
          </span>
          {props.name}
          <span class={up === props.targets.length ? 'pool-count' : 'pool-count bad-text'}>
            {formatCount(up)} of {formatCount(props.targets.length)} up
          </span>
        </button>
      </h2>
      {props.open && (
        <ul class="target-list">
          {rows.map((target) => (
            <TargetRow key={target.scrapeUrl + seriesSelector(target.labels)} target={target} now={props.now} />
          ))}
          {rows.length < props.shown.length && (
            <li>
              <button type="button" onClick={() => setAll(true)}>
                Show all {formatCount(props.shown.length)}
              </button>
            </li>
          )}
        </ul>
      )}
    </section>
  );
}

export default function TargetsPage() {
  const { data, error, loading, at } = useApi<TargetsAnswer>('targets', { state: 'active' }, REFRESH_MS);
  const [filter, setFilter] = useParam('filter');
  const [health, setHealth] = useParam('health', 'all');
  const [closed, setClosed] = useParam('closed');
  const folded = useMemo(() => new Set(closed.split(',').filter(Boolean)), [closed]);
  const pools = useMemo(() => {
    const byPool = new Map<string, Target[]>();
    for (const target of data?.activeTargets ?? []) {
      const pool = byPool.get(target.scrapePool);
      if (pool) pool.push(target);
      else byPool.set(target.scrapePool, [target]);
    }
    return [...byPool].sort(([a], [b]) => (a < b ? -1 : 1));
  }, [data]);
  const all = data?.activeTargets ?? [];
  const count = (state: Health) =>
    state === 'all' ? all.length : all.filter((target) => target.health === state).length;
  const shownPools = pools
    .map(([name, targets]) => ({
      name,
      targets,
      shown: targets.filter(
        (target) => (health === 'all' || target.health === health) && (!filter || matchesWords(textOf(target), filter)),
      ),
    }))
    .filter(({ shown }) => shown.length > 0);
  const toggle = (name: string) => {
    const next = new Set(folded);
    if (!next.delete(name)) next.add(name);
    setClosed([...next].join(','));
  };
  const option = (state: Health): [Health, string] => [state, `${state} ${formatCount(count(state))}`];

  return (
    <Page
      title="Targets"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Filter targets" />
          <Segmented<Health>
            label="Health"
            value={health as Health}
            options={[option('all'), option('up'), option('down'), option('unknown')]}
            onChange={setHealth}
          />
          {pools.length > 1 && (
            <button
              type="button"
              onClick={() => setClosed(folded.size === pools.length ? '' : pools.map(([name]) => name).join(','))}
            >
              {folded.size === pools.length ? 'Open all' : 'Fold all'}
            </button>
          )}
        </>
      }
    >
      {error && <Failure error={error} what="Targets" />}
      {data && all.length === 0 && (
        <p class="note">
          No target is scraped. See the <a href={pageUrl('config')}>configuration</a> and what{' '}
          <a href={pageUrl('service-discovery')}>service discovery</a> found.
        </p>
      )}
      {all.length > 0 && shownPools.length === 0 && (
        <p class="note">No target matches. Clear the filter or choose another health.</p>
      )}
      {shownPools.map(({ name, targets, shown }) => (
        <Pool
          key={name}
          name={name}
          targets={targets}
          shown={shown}
          now={at}
          open={!folded.has(name)}
          onToggle={() => toggle(name)}
        />
      ))}
    </Page>
  );
}
