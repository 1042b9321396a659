import { describe, expect, test } from 'vitest';
import { densityOf } from '../src/result/density';
import { instantCsv, rangeCsv } from '../src/result/export';
import { GridResult } from '../src/result/grid';

const series = (times: number[], values: number[]) => ({
  labels: { __name__: 'm', a: 'x,"y"' },
  times: Float64Array.from(times),
  values: Float64Array.from(values),
  histograms: [],
});

describe('GridResult', () => {
  test('lays samples on the grid, leaves gaps, and keeps the extremes of finite values', () => {
    const result = new GridResult({ start: 100, step: 15, count: 4 });
    result.add(series([100, 130.0001, 145], [1, Number.POSITIVE_INFINITY, 3]));
    expect([...result.rows[0]!]).toEqual([1, Number.NaN, Number.POSITIVE_INFINITY, 3]);
    const stats = result.stats();
    expect([stats.min[0], stats.max[0], stats.mean[0], stats.last[0]]).toEqual([1, 3, 2, 3]);
    expect(result.samples).toBe(3);
  });

  test('counts native histograms instead of drawing them', () => {
    const result = new GridResult({ start: 0, step: 1, count: 1 });
    result.add({ ...series([], []), histograms: [[0, { count: '1', sum: '1' }]] });
    expect(result.rows).toHaveLength(0);
    expect(result.histogramSeries).toBe(1);
  });
});

describe('densityOf', () => {
  const at = (opacity: Uint8Array, width: number, x: number, y: number) => opacity[y * width + x]!;

  test('marks each pixel that a line passes, denser where more do', () => {
    const flat = Float64Array.from([0, 0, 0]);
    const rising = Float64Array.from([0, 1, 2]);
    const opacity = densityOf([flat, flat, rising], { width: 5, height: 3, min: 0, max: 2 });
    expect(at(opacity, 5, 4, 0)).toBeGreaterThan(0);
    expect(at(opacity, 5, 2, 2)).toBeGreaterThan(at(opacity, 5, 4, 0));
    expect(at(opacity, 5, 0, 0)).toBe(0);
  });

  test('draws nothing in a gap or outside of the edges', () => {
    const gap = Float64Array.from([1, Number.NaN, Number.NaN, Number.NaN, 1]);
    const high = Float64Array.from([9, 9, 9, 9, 9]);
    const opacity = densityOf([gap, high], { width: 5, height: 3, min: 0, max: 2 });
    expect([0, 1, 2, 3, 4].map((x) => at(opacity, 5, x, 1) > 0)).toEqual([true, false, false, false, true]);
    expect(at(opacity, 5, 2, 0)).toBe(0);
  });
});

test('CSV quotes labels and leaves out gaps', () => {
  const labels = [{ __name__: 'm', a: 'x,"y"' }];
  const csv = rangeCsv(labels, [Float64Array.from([1, Number.NaN, 2])], { start: 0, step: 60, count: 3 });
  expect(csv).toBe(
    'time,__name__,a,value\r\n1970-01-01T00:00:00.000Z,m,"x,""y""",1\r\n1970-01-01T00:02:00.000Z,m,"x,""y""",2\r\n',
  );
  expect(instantCsv([{ labels: {}, time: 1, value: '+Inf' }])).toBe('time,value\r\n1970-01-01T00:00:01.000Z,+Inf\r\n');
});
