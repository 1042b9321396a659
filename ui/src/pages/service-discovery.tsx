import { useMemo, useState } from 'preact/hooks';
import type { Labels, RelabelStep, TargetsAnswer } from '../api/answers';
import { seriesSelector } from '../format/labels';
import { formatCount } from '../format/number';
import { LabelSet } from '../parts/labels';
import { Failure, FilterBox, matchesWords, Page, Segmented } from '../parts/page';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';
import '../style/targets.css';

type Fate = 'all' | 'kept' | 'dropped';

interface Found {
  pool: string;
  discovered: Labels;
  /** Labels of the target; undefined when relabelling dropped it. */
  labels?: Labels;
}

const SHOWN = 100;

function foundIn(data: TargetsAnswer): Found[] {
  const kept = (data.activeTargets ?? []).map(
    ({ scrapePool, discoveredLabels, labels }): Found => ({ pool: scrapePool, discovered: discoveredLabels, labels }),
  );
  const dropped = (data.droppedTargets ?? []).map(
    ({ scrapePool, discoveredLabels }): Found => ({
      pool: scrapePool ?? discoveredLabels.job ?? '',
      discovered: discoveredLabels,
    }),
  );
  return [...kept, ...dropped];
}

function ruleText(rule: Record<string, unknown>): string {
  return Object.entries(rule)
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? `[${value.join(', ')}]` : String(value)}`)
    .join('   ');
}

/** The labels that a step added or changed, and those it removed. */
function changeOf(before: Labels, after: Labels): { set: Labels; removed: string[] } {
  return {
    set: Object.fromEntries(Object.entries(after).filter(([name, value]) => before[name] !== value)),
    removed: Object.keys(before).filter((name) => !(name in after)),
  };
}

/** Rule by rule, what relabelling made of a discovered target. */
function RelabelSteps({ found }: { found: Found }) {
  const { data, error, loading } = useApi<{ steps: RelabelStep[] | null }>('targets/relabel_steps', {
    scrapePool: found.pool,
    labels: JSON.stringify(found.discovered),
  });
  if (loading && !data) return <p class="muted">Loading the steps…</p>;
  if (error) return <Failure error={error} what="Relabelling steps" />;
  const steps = data?.steps ?? [];
  if (steps.length === 0) return <p class="muted">This pool has no relabelling rules.</p>;
  return (
    <ol class="relabel-steps">
      {steps.map((step, i) => {
        const { set, removed } = changeOf(steps[i - 1]?.output ?? found.discovered, step.output ?? {});
        return (
          <li key={i}>
            <code>{ruleText(step.rule)}</code>
            <div>
              {!step.keep && <span class="state down">dropped here</span>}
              {step.keep && Object.keys(set).length === 0 && removed.length === 0 && (
                <span class="muted">changed nothing</span>
              )}
              {step.keep && Object.keys(set).length > 0 && (
                <>
                  <span class="muted">set </span>
                  <LabelSet labels={set} />
                </>
              )}
              {step.keep && removed.length > 0 && <span class="muted"> removed {removed.join(', ')}</span>}
            </div>
          </li>
        );
      })}
    </ol>
  );
}

function FoundRow({ found }: { found: Found }) {
  const [open, setOpen] = useState(false);
  return (
    <tr class={found.labels ? '' : 'dropped'}>
      <td>
        <LabelSet labels={found.discovered} />
        <button type="button" class="quiet link" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? 'Hide the steps' : found.labels ? 'How it was relabelled' : 'Why it was dropped'}
        </button>
        {open && <RelabelSteps found={found} />}
      </td>
      <td>{found.labels ? <LabelSet labels={found.labels} /> : <span class="state unknown">dropped</span>}</td>
    </tr>
  );
}

function Pool({ name, found, dropped, missing }: { name: string; found: Found[]; dropped: number; missing: number }) {
  const [all, setAll] = useState(false);
  const rows = all ? found : found.slice(0, SHOWN);
  return (
    <section class="pool">
      <h2 class="pool-title">
        {name}{' '}
        <span class="pool-count">
          {formatCount(found.length)} shown, {formatCount(dropped)} dropped
        </span>
      </h2>
      <div class="table-scroll flow">
        <table class="discovery">
          <thead>
            <tr>
              <th scope="col">Discovered labels</th>
              <th scope="col">Target labels</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((one) => (
              <FoundRow
                key={seriesSelector(one.discovered) + (one.labels ? seriesSelector(one.labels) : '')}
                found={one}
              />
            ))}
          </tbody>
        </table>
      </div>
      {rows.length < found.length && (
        <button type="button" onClick={() => setAll(true)}>
          Show all {formatCount(found.length)}
        </button>
      )}
      {missing > 0 && (
        <p class="muted">{formatCount(missing)} more were dropped; the server does not keep their labels.</p>
      )}
    </section>
  );
}

export default function ServiceDiscoveryPage() {
  const { data, error, loading } = useApi<TargetsAnswer>('targets', { state: 'any' });
  const [filter, setFilter] = useParam('filter');
  const [fate, setFate] = useParam('show', 'all');
  const all = useMemo(() => (data ? foundIn(data) : []), [data]);
  const shown = all.filter(
    (one) =>
      (fate === 'all' || (fate === 'kept') === (one.labels !== undefined)) &&
      (!filter ||
        matchesWords(
          [one.pool, seriesSelector(one.discovered), one.labels ? seriesSelector(one.labels) : 'dropped'].join(' '),
          filter,
        )),
  );
  const dropped = data?.droppedTargetCounts ?? {};
  const pools = [...new Set([...all.map(({ pool }) => pool), ...Object.keys(dropped)])].sort();
  return (
    <Page
      title="Service discovery"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Filter by labels" />
          <Segmented<Fate>
            label="Show"
            value={fate as Fate}
            options={[
              ['all', 'all'],
              ['kept', 'kept'],
              ['dropped', 'dropped'],
            ]}
            onChange={setFate}
          />
        </>
      }
    >
      {error && <Failure error={error} what="Discovered targets" />}
      {data && all.length === 0 && <p class="note">Nothing was discovered.</p>}
      {all.length > 0 && shown.length === 0 && <p class="note">Nothing matches. Clear the filter.</p>}
      {pools.map((pool) => {
        const found = shown.filter((one) => one.pool === pool);
        if (found.length === 0) return null;
        const known = all.filter((one) => one.pool === pool && !one.labels).length;
        const count = dropped[pool] ?? known;
        return <Pool key={pool} name={pool} found={found} dropped={count} missing={count - known} />;
      })}
    </Page>
  );
}
