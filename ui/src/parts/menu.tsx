import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

/** A button that opens a small panel below it; Escape, a click elsewhere or a choice closes it. */
export function Menu(props: {
  text: string;
  label?: string;
  children: (close: () => void) => ComponentChildren;
  class?: string;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const outside = (event: MouseEvent) => !root.current?.contains(event.target as Node) && setOpen(false);
    const onEscape = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener('mousedown', outside);
    document.addEventListener('keydown', onEscape);
    root.current?.querySelector<HTMLElement>('.menu-body input, .menu-body button, .menu-body a')?.focus();
    return () => {
      document.removeEventListener('mousedown', outside);
      document.removeEventListener('keydown', onEscape);
    };
  }, [open]);
  return (
    <div class={`menu ${props.class ?? ''}`} ref={root}>
      <button type="button" ref={button} aria-expanded={open} aria-label={props.label} onClick={() => setOpen(!open)}>
        {props.text}
      </button>
      {open && <div class="menu-body">{props.children(() => setOpen(false))}</div>}
    </div>
  );
}
