import type { Alert, Rule, RuleGroup } from '../api/answers';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { seriesSelector } from '../format/labels';
import { formatCount, formatValue } from '../format/number';
import { bothTimes } from '../format/time';
import { LabelSet } from '../parts/labels';
import { Failure, FilterBox, matchesWords, Page, Segmented } from '../parts/page';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';
import { numberOf } from '../result/parse';
import '../style/targets.css';

type State = 'all' | 'firing' | 'pending' | 'inactive';

const REFRESH_MS = 10_000;
const ORDER: State[] = ['firing', 'pending', 'inactive'];

function queryLink(expr: string): string {
  return `${pageUrl('query')}?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': 'graph' })}`;
}

function AlertRow({ alert }: { alert: Alert }) {
  const since = alert.activeAt ? Date.parse(alert.activeAt) : Number.NaN;
  return (
    <tr>
      <td>
        <span class={`state ${alert.state}`}>{alert.state}</span>
      </td>
      <td>
        <LabelSet labels={alert.labels} omit={(name) => name === 'alertname'} />
        {Object.entries(alert.annotations).map(([name, text]) => (
          <div key={name} class="annotation">
            <span class="muted">{name}:</span> {text}
          </div>
        ))}
      </td>
      <td class="numeric" title={bothTimes(since)}>
        {spokenDuration(Date.now() - since)}
      </td>
      <td class="numeric" title={alert.value}>
        {formatValue(numberOf(alert.value))}
      </td>
    </tr>
  );
}

function AlertingRule({ rule }: { rule: Rule }) {
  const alerts = rule.alerts ?? [];
  return (
    <li class={`target ${rule.state}`}>
      <div class="target-head">
        <span class={`state ${rule.state}`}>{rule.state}</span>
        <strong>{rule.name}</strong>
        <span class="muted">
          {alerts.length > 0 ? `${formatCount(alerts.length)} ${alerts.length === 1 ? 'alert' : 'alerts'}` : ''}
        </span>
        {rule.duration ? <span class="muted">for {spokenDuration(rule.duration * 1000)}</span> : null}
      </div>
      <a class="rule-expr" href={queryLink(rule.query)}>
        <code>{rule.query}</code>
      </a>
      {rule.lastError && <pre class="target-error">{rule.lastError}</pre>}
      {alerts.length > 0 && (
        <div class="table-scroll flow">
          <table>
            <thead>
              <tr>
                <th scope="col">State</th>
                <th scope="col" class="grow">
                  Labels
                </th>
                <th scope="col" class="numeric">
                  Active for
                </th>
                <th scope="col" class="numeric">
                  Value
                </th>
              </tr>
            </thead>
            <tbody>
              {alerts.map((alert) => (
                <AlertRow key={seriesSelector(alert.labels)} alert={alert} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </li>
  );
}

export default function AlertsPage() {
  const { data, error, loading } = useApi<{ groups: RuleGroup[] | null }>('rules', { type: 'alert' }, REFRESH_MS);
  const [filter, setFilter] = useParam('filter');
  const [state, setState] = useParam('state', 'all');
  const rules = (data?.groups ?? []).flatMap((group) =>
    group.rules.filter((rule) => rule.type === 'alerting').map((rule) => ({ rule, group })),
  );
  const count = (wanted: State) => rules.filter(({ rule }) => wanted === 'all' || rule.state === wanted).length;
  const shown = rules
    .filter(({ rule }) => state === 'all' || rule.state === state)
    .filter(
      ({ rule }) =>
        !filter ||
        matchesWords(
          [rule.name, rule.query, ...(rule.alerts ?? []).map((alert) => seriesSelector(alert.labels))].join(' '),
          filter,
        ),
    )
    .sort((a, b) => ORDER.indexOf(a.rule.state as State) - ORDER.indexOf(b.rule.state as State));
  const option = (wanted: State): [State, string] => [wanted, `${wanted} ${formatCount(count(wanted))}`];
  return (
    <Page
      title="Alerts"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Filter alerts" />
          <Segmented<State>
            label="State"
            value={state as State}
            options={[option('all'), option('firing'), option('pending'), option('inactive')]}
            onChange={setState}
          />
        </>
      }
    >
      {error && <Failure error={error} what="Alerts" />}
      {data && rules.length === 0 && <p class="note">No alerting rule is configured.</p>}
      {rules.length > 0 && shown.length === 0 && (
        <p class="note">No alert matches. Clear the filter or choose another state.</p>
      )}
      <ul class="target-list">
        {shown.map(({ rule, group }) => (
          <AlertingRule key={`${group.file} ${group.name} ${rule.name} ${rule.query}`} rule={rule} />
        ))}
      </ul>
    </Page>
  );
}
