import { useEffect, useRef, useState } from 'preact/hooks';
import type { Editor } from './editor';

interface Props {
  value: string;
  /** Set from elsewhere, e.g. the history: a new object replaces what the editor holds. */
  given: { text: string };
  label: string;
  autofocus: boolean;
  error?: { from: number; to: number };
  onChange: (value: string) => void;
  onRun: (value: string) => void;
}

const HINT = 'PromQL, e.g. up or rate(node_cpu_seconds_total[5m])';

/** The query's editor: a plain text field at once, the editor with completion as soon as it is loaded. */
export function EditorBox(props: Props) {
  const box = useRef<HTMLDivElement>(null);
  const plain = useRef<HTMLTextAreaElement>(null);
  const editor = useRef<Editor | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const [ready, setReady] = useState(false);

  useEffect(() => {
    let gone = false;
    import('./editor').then(({ createEditor }) => {
      if (gone || !box.current) return;
      const focused = document.activeElement === plain.current;
      editor.current = createEditor(box.current, {
        doc: plain.current?.value ?? latest.current.value,
        label: latest.current.label,
        hint: HINT,
        onChange: (value) => latest.current.onChange(value),
        onRun: (value) => latest.current.onRun(value),
      });
      setReady(true);
      if (focused) editor.current.focus();
    });
    return () => {
      gone = true;
      editor.current?.destroy();
    };
  }, []);

  useEffect(() => {
    if (props.autofocus) plain.current?.focus();
  }, []);
  // Not on each change of `value`: it trails what is being typed.
  useEffect(() => editor.current?.setDoc(props.given.text), [props.given]);
  const { from, to } = props.error ?? {};
  useEffect(() => editor.current?.markError(from === undefined ? undefined : { from, to: to! }), [from, to, ready]);

  return (
    <div class="editor-box" ref={box} data-search>
      {!ready && (
        <textarea
          ref={plain}
          aria-label={props.label}
          placeholder={HINT}
          rows={Math.max(1, props.value.split('\n').length)}
          spellcheck={false}
          value={props.value}
          onInput={(event) => props.onChange(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            props.onRun(event.currentTarget.value);
          }}
        />
      )}
    </div>
  );
}
