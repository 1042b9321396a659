import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from '@tanstack/virtual-core';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

export interface Window {
  first: number;
  /** One past the last row. */
  end: number;
  /** Heights in pixels of what is left out above and below. */
  above: number;
  below: number;
}

/** Which of `count` rows of equal height are to be rendered into the scrolling element. */
export function useVirtualRows(count: number, rowHeight: number) {
  const scroller = useRef<HTMLDivElement>(null);
  const [, redraw] = useState(0);
  const [virtualizer] = useState(
    () =>
      new Virtualizer<HTMLDivElement, HTMLElement>({
        count,
        getScrollElement: () => scroller.current,
        estimateSize: () => rowHeight,
        overscan: 12,
        observeElementRect,
        observeElementOffset,
        scrollToFn: elementScroll,
        // Before the first layout: enough for a first screen.
        initialRect: { width: 1000, height: 600 },
      }),
  );
  virtualizer.setOptions({
    ...virtualizer.options,
    count,
    estimateSize: () => rowHeight,
    onChange: () => redraw((n) => n + 1),
  });
  useLayoutEffect(() => virtualizer._didMount(), [virtualizer]);
  useLayoutEffect(() => virtualizer._willUpdate());

  const items = virtualizer.getVirtualItems();
  const first = items[0]?.index ?? 0;
  const end = Math.min((items.at(-1)?.index ?? -1) + 1, count);
  const window: Window = { first, end, above: first * rowHeight, below: Math.max(0, (count - end) * rowHeight) };
  return { scroller, window };
}
