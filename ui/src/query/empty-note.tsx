import { useEffect, useState } from 'preact/hooks';
import type { TimeRange } from './state';
import type { Question } from './use-query';
import type { Reason } from './why-empty';

/** Why a result is empty, and links to the nearest things that are not. */
export function EmptyNote(props: {
  question: Question;
  onRun: (expr: string) => void;
  onTime: (time: TimeRange) => void;
}) {
  const { expr, evaluation, endpoint } = props.question;
  const [reasons, setReasons] = useState<Reason[]>();
  // a refresh of the same question need not ask again
  useEffect(() => {
    const abort = new AbortController();
    setReasons(undefined);
    // The parser comes with the editor.
    import('./why-empty')
      .then(({ whyEmpty }) => whyEmpty(expr, evaluation, endpoint === 'query_range', abort.signal))
      .then(setReasons, () => !abort.signal.aborted && setReasons([]));
    return () => abort.abort();
  }, [expr, endpoint]);
  return (
    <div class="note empty-note" aria-live="polite">
      <p>
        <strong>The result is empty.</strong>
        {reasons === undefined && <span class="muted"> Looking for the reason…</span>}
        {reasons?.length === 0 && (
          <span>
            {' '}
            Every selector finds series here, so it is what is done with them: a comparison that no value meets, two
            sides whose labels differ, or a range too short for two samples.
          </span>
        )}
      </p>
      {reasons?.map((reason) => (
        <div key={reason.selector} class="reason">
          <p>{reason.text}</p>
          {reason.remedies.length > 0 && (
            <div class="remedies">
              {reason.remedies.map((remedy) => (
                <button
                  key={remedy.text}
                  type="button"
                  onClick={() =>
                    'expr' in remedy
                      ? props.onRun(remedy.expr)
                      : props.onTime({ range: remedy.range, end: evaluation.end * 1000 })
                  }
                >
                  {remedy.text}
                </button>
              ))}
            </div>
          )}
        </div>
      ))}
    </div>
  );
}
