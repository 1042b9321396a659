import type { Labels } from '../api/answers';
import type { ParsedSeries } from './parse';

/** The evaluation times of a range query: `start`, `start + step`, … in seconds. */
export interface Grid {
  start: number;
  step: number;
  count: number;
}

export interface SeriesStats {
  min: Float64Array;
  max: Float64Array;
  mean: Float64Array;
  last: Float64Array;
}

/** A range query's samples on their common grid; NaN where a series has no sample or the sample is not a number. */
export class GridResult {
  readonly labels: Labels[] = [];
  readonly rows: Float64Array[] = [];
  private readonly minimum: number[] = [];
  private readonly maximum: number[] = [];
  private readonly average: number[] = [];
  private readonly latest: number[] = [];
  /** Series that hold native histograms, which no line can show. */
  histogramSeries = 0;
  samples = 0;

  constructor(readonly grid: Grid) {}

  add(series: ParsedSeries): void {
    if (series.histograms.length > 0) this.histogramSeries++;
    const { times, values } = series;
    if (times.length === 0) return;
    const { start, step, count } = this.grid;
    const row = new Float64Array(count).fill(Number.NaN);
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    let sum = 0;
    let finite = 0;
    for (let i = 0; i < times.length; i++) {
      const value = values[i]!;
      const at = Math.round((times[i]! - start) / step);
      if (at >= 0 && at < count) row[at] = value;
      if (value - value !== 0) continue; // NaN and ±Inf
      if (value < min) min = value;
      if (value > max) max = value;
      sum += value;
      finite++;
    }
    this.samples += times.length;
    this.labels.push(series.labels);
    this.rows.push(row);
    this.minimum.push(finite ? min : Number.NaN);
    this.maximum.push(finite ? max : Number.NaN);
    this.average.push(finite ? sum / finite : Number.NaN);
    this.latest.push(values[times.length - 1]!);
  }

  stats(): SeriesStats {
    return {
      min: Float64Array.from(this.minimum),
      max: Float64Array.from(this.maximum),
      mean: Float64Array.from(this.average),
      last: Float64Array.from(this.latest),
    };
  }
}
