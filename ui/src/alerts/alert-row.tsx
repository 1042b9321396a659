import { useMemo } from 'preact/hooks';
import type { Alert, Labels, Rule } from '../api/answers';
import { comparisonOf } from '../format/comparison';
import { spokenDuration } from '../format/duration';
import { formatValue } from '../format/number';
import { bothTimes, localTime } from '../format/time';
import { unitOfExpression } from '../format/units';
import { LabelSet } from '../parts/labels';
import { numberOf } from '../result/parse';
import { Annotations, Summary } from './annotations';
import { millisecondsOf, outlookOf } from './facts';
import { GraphBox } from './graph-box';
import type { Alertmanager } from './silence';
import { SilenceMenu } from './silence-menu';

/** The time of the day, and the day where it is another one. */
function clockTime(ms: number, now: number): string {
  const text = localTime(ms);
  return text.slice(0, 10) === localTime(now).slice(0, 10) ? text.slice(11, 16) : text.slice(0, 16);
}

function Times({ alert, rule, now }: { alert: Alert; rule: Rule; now: number }) {
  const since = millisecondsOf(alert.activeAt);
  const { fires, ends } = outlookOf(alert, rule, now);
  return (
    <>
      {!Number.isNaN(since) && (
        <div>
          <dt>Active</dt>
          <dd title={`since ${bothTimes(since)}`}>
            {spokenDuration(Math.max(0, now - since))} <span class="muted">since {clockTime(since, now)}</span>
          </dd>
        </div>
      )}
      {fires !== undefined && (
        <div>
          <dt>Fires</dt>
          <dd title={bothTimes(now + fires)}>{fires > 0 ? `in ${spokenDuration(fires)}` : 'at once'}</dd>
        </div>
      )}
      {ends !== undefined && (
        <div title="What the rule looks for is over; it keeps firing for a while, as keep_firing_for says.">
          <dt>Over</dt>
          <dd>
            since {clockTime(millisecondsOf(alert.keepFiringSince), now)},{' '}
            {ends > 0 ? `ends in ${spokenDuration(ends)}` : 'about to end'}
          </dd>
        </div>
      )}
    </>
  );
}

/** One alert: what it says, since when, its value, and what can be done about it. */
export function AlertRow(props: {
  alert: Alert;
  rule: Rule;
  now: number;
  /** When the rules were loaded. */
  at: number;
  alertmanagers: Alertmanager[];
  /** Added to the alert's own when it is sent. */
  external: Labels;
  graph: boolean;
  onGraph: () => void;
}) {
  const { alert, rule, now } = props;
  const unit = useMemo(() => unitOfExpression(comparisonOf(rule.query)?.drawn ?? rule.query), [rule.query]);
  const since = millisecondsOf(alert.activeAt);
  return (
    <div class={`alert ${alert.state}`}>
      <span class={`state ${alert.state}`}>{alert.state}</span>
      <div class="alert-what">
        <Summary annotations={alert.annotations} />
        <LabelSet labels={alert.labels} omit={(name) => name === 'alertname'} />
        <Annotations annotations={alert.annotations} />
      </div>
      <dl class="alert-facts numeric">
        <Times alert={alert} rule={rule} now={now} />
        <div>
          <dt>Value</dt>
          <dd title={alert.value}>{formatValue(numberOf(alert.value), unit)}</dd>
        </div>
      </dl>
      <div class="alert-actions">
        <button type="button" aria-expanded={props.graph} aria-label="Graph of this alert" onClick={props.onGraph}>
          Graph
        </button>
        <SilenceMenu alertmanagers={props.alertmanagers} labels={{ ...props.external, ...alert.labels }} />
      </div>
      {props.graph && (
        <GraphBox
          expr={rule.query}
          labels={alert.labels}
          since={Number.isNaN(since) ? undefined : since}
          now={props.at}
        />
      )}
    </div>
  );
}
