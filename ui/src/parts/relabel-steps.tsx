import type { Labels, RelabelStep } from '../api/answers';
import { type ExplainedStep, explainSteps, type LabelChange } from '../format/relabel';
import { Failure } from './page';
import { useApi } from './use-api';

function Change({ change: { name, before, after } }: { change: LabelChange }) {
  const sign = before === undefined ? '+' : after === undefined ? '−' : '~';
  const spoken = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  return (
    <li class={`label-change ${spoken}`}>
      <span class="sign" role="img" aria-label={spoken}>
        {sign}
      </span>
      <span class="label-name">{name}</span>
      {after !== undefined && (
        <>
          =<span class="label-value">"{after}"</span>
        </>
      )}
      {before !== undefined && <span class="muted"> was "{before}"</span>}
    </li>
  );
}

/** What the rule met and what came of it, on one line. */
function Verdict({ step }: { step: ExplainedStep }) {
  const filters = ['keep', 'drop', 'keepequal', 'dropequal'].includes(step.rule.action ?? 'replace');
  return (
    <p class="step-source">
      {step.source !== undefined && (
        <>
          <code>"{step.source}"</code>
          {step.matched !== undefined && (step.matched ? ' matches' : ' does not match')}
        </>
      )}
      {!step.keep && (
        <>
          {' '}
          <span class="state down">dropped here</span>
        </>
      )}
      {step.keep && filters && ': kept'}
      {step.keep && !filters && step.changes.length === 0 && `${step.source === undefined ? '' : ': '}changed nothing`}
    </p>
  );
}

function Step({ step, number }: { step: ExplainedStep; number: number }) {
  return (
    <li class={step.keep ? 'step' : 'step dropping'} value={number}>
      <p class="step-rule">
        <strong>{step.rule.action ?? 'replace'}</strong> <code>{step.sentence}</code>
      </p>
      <Verdict step={step} />
      {step.changes.length > 0 && (
        <ul class="label-changes">
          {step.changes.map((change) => (
            <Change key={change.name} change={change} />
          ))}
        </ul>
      )}
    </li>
  );
}

/** Rule by rule, what relabelling made of a discovered target. */
export function RelabelSteps({ pool, discovered }: { pool: string; discovered: Labels }) {
  const { data, error, loading } = useApi<{ steps: RelabelStep[] | null }>('targets/relabel_steps', {
    scrapePool: pool,
    labels: JSON.stringify(discovered),
  });
  if (loading && !data) return <p class="muted">Loading the steps…</p>;
  if (error) return <Failure error={error} what="Relabelling steps" />;
  const all = data?.steps ?? [];
  if (all.length === 0) return <p class="muted">This pool has no relabelling rules.</p>;
  const steps = explainSteps(discovered, all);
  const left = all.length - steps.length;
  return (
    <>
      <ol class="relabel-steps">
        {steps.map((step, i) => (
          <Step key={i} step={step} number={i + 1} />
        ))}
      </ol>
      {left > 0 && <p class="muted">{left === 1 ? 'One more rule is' : `${left} more rules are`} not looked at.</p>}
    </>
  );
}
