/** Colours that people with any common kind of colour blindness tell apart, for a light and for a dark ground. */
const LIGHT = ['#0068b0', '#c8540a', '#00805c', '#a8478c', '#2b8fc4', '#8a6a00', '#4d5562', '#8b1e3f'];
const DARK = ['#5aa9e6', '#ff934f', '#2fc79b', '#e08fc2', '#9bd7f7', '#e6c229', '#b4bdc9', '#f27394'];
/** Where the colours repeat the strokes differ, so that nothing is told by colour alone. */
const DASHES = [[], [7, 3], [2, 3]];

export interface Stroke {
  color: string;
  dash: number[];
}

export function strokeOf(index: number, dark: boolean): Stroke {
  const colors = dark ? DARK : LIGHT;
  const round = Math.floor(index / colors.length);
  return {
    // Each round starts one colour later: series often come in groups of eight, e.g. the modes of a processor.
    color: colors[(index + round) % colors.length]!,
    dash: DASHES[round % DASHES.length]!,
  };
}
