import type { Labels } from '../api/answers';
import { linked } from '../format/links';
import { orderedAnnotations } from './facts';

function Linked({ text }: { text: string }) {
  return (
    <>
      {linked(text).map(({ text, href }, i) =>
        href ? (
          <a key={i} href={href} target="_blank" rel="noopener noreferrer">
            {text}
          </a>
        ) : (
          text
        ),
      )}
    </>
  );
}

/** What an alert says in one sentence, if it does. */
export function Summary({ annotations }: { annotations: Labels }) {
  return annotations.summary ? (
    <div class="summary">
      <Linked text={annotations.summary} />
    </div>
  ) : null;
}

/** What else an alert or a rule says in words. */
export function Annotations({ annotations, all }: { annotations: Labels; all?: boolean }) {
  const entries = orderedAnnotations(annotations).filter(([name]) => all || name !== 'summary');
  if (entries.length === 0) return null;
  return (
    <dl class="annotations">
      {entries.map(([name, text]) => (
        <div key={name} class="annotation">
          <dt class="muted">{name}</dt>{' '}
          <dd>
            <Linked text={text} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
