/** More lines than this nobody can follow; the rest is drawn as a shade. */
export const MOST_LINES = 100;

export interface DrawnLine {
  /** Index of the series in the answer. */
  index: number;
  row: Float64Array;
}
