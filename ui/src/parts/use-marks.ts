import { useMemo } from 'preact/hooks';
import { useParam } from './use-param';

export interface Marks {
  has: (mark: string) => boolean;
  /** Sets some marks and takes others away. */
  change: (add: string[], remove: string[]) => void;
  toggle: (mark: string) => void;
  /** Only these are left. */
  clear: (marks: string[]) => void;
}

/** Marks in the page's address, e.g. which of its parts are open. */
export function useMarks(name: string): Marks {
  const [text, setText] = useParam(name);
  const marks = useMemo(() => new Set(text.split('.').filter(Boolean)), [text]);
  return useMemo(() => {
    const change = (add: string[], remove: string[]) => {
      const next = new Set(marks);
      for (const mark of remove) next.delete(mark);
      for (const mark of add) next.add(mark);
      setText([...next].join('.'));
    };
    return {
      has: (mark) => marks.has(mark),
      change,
      toggle: (mark) => (marks.has(mark) ? change([], [mark]) : change([mark], [])),
      clear: (left) => setText(left.join('.')),
    };
  }, [marks, setText]);
}

/** A few letters that stand for a text in an address (FNV-1a). */
export function shortName(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
