import type { Labels, QueryStats } from '../api/answers';
import type { DensityView } from './density';
import type { Grid, SeriesStats } from './grid';
import type { Histogram } from './parse';

/** What a page asks its result worker, which fetches, parses and keeps one result. */
export type Request =
  | { kind: 'run'; id: number; url: string; body: string; grid?: Grid }
  | { kind: 'rows'; id: number; indexes: number[] }
  | { kind: 'density'; id: number; view: DensityView }
  | { kind: 'csv'; id: number };

/** Sent at any time: stops the fetch of the run that is under way. */
export type Cancel = { kind: 'cancel' };

export interface AnswerFacts {
  warnings: string[];
  infos: string[];
  stats?: QueryStats;
  /** From sending the request to the parsed result. */
  milliseconds: number;
  bytes: number;
}

/** One row of an instant query's table: a sample, a range of samples, or histograms. */
export interface InstantRow {
  labels: Labels;
  /** Value as the server wrote it. */
  value?: string;
  /** Seconds. */
  time?: number;
  samples?: [number, number][];
  /** How many samples there are; `samples` holds the first of them only. */
  sampleCount?: number;
  histogram?: Histogram;
}

export interface RangeAnswer extends AnswerFacts {
  shape: 'range';
  grid: Grid;
  labels: Labels[];
  series: SeriesStats;
  histogramSeries: number;
  samples: number;
}

export interface InstantAnswer extends AnswerFacts {
  shape: 'instant';
  resultType: string;
  rows: InstantRow[];
}

export type QueryAnswer = RangeAnswer | InstantAnswer;

export type Reply =
  | { id: number; ok: true; value: unknown }
  | { id: number; ok: false; type: string; message: string; status: number };
