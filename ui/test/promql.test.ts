import { describe, expect, test } from 'vitest';
import { comparisonOf } from '../src/format/comparison';
import { tokensOf } from '../src/format/promql';

const kinds = (expr: string) =>
  tokensOf(expr)
    .filter(({ kind }) => kind !== 'space')
    .map(({ kind, text }) => `${text}:${kind}`);

test('the parts of an expression are told apart', () => {
  expect(kinds('sum by (job, le) (rate(a:b{x=~"y\\"}",z!=`}`}[5m:30s] offset -1h)) > bool 1e3 # why')).toEqual([
    'sum:function',
    'by:keyword',
    '(:bracket',
    'job:label',
    ',:operator',
    'le:label',
    '):bracket',
    '(:bracket',
    'rate:function',
    '(:bracket',
    'a:b:name',
    '{:bracket',
    'x:label',
    '=~:operator',
    '"y\\"}":string',
    ',:operator',
    'z:label',
    '!=:operator',
    '`}`:string',
    '}:bracket',
    '[:bracket',
    '5m:number',
    '::operator',
    '30s:number',
    ']:bracket',
    'offset:keyword',
    '-:operator',
    '1h:number',
    '):bracket',
    '):bracket',
    '>:operator',
    'bool:keyword',
    '1e3:number',
    '# why:comment',
  ]);
});

test('nothing of an expression is lost, also of one with mistakes', () => {
  for (const expr of ['a > 5', 'sum(rate(x[5m', '{"with.dots"} @ 17.5', '"unclosed', ')]}', 'ä{}']) {
    expect(
      tokensOf(expr)
        .map(({ text }) => text)
        .join(''),
    ).toBe(expr);
  }
});

describe('a comparison with a number gives what is drawn and the limit', () => {
  test.each<[string, string, [string, number][], string?]>([
    ['a > 5', 'a', [['>', 5]]],
    ['5 <= a', 'a', [['>=', 5]]],
    ['up{job="x > 3"} == 0', 'up{job="x > 3"}', [['==', 0]]],
    ['(a / b * 100 < 40)', 'a / b * 100', [['<', 40]]],
    ['a < -2 ^ 2', 'a', [['<', -4]]],
    ['a > (24 * 60 + 1) * 60', 'a', [['>', 86460]]],
    ['time() - x > 1h30m', 'time() - x', [['>', 5400]]],
    ['a > 0x1F', 'a', [['>', 31]]],
    ['a > +Inf', 'a', [['>', Number.POSITIVE_INFINITY]]],
    ['sum(rate(e[5m])) by (job) / sum(r) > .05', 'sum(rate(e[5m])) by (job) / sum(r)', [['>', 0.05]]],
    ['sum(a > 3) > 10', 'sum(a > 3)', [['>', 10]]],
    [
      'a > 1 < 5',
      'a',
      [
        ['>', 1],
        ['<', 5],
      ],
    ],
    ['a > 5 and b > 3', 'a', [['>', 5]], 'and b > 3'],
    ['(\n  a < 40\nand\n  p < 0\nand\n  r == 0\n)', 'a', [['<', 40]], 'and p < 0 and r == 0'],
    ['(a > 5) unless on (job) (b or c)', 'a', [['>', 5]], 'unless on (job) (b or c)'],
    ['((a > 5) and b) and c', 'a', [['>', 5]], 'and b and c'],
    ['a > 5 # too many\n', 'a', [['>', 5]]],
  ])('%s', (expr, drawn, limits, condition = '') => {
    expect(comparisonOf(expr)).toEqual({
      drawn,
      limits: limits.map(([relation, value]) => ({ relation, value })),
      condition,
    });
  });
});

describe('a comparison with another expression gives both', () => {
  test.each<[string, string, string, string, string?]>([
    ['a > b', 'a', '>', 'b'],
    ['a:value < on () group_left () b * 3600 and c < 0.5', 'a:value', '<', 'b * 3600', 'and c < 0.5'],
    ['(a != ignoring (x, y) group_right b)', 'a', '!=', 'b'],
    ['sum by (x) (a) >= on (x) (b + c)', 'sum by (x) (a)', '>=', '(b + c)'],
    ['a > scalar(b)', 'a', '>', 'scalar(b)'],
  ])('%s', (expr, drawn, relation, against, condition = '') => {
    expect(comparisonOf(expr)).toEqual({ drawn, limits: [], against: { relation, expr: against }, condition });
  });

  test('and with a number besides', () => {
    expect(comparisonOf('a > b > 5')).toEqual({
      drawn: 'a',
      limits: [{ relation: '>', value: 5 }],
      against: { relation: '>', expr: 'b' },
      condition: '',
    });
  });
});

test.each([
  'a',
  'absent(up{job="x"})',
  'a > bool 5',
  '5 < bool a',
  'a > on (x) bool b',
  'a > b > c',
  'a > 5 or b > 3',
  '(a > 5) or vector(0)',
  'vector(1)',
  '1 > 2',
  'a >',
  '',
])('there is no limit to draw in: %s', (expr) => {
  expect(comparisonOf(expr)).toBeUndefined();
});
