import { describe, expect, test } from 'vitest';
import { type Envelope, ResultParser } from '../src/result/parse';

interface Copied {
  labels: Record<string, string>;
  times: number[];
  values: number[];
  sample?: [number, string];
  histograms: number;
}

function parse(body: string, chunk = body.length): { series: Copied[]; envelope: Envelope } {
  const series: Copied[] = [];
  const parser = new ResultParser((one) =>
    series.push({
      labels: one.labels,
      times: [...one.times],
      values: [...one.values],
      sample: one.sample,
      histograms: one.histograms.length,
    }),
  );
  const bytes = new TextEncoder().encode(body);
  for (let at = 0; at < bytes.length; at += chunk) parser.push(bytes.subarray(at, at + chunk));
  return { series, envelope: parser.finish() };
}

const head = '{"status":"success","data":{"resultType":"matrix","result":[';

describe('ResultParser', () => {
  test('reads a matrix with every kind of number', () => {
    const values = [
      '0',
      '-0.5',
      '1e-7',
      '+Inf',
      '-Inf',
      'NaN',
      '123456789012345678',
      '0.30000000000000004',
      '1.5e+300',
    ];
    const body = `${head}{"metric":{"a":"b"},"values":[${values.map((value, i) => `[${1700000000.5 + i},"${value}"]`).join(',')}]}]}}`;
    const { series, envelope } = parse(body);
    expect(series).toHaveLength(1);
    expect(series[0]!.times).toEqual(values.map((_, i) => 1700000000.5 + i));
    expect(series[0]!.values).toEqual([
      0,
      -0.5,
      1e-7,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      Number('123456789012345678'),
      0.30000000000000004,
      1.5e300,
    ]);
    expect(envelope.status).toBe('success');
    expect(envelope.data?.resultType).toBe('matrix');
  });

  test('gives the same whatever the chunks, also when they cut an element', () => {
    const long = 'x'.repeat(200_000);
    const elements = Array.from(
      { length: 12 },
      (_, i) =>
        `{"metric":{"i":"${i}","t":"a \\"result\\":[ ,{\\"metric\\": ${long}"},"values":[[1,"${i}"],[2,"${i}.25"]]}`,
    );
    const body = `${head}${elements.join(',')}],"stats":{"samples":{"peakSamples":7}}},"warnings":["w"]}`;
    const whole = parse(body);
    expect(whole.series.map(({ values }) => values)).toEqual(elements.map((_, i) => [i, i + 0.25]));
    expect(whole.envelope.data?.stats?.samples?.peakSamples).toBe(7);
    expect(whole.envelope.warnings).toEqual(['w']);
    for (const chunk of [65_536, 100_003, 700_000]) expect(parse(body, chunk)).toEqual(whole);
  });

  test('reads a vector, histograms and an empty result', () => {
    const vector = parse(
      '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"2"]}]}}',
    );
    expect(vector.series[0]!.sample).toEqual([1.5, '2']);
    const histogram = parse(
      `${head}{"metric":{},"histograms":[[1,{"count":"1","sum":"2","buckets":[[0,"1","2","1"]]}]]}]}}`,
    );
    expect(histogram.series[0]!.histograms).toBe(1);
    expect(parse(`${head}]}}`).series).toEqual([]);
  });

  test('leaves scalars and errors in the envelope', () => {
    expect(parse('{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}').envelope.data?.result).toEqual(
      [1, '2'],
    );
    const error = parse('{"status":"error","errorType":"bad_data","error":"no \\"result\\":[{ here"}').envelope;
    expect(error.errorType).toBe('bad_data');
  });

  test.each([
    '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2',
    `${head}{"metric":{"a":"b`,
    'oops',
  ])('refuses an answer that was cut off: %s', (body) => expect(() => parse(body)).toThrow(SyntaxError));
});
