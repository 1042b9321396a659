import { describe, expect, test } from 'vitest';
import { axisBounds, stackRows } from '../src/graph/bounds';
import { matchesWords } from '../src/parts/page';
import { type Column, sortRows } from '../src/parts/table';
import { commonLabels } from '../src/query/legend';
import { parseErrorOf } from '../src/query/parse-error';
import { selectorsOf } from '../src/query/selectors';
import { curlCommand } from '../src/query/share-menu';
import { evaluationOf, formatState, parseState, stepSeconds } from '../src/query/state';
import { questionOf } from '../src/query/use-query';
import { editDistance, nearestNames } from '../src/query/why-empty';

describe('the address of the query page', () => {
  test.each([
    '?g0.expr=up&g0.tab=graph&g0.display_mode=lines&g0.range_input=1h&g0.res_type=auto&g0.res_density=medium',
    '?g0.expr=up&g0.tab=table&g0.range_input=2h&g0.end_input=2026-11-21+10:42:55&g0.moment_input=2026-11-21+10:42:55&g0.res_type=fixed&g0.res_step=15&refresh=30s',
    '?g0.expr=a&g0.tab=graph&g0.display_mode=stacked&g0.range_input=1d&g0.res_type=auto&g0.res_density=high&g0.filter=x&g1.expr=b&g1.tab=table&g1.range_input=1d&g1.res_type=auto&g1.res_density=high',
  ])('%s says the whole state', (search) => expect(formatState(parseState(search))).toBe(search));

  test('links of alerts and of old pages are understood', () => {
    const alert = parseState('?g0.expr=up+%3D%3D+0&g0.tab=1');
    expect(alert.panels).toEqual([{ expr: 'up == 0', tab: 'table', stacked: false, filter: '' }]);
    const old = parseState('?g0.range_input=30m&g0.stacked=1&g0.expr=up&g0.tab=0&g0.step_input=20&g2.expr=x');
    expect(old.panels.map(({ expr, tab, stacked }) => [expr, tab, stacked])).toEqual([
      ['up', 'graph', true],
      ['x', 'table', false],
    ]);
    expect(old.time.range).toBe(1_800_000);
    expect(old.step).toEqual({ fixed: 20_000 });
  });

  test('nonsense falls back to the defaults', () => {
    const state = parseState('?g0.expr=up&g0.range_input=soon&g0.end_input=never&g0.res_step=x');
    expect(state.time).toEqual({ range: 3600_000, end: undefined });
    expect(state.step).toEqual({ density: 'medium' });
  });
});

describe('evaluation', () => {
  test('a range that ends now is laid on multiples of the step', () => {
    const at = evaluationOf({ range: 3600_000 }, { fixed: 15_000 }, 1_000_007_000);
    expect(at).toEqual({ start: 996_405, end: 1_000_005, step: 15, count: 241 });
  });
  test('a given end is kept', () => {
    const at = evaluationOf({ range: 60_000, end: 1_000_007_000 }, { fixed: 15_000 }, 0);
    expect([at.start, at.end, at.count]).toEqual([999_947, 1_000_007, 5]);
  });
  test('no step asks for more points than the server gives', () => {
    expect((30 * 86400) / stepSeconds({ fixed: 1000 }, 30 * 86400_000)).toBeLessThanOrEqual(11_000);
  });
});

test('an error stands under its character, also after multi-byte ones and on later lines', () => {
  expect(parseErrorOf('invalid parameter "query": 1:5: parse error: unexpected x', 'sum(foo')).toMatchObject({
    from: 4,
    to: 7,
    column: 4,
    message: 'unexpected x',
  });
  expect(parseErrorOf('2:2: parse error: bad', 'a +\n )')).toMatchObject({ line: 1, column: 1, from: 5 });
  expect(parseErrorOf('1:9: parse error: bad', '{a="é"} }')!.column).toBe(7);
  expect(parseErrorOf('1:99: parse error: bad', 'up')).toMatchObject({ column: 2 });
  expect(parseErrorOf('query timed out', 'up')).toBeUndefined();
});

test('selectors are found with their matchers', () => {
  const found = selectorsOf('rate(a{x="1", y=~"b,c"}[5m]) / {__name__="z"} + n');
  expect(
    found.map(({ metric, matchers }) => [metric, matchers.map(({ label, op, value }) => [label, op, value])]),
  ).toEqual([
    [
      'a',
      [
        ['x', '=', '1'],
        ['y', '=~', 'b,c'],
      ],
    ],
    ['', [['__name__', '=', 'z']]],
    ['n', []],
  ]);
});

test('the nearest names come first', () => {
  expect(editDistance('kitten', 'sitting', 5)).toBe(3);
  const names = ['node_memory_MemFree_bytes', 'node_memory_MemAvailable_bytes', 'up', 'go_goroutines'];
  expect(nearestNames('node_memory_MemAvaliable_bytes', names)[0]).toBe('node_memory_MemAvailable_bytes');
  expect(nearestNames('zzz', names)).toEqual([]);
});

test('copied as curl, an expression survives the shell', () => {
  const question = questionOf(`up{a='b'}`, 'table', { range: 1000, end: 5000 }, { density: 'medium' }, 0);
  expect(curlCommand(question)).toBe(
    `curl 'http://localhost:9090/api/v1/query' --data-urlencode 'query=up{a='\\''b'\\''}' --data-urlencode 'time=5'`,
  );
});

test('an axis shows zero when it is near', () => {
  expect(axisBounds(1, 10)[0]).toBe(0);
  expect(axisBounds(95, 100)[0]).toBeGreaterThan(90);
  expect(axisBounds(5, 5)[0]).toBeLessThan(5);
  expect(axisBounds(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)).toEqual([0, 1]);
});

test('stacking treats a gap as nothing', () => {
  const rows = stackRows([Float64Array.from([1, Number.NaN]), Float64Array.from([2, 3])]);
  expect(rows.map((row) => [...row])).toEqual([
    [1, 0],
    [3, 3],
  ]);
});

test('labels that all series share are found', () => {
  expect([
    ...commonLabels([
      { a: '1', b: '2' },
      { a: '1', b: '3' },
    ]),
  ]).toEqual(['a']);
  expect(commonLabels([{ a: '1' }]).size).toBe(0);
});

test('rows sort both ways with NaN last', () => {
  const columns: Column<{ v: number }>[] = [{ key: 'v', title: 'v', sort: ({ v }) => v, cell: () => null }];
  const rows = [{ v: 2 }, { v: Number.NaN }, { v: 3 }];
  const sorted = (descending: boolean) => sortRows(rows, columns, { key: 'v', descending }).map(({ v }) => v);
  expect(sorted(false)).toEqual([2, 3, Number.NaN]);
  expect(sorted(true)).toEqual([3, 2, Number.NaN]);
});

test('a filter wants all of its words', () => {
  expect(matchesWords('up{job="Node"}', 'node up')).toBe(true);
  expect(matchesWords('up{job="node"}', 'node down')).toBe(false);
});
