import { afterEach, expect, test, vi } from 'vitest';
import { formatTick } from '../src/format/number';
import { bothTimes, zoneName } from '../src/format/time';
import { factsOf } from '../src/pages/status-facts';
import { selectorsOf } from '../src/query/selectors';
import { answerable, firstRefresh, fittingRange, holdings, STARTERS } from '../src/query/starters';

afterEach(() => vi.unstubAllGlobals());

const MINUTE = 60_000;

test('each starter asks for the metric that it needs', () => {
  for (const { expr, needs } of STARTERS.flatMap(({ starters }) => starters)) {
    const metrics = selectorsOf(expr).map(({ metric }) => metric);
    expect(metrics.length, expr).toBeGreaterThan(0);
    // A selector over all names is answered by whatever is there.
    if (metrics.some(Boolean)) expect(metrics, expr).toContain(needs);
  }
});

test('only questions that have an answer are offered, and all while nothing is known', () => {
  expect(answerable(undefined)).toBe(STARTERS);
  const offered = answerable({ metrics: new Set(['up']) });
  expect(offered.map(({ title }) => title)).toEqual(['Monitoring itself']);
  expect(offered[0]!.starters.every(({ needs }) => needs === 'up')).toBe(true);
});

test.each([
  [0.5, 5],
  [5, 5],
  [6, 15],
  [40, 60],
  [600, 60],
])('data of %d minutes is shown in a range of %d', (age, range) =>
  expect(fittingRange(1e12, 1e12 + age * MINUTE)).toBe(range * MINUTE),
);

test('a question to a new server runs again until there is something to see', () => {
  expect(firstRefresh(1e12, 1e12 + MINUTE)).toBeGreaterThan(0);
  expect(firstRefresh(1e12, 1e12 + 10 * MINUTE)).toBe(0);
  expect(firstRefresh(undefined, 1e12)).toBe(0);
});

test('an unknown age is shown in an hour', () => expect(fittingRange(undefined, 0)).toBe(60 * MINUTE));

test('what a server holds is read from two small answers; a server without storage statistics is fine', async () => {
  vi.stubGlobal('fetch', async (url: string | URL | Request) =>
    String(url instanceof Request ? url.url : url).includes('status/tsdb')
      ? new Response('not found', { status: 404 })
      : Response.json({
          status: 'success',
          data: { result: [{ metric: { __name__: 'up' }, value: [1, '3'] }] },
        }),
  );
  const held = await holdings(new AbortController().signal);
  expect(held).toEqual({ metrics: new Set(['up']), series: 0, targets: 3, since: undefined });
});

test('facts that only Go has are left out for another program, and those without a value for all', () => {
  const facts = {
    goroutineCount: 2,
    GOMAXPROCS: 2,
    GOMEMLIMIT: 2 ** 63,
    GOGC: '75',
    GODEBUG: '',
    storageRetention: '15d',
  };
  expect(factsOf(facts, false).map(({ title }) => title)).toEqual(['Threads', 'Processors used at once', 'Retention']);
  expect(factsOf(facts, true).map(({ title }) => title)).toEqual([
    'Goroutines',
    'Processors used at once',
    'GOGC',
    'Retention',
  ]);
  expect(factsOf({ GOMEMLIMIT: 1 << 30 }, true)).toHaveLength(1);
});

test('a day that local time and UTC share is said once', () => {
  const ms = Date.parse('2026-11-21T12:00:00Z');
  if (zoneName(ms) === 'UTC') expect(bothTimes(ms)).toBe('2026-11-21 12:00:00 UTC');
  else expect(bothTimes(ms)).toMatch(/^2026-11-21 \d\d:00:00 \(12:00:00 UTC\)$|^2026-11-2[12] .*UTC\)$/);
});

test.each([
  [1.6, 'ratio', '160 %'],
  [0.125, 'ratio', '12.5 %'],
  [0, 'ratio', '0 %'],
  [0.1025, 'ratio', '10.25 %'],
  [2048, 'bytes', '2 KiB'],
] as const)('a tick at %d %s says %s', (value, unit, text) => expect(formatTick(value, unit)).toBe(text));
