import { useMemo, useState } from 'preact/hooks';
import type { Labels, TargetsAnswer } from '../api/answers';
import { seriesSelector } from '../format/labels';
import { formatCount } from '../format/number';
import { targetKey } from '../format/relabel';
import { LabelSet } from '../parts/labels';
import { Failure, FilterBox, matchesWords, Page, Segmented } from '../parts/page';
import { RelabelSteps } from '../parts/relabel-steps';
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

/** The target whose steps are shown is part of the address, so that they can be shown to somebody else. */
function FoundRow({ found }: { found: Found }) {
  const key = targetKey(found.pool, found.discovered);
  const [opened, setOpened] = useParam('open');
  const open = opened === key;
  const setOpen = (next: boolean) => setOpened(next ? key : '');
  return (
    <>
      <tr class={found.labels ? '' : 'dropped'}>
        <td>
          <LabelSet labels={found.discovered} />
          <button type="button" class="quiet link" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? 'Hide the steps' : found.labels ? 'How it was relabelled' : 'Why it was dropped'}
          </button>
        </td>
        <td>{found.labels ? <LabelSet labels={found.labels} /> : <span class="state unknown">dropped</span>}</td>
      </tr>
      {open && (
        <tr class="steps">
          <td colSpan={2}>
            <RelabelSteps pool={found.pool} discovered={found.discovered} />
          </td>
        </tr>
      )}
    </>
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
