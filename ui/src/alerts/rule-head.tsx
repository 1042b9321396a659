import { pageUrl } from '../base';
import { formatDuration } from '../format/duration';
import { formatCount } from '../format/number';
import { LabelSet } from '../parts/labels';
import { Promql } from '../parts/promql';
import { Annotations } from './annotations';
import type { RuleAlerts } from './facts';
import { GraphBox } from './graph-box';

export function queryLink(expr: string): string {
  return `${pageUrl('query')}?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': 'graph', 'g0.range_input': '1h' })}`;
}

function Numbers({ firing, pending }: { firing: number; pending: number }) {
  const parts = [
    firing > 0 ? `${formatCount(firing)} firing` : '',
    pending > 0 ? `${formatCount(pending)} pending` : '',
  ].filter(Boolean);
  return parts.length ? <span>{parts.join(', ')}</span> : null;
}

/** `for 5m, keeps firing 10m` */
export function Waits({ duration, keepFiringFor }: { duration?: number; keepFiringFor?: number }) {
  const parts = [
    duration ? `for ${formatDuration(duration * 1000)}` : '',
    keepFiringFor ? `keeps firing ${formatDuration(keepFiringFor * 1000)}` : '',
  ].filter(Boolean);
  return parts.length ? <span class="muted">{parts.join(', ')}</span> : null;
}

/** An alerting rule, above its alerts. */
export function RuleHead(props: {
  shown: RuleAlerts;
  open: boolean;
  onFold: () => void;
  graph: boolean;
  onGraph: () => void;
  /** When the rules were loaded. */
  at: number;
}) {
  const { rule, group, state, firing, pending, alerts } = props.shown;
  const severity = alerts[0]?.alert.labels.severity ?? rule.labels?.severity;
  const inGroup = `${pageUrl('rules')}?${new URLSearchParams({ filter: `${group.name} ${rule.name}` })}`;
  return (
    <div class={`alert-rule ${state}`}>
      <div class="rule-head">
        <h3>
          <button type="button" class="fold-button" aria-expanded={props.open} onClick={props.onFold}>
            <span class="fold" aria-hidden="true">
              {props.open ? '▾' : '▸'}
            </span>
            {rule.name}
          </button>
        </h3>
        <Numbers firing={firing} pending={pending} />
        {severity && <span class={`severity ${severity}`}>{severity}</span>}
        <Waits duration={rule.duration} keepFiringFor={rule.keepFiringFor} />
        {rule.health === 'err' && <span class="state down">failing</span>}
        {rule.health === 'unknown' && <span class="state">not evaluated yet</span>}
        <span class="rule-tools">
          <a class="muted" href={inGroup} title={`${group.file}: the rule among those of its group`}>
            {group.name}
          </a>
          <button
            type="button"
            aria-expanded={props.graph}
            aria-label={`Graph of ${rule.name}`}
            onClick={props.onGraph}
          >
            Graph
          </button>
          <a class="button" href={queryLink(rule.query)} title="The expression on the query page">
            Query
          </a>
        </span>
      </div>
      <Promql expr={rule.query} class={props.open ? 'rule-expr' : 'rule-expr one-line'} />
      {rule.lastError && <pre class="target-error">{rule.lastError}</pre>}
      {props.open && alerts.length === 0 && (
        <div class="rule-more">
          {rule.labels && Object.keys(rule.labels).length > 0 && <LabelSet labels={rule.labels} />}
          <Annotations annotations={rule.annotations ?? {}} all />
        </div>
      )}
      {props.graph && <GraphBox expr={rule.query} now={props.at} />}
    </div>
  );
}
