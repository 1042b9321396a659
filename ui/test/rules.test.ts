import { describe, expect, test } from 'vitest';
import type { Rule, RuleGroup } from '../src/api/answers';
import { type Choice, filesOf, isOverdue, keyedGroups, loadOf, ruleCounts } from '../src/rules/facts';

const NOON = Date.parse('2026-01-01T12:00:00Z');

function rule(name: string, part: Partial<Rule> = {}): Rule {
  return {
    type: 'recording',
    name,
    query: `sum(${name})`,
    health: 'ok',
    evaluationTime: 0.001,
    lastEvaluation: '2026-01-01T11:59:55Z',
    ...part,
  };
}

function group(file: string, name: string, rules: Rule[], part: Partial<RuleGroup> = {}): RuleGroup {
  return { file, name, interval: 30, rules, evaluationTime: 3, lastEvaluation: '2026-01-01T11:59:55Z', ...part };
}

const GROUPS = keyedGroups([
  group('a.yml', 'one', [rule('x'), rule('y', { labels: { team: 'blue' } })]),
  group('b.yml', 'calm', [rule('x'), rule('new', { health: 'unknown' })]),
  group('b.yml', 'broken', [
    rule('Alert', { type: 'alerting', query: 'up == 0' }),
    rule('bad', { health: 'err', lastError: 'many-to-many matching' }),
    rule('x', { query: 'other' }),
    rule('x'),
  ]),
]);

const ALL: Choice = { health: 'all', type: 'all', filter: '' };

function outline(choice: Partial<Choice>): string[] {
  return filesOf(GROUPS, { ...ALL, ...choice }).flatMap(({ file, groups }) =>
    groups.map(({ group, rules }) => `${file} ${group.name}: ${rules.map(({ rule }) => rule.name).join(' ')}`),
  );
}

describe('rules by file and group', () => {
  test('where something fails comes first, and rules keep their order', () => {
    expect(outline({})).toEqual(['b.yml broken: Alert bad x x', 'b.yml calm: x new', 'a.yml one: x y']);
    expect(filesOf(GROUPS, ALL).map(({ failing }) => failing)).toEqual([1, 0]);
  });

  test.each<[Partial<Choice>, string[]]>([
    [{ health: 'err' }, ['b.yml broken: bad']],
    [{ health: 'unknown' }, ['b.yml calm: new']],
    [{ type: 'alert' }, ['b.yml broken: Alert']],
    [{ type: 'alert', health: 'err' }, []],
    [{ filter: 'a.yml SUM(y)' }, ['a.yml one: y']],
    [{ filter: 'team="blue"' }, ['a.yml one: y']],
    [{ filter: 'MANY-to-many' }, ['b.yml broken: bad']],
    [{ filter: 'up == 0' }, ['b.yml broken: Alert']],
    [{ filter: 'nothing' }, []],
  ])('%j', (choice, expected) => {
    expect(outline(choice)).toEqual(expected);
  });

  test('all are counted, whatever was chosen', () => {
    expect(ruleCounts(GROUPS)).toEqual({ health: { ok: 6, err: 1, unknown: 1 }, type: { alert: 1, record: 7 } });
  });

  test('rules of one name have keys of their own', () => {
    const keys = GROUPS.flatMap(({ rules }) => rules.map(({ key }) => key));
    expect(new Set(keys).size).toBe(keys.length);
  });
});

test('how much of its interval a group takes', () => {
  expect(loadOf(group('', '', [], { interval: 10, evaluationTime: 2.5 }))).toBe(0.25);
  expect(loadOf(group('', '', [], { interval: 10, evaluationTime: 25 }))).toBe(2.5);
  expect(loadOf(group('', '', [], { interval: 0, evaluationTime: 1 }))).toBe(0);
});

test('a group is overdue when two of its turns have passed', () => {
  const of = (lastEvaluation: string) => isOverdue(group('', '', [], { lastEvaluation }), NOON);
  expect(of('2026-01-01T11:59:10Z')).toBe(false);
  expect(of('2026-01-01T11:58:50Z')).toBe(true);
  expect(of('0001-01-01T00:00:00Z')).toBe(false);
});
