import { Annotations } from '../alerts/annotations';
import { millisecondsOf } from '../alerts/facts';
import { queryLink, Waits } from '../alerts/rule-head';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { formatCount, formatValue } from '../format/number';
import { bothTimes } from '../format/time';
import { LabelSet } from '../parts/labels';
import { Promql } from '../parts/promql';
import type { KeyedRule } from './facts';

const HEALTH = { ok: ['ok', 'up'], err: ['failing', 'down'], unknown: ['unknown', 'unknown'] } as const;

function Numbers({ shown: { rule }, now, samples }: { shown: KeyedRule; now: number; samples: boolean }) {
  const last = millisecondsOf(rule.lastEvaluation);
  return (
    <>
      {samples && (
        <div>
          <dt>Series</dt>
          <dd title="Series that the last evaluation gave">
            {rule.samples === undefined ? '' : formatCount(rule.samples)}
          </dd>
        </div>
      )}
      <div>
        <dt>Took</dt>
        <dd>{last ? formatValue(rule.evaluationTime, 'seconds') : '–'}</dd>
      </div>
      <div>
        <dt>Evaluated</dt>
        <dd title={last ? bothTimes(last) : undefined}>
          {last ? `${spokenDuration(Math.max(0, now - last))} ago` : 'not yet'}
        </dd>
      </div>
    </>
  );
}

/** One rule of a group: what it asks, whether that works, and what it cost. */
export function RuleRow(props: {
  shown: KeyedRule;
  open: boolean;
  onFold: () => void;
  now: number;
  /** Whether the server says how many series each rule gave. */
  samples: boolean;
}) {
  const { shown, open, samples } = props;
  const { rule, health } = shown;
  const [word, look] = HEALTH[health];
  const fires = rule.state === 'firing' || rule.state === 'pending';
  const annotations = Object.keys(rule.annotations ?? {}).length;
  return (
    <div class={samples ? 'rule with-samples' : 'rule'}>
      <span class={`state ${look}`}>{word}</span>
      <div class="rule-what">
        <div class="rule-name">
          <button
            type="button"
            class="fold-button"
            aria-expanded={open}
            onClick={props.onFold}
            title={open ? 'Less' : 'The whole expression, and the annotations'}
          >
            <span class="fold" aria-hidden="true">
              {open ? '▾' : '▸'}
            </span>
            {rule.name}
          </button>
          <span class="muted">{rule.type === 'alerting' ? 'alert' : 'record'}</span>
          {fires && (
            <a
              href={`${pageUrl('alerts')}?${new URLSearchParams({ filter: rule.name })}`}
              title="The alerts of this rule"
            >
              <span class={`state ${rule.state}`}>{rule.state}</span>
            </a>
          )}
          <Waits duration={rule.duration} keepFiringFor={rule.keepFiringFor} />
          {rule.labels && Object.keys(rule.labels).length > 0 && <LabelSet labels={rule.labels} />}
          <a href={queryLink(rule.query)} title="The expression on the query page">
            query
          </a>
        </div>
        <Promql expr={rule.query} class={open ? 'rule-expr' : 'rule-expr two-lines'} />
        {rule.lastError && <pre class="target-error">{rule.lastError}</pre>}
        {open && annotations > 0 && <Annotations annotations={rule.annotations!} all />}
      </div>
      <dl class="rule-numbers numeric">
        <Numbers shown={shown} now={props.now} samples={samples} />
      </dl>
    </div>
  );
}
