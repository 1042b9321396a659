import type { ComponentChildren } from 'preact';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { formatValue } from '../format/number';
import { bothTimes } from '../format/time';
import { Failure, FilterBox, matchesWords, Page } from '../parts/page';
import { type Loaded, useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';
import { type Fact, type Facts, factsOf } from './status-facts';

function shown({ name, value }: Fact): ComponentChildren {
  if (name === 'reloadConfigSuccess')
    return <span class={`state ${value ? 'up' : 'down'}`}>{value ? 'successful' : 'failed'}</span>;
  if (name === 'GOMEMLIMIT' && typeof value === 'number')
    return <span title={String(value)}>{formatValue(value, 'bytes')}</span>;
  const time = /Time$/.test(name) && typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) return String(value);
  const ago = Date.now() - time;
  return (
    <span class="numeric">
      {bothTimes(time)}
      {name !== 'serverTime' && <span class="muted nowrap"> {spokenDuration(ago)} ago</span>}
    </span>
  );
}

function FactTable(props: { title: string; what: string; loaded: Loaded<Facts>; isGo: boolean; filter: string }) {
  const { data, error } = props.loaded;
  const rows = factsOf(data ?? {}, props.isGo).filter(
    ({ name, title, value }) => !props.filter || matchesWords(`${name} ${title} ${value}`, props.filter),
  );
  if (!error && rows.length === 0) return null;
  return (
    <section>
      <h2>{props.title}</h2>
      {error && <Failure error={error} what={props.what} />}
      <table class="fact-table">
        <tbody>
          {rows.map((fact) => (
            <tr key={fact.name}>
              <th scope="row" title={fact.name}>
                {fact.title}
              </th>
              <td>{shown(fact)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export default function StatusPage() {
  const [filter, setFilter] = useParam('filter');
  const runtime = useApi<Facts>('status/runtimeinfo');
  const build = useApi<Facts>('status/buildinfo');
  const isGo = String(build.data?.goVersion ?? '').startsWith('go');
  // Both tables at once: the titles of the one depend on the other, and nothing moves when the second arrives.
  const waiting = runtime.loading || build.loading;
  return (
    <Page title="Status" loading={waiting} tools={<FilterBox value={filter} onInput={setFilter} label="Filter" />}>
      {!waiting && (
        <>
          <FactTable title="Running" what="Facts about the process" loaded={runtime} isGo={isGo} filter={filter} />
          <FactTable title="Build" what="Facts about the build" loaded={build} isGo={isGo} filter={filter} />
          <p>
            <a href={pageUrl('flags')}>All flags and their values</a>
          </p>
        </>
      )}
    </Page>
  );
}
