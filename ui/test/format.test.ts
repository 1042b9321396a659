import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration, spokenDuration } from '../src/format/duration';
import { seriesSelector } from '../src/format/labels';
import { formatValue } from '../src/format/number';
import { parseUtc, utcTime } from '../src/format/time';
import { metricNames, type Unit, unitOfExpression } from '../src/format/units';
import { yamlTokens } from '../src/pages/yaml';

test.each([
  ['1h', 3600_000],
  ['1h30m', 5400_000],
  ['10d', 864_000_000],
  ['1w', 604_800_000],
  ['250ms', 250],
  ['90', 90_000],
])('a duration %s is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

test.each(['', 'x', '5 m', '1h-'])('%j is no duration', (text) => expect(parseDuration(text)).toBeUndefined());

test.each(['15s', '1h30m', '10d', '1w', '2h', '1d12h', '250ms'])('%s survives being read and written', (text) => {
  expect(formatDuration(parseDuration(text)!)).toBe(text);
});

test('durations are spoken in at most two units', () => {
  expect([40, 1500, 65_000, 7_500_000, 277_200_000].map(spokenDuration)).toEqual([
    '40 ms',
    '1.5 s',
    '1 min',
    '2 h 5 min',
    '3 d 5 h',
  ]);
});

test.each<[number, Unit, string]>([
  [0, 'none', '0'],
  [1234567, 'none', '1.235 M'],
  [0.00012, 'none', '120 µ'],
  [1536, 'bytes', '1.5 KiB'],
  [8_589_934_592, 'bytes', '8 GiB'],
  [2048, 'bytes/s', '2 KiB/s'],
  [0.0031, 'seconds', '3.1 ms'],
  [0.25, 'seconds', '250 ms'],
  [0.0000042, 'seconds', '4.2 µs'],
  [7260, 'seconds', '2 h 1 min'],
  [0.125, 'ratio', '12.50 %'],
  [1_700_000_000, 'timestamp', '2023-11-14 22:13:20'],
  [Number.NEGATIVE_INFINITY, 'bytes', '-Inf'],
])('%d %s is shown as %s', (value, unit, text) => expect(formatValue(value, unit)).toBe(text));

test.each<[string, Unit]>([
  ['node_memory_MemAvailable_bytes', 'bytes'],
  ['rate(node_network_receive_bytes_total{device!="lo"}[5m])', 'bytes/s'],
  ['sum by (mode) (rate(node_cpu_seconds_total[1m]))', 'ratio'],
  ['histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))', 'seconds'],
  ['node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes', 'none'],
  ['count(node_memory_MemTotal_bytes)', 'none'],
  ['rate(http_requests_total[5m])', 'per second'],
  ['node_boot_time_seconds', 'timestamp'],
  ['time() - node_boot_time_seconds', 'seconds'],
  ['up', 'none'],
  ['go_goroutines == 5', 'none'],
])('%s is in %s', (expr, unit) => expect(unitOfExpression(expr)).toBe(unit));

test('metric names are found without labels, functions and keywords', () => {
  expect(
    metricNames('sum by (job) (rate(a_total{x="b_bytes"}[5m] offset 1h)) / on (job) group_left c:d:e > bool 0'),
  ).toEqual(['a_total', 'c:d:e']);
});

test('a series is written as PromQL reads it', () => {
  expect(seriesSelector({ __name__: 'up', job: 'a"b\\' })).toBe('up{job="a\\"b\\\\"}');
  expect(seriesSelector({ __name__: 'x.y', 'a.b': 'c' })).toBe('{"x.y", "a.b"="c"}');
  expect(seriesSelector({})).toBe('{}');
});

describe('times in an address', () => {
  test.each(['2026-11-21 10:42:55', '2026-11-21T10:42:55Z', '2026-11-21T11:42:55+01:00', '1795257775'])(
    '%s is read as UTC',
    (text) => {
      expect(utcTime(parseUtc(text)!)).toBe('2026-11-21 10:42:55');
    },
  );
  test('anything else is not a time', () => expect(parseUtc('yesterday')).toBeUndefined());
});

test.each([
  ['  - job_name: node', ['plain', 'key', 'plain']],
  ['scrape_interval: 15s', ['key', 'number']],
  ['    regex: "a: b"', ['plain', 'key', 'string']],
  ['  - localhost:9090', ['plain', 'plain']],
])('%s is coloured', (line, kinds) => {
  const tokens = yamlTokens(line);
  expect(tokens.map(({ kind }) => kind)).toEqual(kinds);
  expect(tokens.map(({ text }) => text).join('')).toBe(line);
});
