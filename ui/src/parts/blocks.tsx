import type { ComponentChildren } from 'preact';
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';

/** How far beyond the window blocks are kept, in pixels: enough for the next stop of Tab. */
const BEYOND = 600;
/** What the page's head covers. */
const COVERED = 40;

interface Blocks {
  list: (element: HTMLElement | null) => void;
  /** To be given to each rendered block, with its key in `data-key`. */
  measure: (element: HTMLElement | null) => void;
  first: number;
  /** One past the last rendered block. */
  end: number;
  /** Heights in pixels of what is left out. */
  above: number;
  below: number;
}

/** Where each block starts; one more for the end. */
export function startsOf(keys: string[], heights: Map<string, number>, estimate: (index: number) => number) {
  const starts = new Float64Array(keys.length + 1);
  for (let i = 0; i < keys.length; i++) starts[i + 1] = starts[i]! + (heights.get(keys[i]!) ?? estimate(i));
  return starts;
}

/** The block at a distance from the list's top; the first or the last one when it is outside. */
export function blockAt(starts: Float64Array, offset: number): number {
  let low = 0;
  let high = starts.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle - 1;
  }
  return Math.max(low, 0);
}

/**
 * Which of many blocks of whatever height are to be rendered, in a list that scrolls with the page. What one reads stays
 * where it is when blocks above it come, go or change their height; at the page's top the newest is what one reads.
 */
function useBlocks(keys: string[], estimate: (index: number) => number): Blocks {
  const root = useRef<HTMLElement | null>(null);
  const heights = useRef(new Map<string, number>());
  const rendered = useRef(new Set<HTMLElement>());
  /** Blocks in view and how far their tops are from the window's, the first one first. */
  const reading = useRef<{ key: string; top: number }[]>([]);
  const [measured, setMeasured] = useState(0);
  const [, redraw] = useState(0);
  // `measured` counts the changes of `heights`
  const starts = useMemo(() => startsOf(keys, heights.current, estimate), [keys, measured]);

  const top = () => (root.current ? root.current.getBoundingClientRect().top : COVERED);
  const range = () => {
    const from = -top();
    return {
      first: blockAt(starts, from - BEYOND),
      end: keys.length ? blockAt(starts, from + innerHeight + BEYOND) + 1 : 0,
    };
  };
  const { first, end } = range();
  const latest = useRef({ keys, starts, first, end });
  latest.current = { keys, starts, first, end };

  const look = useCallback(() => {
    const { keys, starts } = latest.current;
    const from = top();
    reading.current = [];
    if (scrollY <= 0) return;
    for (let i = blockAt(starts, COVERED - from); i < keys.length && from + starts[i]! < innerHeight; i++)
      reading.current.push({ key: keys[i]!, top: from + starts[i]! });
  }, []);

  const observer = useMemo(
    () =>
      new ResizeObserver((entries) => {
        let changed = false;
        for (const { target } of entries) {
          const key = (target as HTMLElement).dataset.key;
          const height = target.getBoundingClientRect().height;
          if (!key || !target.isConnected || height === heights.current.get(key)) continue;
          heights.current.set(key, height);
          changed = true;
        }
        if (changed) setMeasured((n) => n + 1);
      }),
    [],
  );
  useEffect(() => {
    const onScroll = () => {
      look();
      const now = range();
      if (now.first !== latest.current.first || now.end !== latest.current.end) redraw((n) => n + 1);
    };
    const onResize = () => redraw((n) => n + 1);
    addEventListener('scroll', onScroll, { passive: true });
    addEventListener('resize', onResize);
    return () => {
      removeEventListener('scroll', onScroll);
      removeEventListener('resize', onResize);
    };
  });
  useEffect(() => () => observer.disconnect(), [observer]);
  useLayoutEffect(() => {
    const places = new Map(keys.map((key, i) => [key, i]));
    const kept = reading.current.find(({ key }) => places.has(key));
    if (!kept) return;
    const moved = top() + starts[places.get(kept.key)!]! - kept.top;
    if (Math.abs(moved) >= 1) scrollBy(0, moved);
  }, [starts]);

  const measure = useCallback(
    (element: HTMLElement | null) => {
      if (element) {
        rendered.current.add(element);
        observer.observe(element);
        return;
      }
      for (const one of rendered.current) {
        if (one.isConnected) continue;
        observer.unobserve(one);
        rendered.current.delete(one);
      }
    },
    [observer],
  );
  const list = useCallback((element: HTMLElement | null) => {
    root.current = element;
    if (element) redraw((n) => n + 1);
  }, []);
  return { list, measure, first, end, above: starts[first]!, below: Math.max(0, starts[keys.length]! - starts[end]!) };
}

/** A list of many blocks of whatever height, of which those in view are drawn. */
export function BlockList<Block extends { key: string }>(props: {
  label: string;
  blocks: Block[];
  /** Height in pixels until a block was drawn. */
  estimate: (block: Block) => number;
  draw: (block: Block) => ComponentChildren;
}) {
  const { blocks } = props;
  const keys = useMemo(() => blocks.map(({ key }) => key), [blocks]);
  const { list, measure, first, end, above, below } = useBlocks(keys, (index) => props.estimate(blocks[index]!));
  return (
    <ul class="block-list" aria-label={props.label} ref={list}>
      {above > 0 && <li key=" above" aria-hidden="true" style={{ height: `${above}px` }} />}
      {blocks.slice(first, end).map((block) => (
        <li key={block.key} data-key={block.key} ref={measure}>
          {props.draw(block)}
        </li>
      ))}
      {below > 0 && <li key=" below" aria-hidden="true" style={{ height: `${below}px` }} />}
    </ul>
  );
}
