import { formatDuration, spokenDuration } from '../format/duration';
import { formatCount, formatValue } from '../format/number';
import { bothTimes } from '../format/time';
import { type GroupOfRules, isOverdue, loadOf } from './facts';

/** How long the last evaluation took, against the time until the next one. */
function Load({ shown: { group } }: { shown: GroupOfRules }) {
  const load = loadOf(group);
  const grade = load > 1 ? 'over' : load > 0.8 ? 'near' : '';
  const took = formatValue(group.evaluationTime, 'seconds');
  return (
    <span
      class={`load numeric ${grade}`}
      title={`Took ${took} of ${formatDuration(group.interval * 1000)}: ${formatValue(load, 'ratio')}`}
    >
      <span class="bar" aria-hidden="true">
        <span style={{ width: `${Math.min(1, load) * 100}%` }} />
      </span>
      took {took}
      {load > 1 && <strong>: longer than the interval, evaluations are missed</strong>}
    </span>
  );
}

/** What is said of a whole group: when it is evaluated, and how that goes. */
export function GroupHead(props: {
  shown: GroupOfRules;
  open: boolean;
  onFold: () => void;
  now: number;
  /** When the rules were loaded. */
  at: number;
}) {
  const { shown, now, at } = props;
  const { group, rules, failing } = shown;
  const last = Date.parse(group.lastEvaluation);
  const count = rules.length === group.rules.length ? '' : `${formatCount(rules.length)} of `;
  return (
    <div class="rule-group">
      <div class="rule-head">
        <h3>
          <button type="button" class="fold-button" aria-expanded={props.open} onClick={props.onFold}>
            <span class="fold" aria-hidden="true">
              {props.open ? '▾' : '▸'}
            </span>
            {group.name}
          </button>
        </h3>
        {failing > 0 && <strong class="bad-text">{formatCount(failing)} failing</strong>}
        <span class="muted">
          {count}
          {formatCount(group.rules.length)} {group.rules.length === 1 ? 'rule' : 'rules'}
          {group.limit ? `, at most ${formatCount(group.limit)} series each` : ''}
        </span>
        <span class="group-times">
          <span class="muted">every {formatDuration(group.interval * 1000)}</span>
          {last > 0 ? (
            <>
              <Load shown={shown} />
              <span
                class={`group-last numeric ${isOverdue(group, at) ? 'bad-text' : 'muted'}`}
                title={bothTimes(last) + (isOverdue(group, at) ? '; the next evaluation is overdue' : '')}
              >
                {spokenDuration(Math.max(0, now - last))} ago{isOverdue(group, at) ? ', overdue' : ''}
              </span>
            </>
          ) : (
            <span class="muted">not evaluated yet</span>
          )}
        </span>
      </div>
    </div>
  );
}

/** The titles of the columns, once for all groups. */
export function RuleColumns({ samples }: { samples: boolean }) {
  return (
    <div class={samples ? 'rule columns with-samples' : 'rule columns'} aria-hidden="true">
      <span>Health</span>
      <span>Rule</span>
      {samples && <span>Series</span>}
      <span>Took</span>
      <span>Evaluated</span>
    </div>
  );
}
