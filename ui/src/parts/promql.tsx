import { useMemo } from 'preact/hooks';
import { tokensOf } from '../format/promql';
import '../style/promql.css';

const CLASSES: Record<string, string> = {
  comment: 'tok-comment',
  string: 'tok-string',
  number: 'tok-number',
  keyword: 'tok-keyword',
  function: 'tok-function',
  label: 'tok-label',
};

/** An expression in the colours of the query's editor. */
export function Promql({ expr, class: name = '' }: { expr: string; class?: string }) {
  const parts = useMemo(() => {
    const out: { text: string; class?: string }[] = [];
    for (const { kind, text } of tokensOf(expr)) {
      const last = out.at(-1);
      if (last && (last.class === CLASSES[kind] || kind === 'space')) last.text += text;
      else out.push({ text, class: CLASSES[kind] });
    }
    return out;
  }, [expr]);
  return (
    <code class={`promql ${name}`}>
      {parts.map((part, i) =>
        part.class ? (
          <span key={i} class={part.class}>
            {part.text}
          </span>
        ) : (
          part.text
        ),
      )}
    </code>
  );
}
