import type { Rule, RuleGroup } from '../api/answers';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { formatValue } from '../format/number';
import { bothTimes } from '../format/time';
import { LabelSet } from '../parts/labels';
import { Failure, FilterBox, matchesWords, Page } from '../parts/page';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';
import '../style/targets.css';

function RuleRow({ rule }: { rule: Rule }) {
  const link = `${pageUrl('query')}?${new URLSearchParams({ 'g0.expr': rule.query, 'g0.tab': 'graph' })}`;
  const last = Date.parse(rule.lastEvaluation);
  return (
    <tr>
      <td>
        <span class={`state ${rule.health === 'ok' ? 'up' : rule.health === 'err' ? 'down' : 'unknown'}`}>
          {rule.health}
        </span>
      </td>
      <td>
        <strong>{rule.name}</strong> <span class="muted">{rule.type === 'alerting' ? 'alert' : 'record'}</span>{' '}
        {rule.labels && Object.keys(rule.labels).length > 0 && <LabelSet labels={rule.labels} />}
        <a class="rule-expr" href={link}>
          <code>{rule.query}</code>
        </a>
        {rule.lastError && <pre class="target-error">{rule.lastError}</pre>}
      </td>
      <td class="numeric" title={bothTimes(last)}>
        {last > 0 ? `${spokenDuration(Date.now() - last)} ago` : 'not yet'}
      </td>
      <td class="numeric">{formatValue(rule.evaluationTime, 'seconds')}</td>
    </tr>
  );
}

function Group({ group, rules }: { group: RuleGroup; rules: Rule[] }) {
  return (
    <section class="pool">
      <h2 class="pool-title">
        {group.name}{' '}
        <span class="pool-count">
          {group.file}, every {spokenDuration(group.interval * 1000)}, took{' '}
          {formatValue(group.evaluationTime, 'seconds')}
        </span>
      </h2>
      <div class="table-scroll flow">
        <table>
          <thead>
            <tr>
              <th scope="col">Health</th>
              <th scope="col" class="grow">
                Rule
              </th>
              <th scope="col" class="numeric">
                Evaluated
              </th>
              <th scope="col" class="numeric">
                Took
              </th>
            </tr>
          </thead>
          <tbody>
            {rules.map((rule) => (
              <RuleRow key={`${rule.name} ${rule.query}`} rule={rule} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

export default function RulesPage() {
  const { data, error, loading } = useApi<{ groups: RuleGroup[] | null }>('rules');
  const [filter, setFilter] = useParam('filter');
  const groups = (data?.groups ?? [])
    .map((group) => ({
      group,
      rules: group.rules.filter((rule) => !filter || matchesWords(`${group.name} ${rule.name} ${rule.query}`, filter)),
    }))
    .filter(({ rules }) => rules.length > 0);
  return (
    <Page title="Rules" loading={loading} tools={<FilterBox value={filter} onInput={setFilter} label="Filter rules" />}>
      {error && <Failure error={error} what="Rules" />}
      {data && (data.groups ?? []).length === 0 && <p class="note">No rule is configured.</p>}
      {groups.map(({ group, rules }) => (
        <Group key={`${group.file} ${group.name}`} group={group} rules={rules} />
      ))}
    </Page>
  );
}
