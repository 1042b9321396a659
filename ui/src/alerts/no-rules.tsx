import { pageUrl } from '../base';

const EXAMPLE = `# prometheus.yml
rule_files:
  - rules/*.yml

# rules/targets.yml
groups:
  - name: targets
    rules:
      - alert: TargetDown
        expr: up == 0
        for: 5m
        labels:
          severity: critical
        annotations:
          summary: "{{ $labels.instance }} of {{ $labels.job }} cannot be scraped"
`;
const DOCS = 'https://github.com/binnacle/binnacle/blob/main/docs';

function Doc({ name, children }: { name: string; children: string }) {
  return (
    <a href={`${DOCS}/${name}.md`} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}

/** What to do where there is no rule at all. */
export function NoRules({ what }: { what: 'alerting rule' | 'rule' }) {
  return (
    <div class="note no-rules">
      <p>
        <strong>No {what} is configured.</strong> Rules stand in files that <code>rule_files</code> of the{' '}
        <a href={pageUrl('config')}>configuration</a> names. For instance:
      </p>
      <pre class="example">{EXAMPLE}</pre>
      <p>
        Check the files with <code>binnacle tool check rules rules/*.yml</code>, then reload the server: send it{' '}
        <code>SIGHUP</code>.
      </p>
      <p>
        More in the documentation: <Doc name="rules">how rules are written and evaluated</Doc>,{' '}
        <Doc name="anomalies">ready ones for what is unusual</Doc>,{' '}
        <Doc name="tool">how they are checked and tested</Doc>.
      </p>
    </div>
  );
}
