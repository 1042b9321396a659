import type { ComponentChildren } from 'preact';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { formatValue } from '../format/number';
import { bothTimes } from '../format/time';
import { Failure, FilterBox, matchesWords, Page } from '../parts/page';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';

type Facts = Record<string, string | number | boolean>;

const TITLES: Record<string, string> = {
  startTime: 'Started',
  CWD: 'Working directory',
  hostname: 'Host',
  serverTime: 'Time of the server',
  reloadConfigSuccess: 'Last reload of the configuration',
  lastConfigTime: 'Configuration loaded',
  corruptionCount: 'WAL corruptions',
  goroutineCount: 'Goroutines',
  storageRetention: 'Retention',
  version: 'Version',
  revision: 'Revision',
  branch: 'Branch',
  buildUser: 'Built by',
  buildDate: 'Built',
  goVersion: 'Go version',
  GOMEMLIMIT: 'Memory limit',
};

function shown(name: string, value: Facts[string]): ComponentChildren {
  if (value === '') return <span class="muted">–</span>;
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
      {name !== 'serverTime' && <span class="muted"> {spokenDuration(ago)} ago</span>}
    </span>
  );
}

function FactTable(props: { title: string; what: string; endpoint: string; filter: string }) {
  const { data, error } = useApi<Facts>(props.endpoint);
  const rows = Object.entries(data ?? {}).filter(
    ([name, value]) => !props.filter || matchesWords(`${name} ${TITLES[name] ?? ''} ${value}`, props.filter),
  );
  if (!error && rows.length === 0) return null;
  return (
    <section>
      <h2>{props.title}</h2>
      {error && <Failure error={error} what={props.what} />}
      <table class="fact-table">
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row" title={name}>
                {TITLES[name] ?? name}
              </th>
              <td>{shown(name, value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

export default function StatusPage() {
  const [filter, setFilter] = useParam('filter');
  return (
    <Page title="Status" tools={<FilterBox value={filter} onInput={setFilter} label="Filter" />}>
      <FactTable title="Running" what="Facts about the process" endpoint="status/runtimeinfo" filter={filter} />
      <FactTable title="Build" what="Facts about the build" endpoint="status/buildinfo" filter={filter} />
      <p>
        <a href={pageUrl('flags')}>All flags and their values</a>
      </p>
    </Page>
  );
}
