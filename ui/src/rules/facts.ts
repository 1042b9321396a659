import type { Rule, RuleGroup } from '../api/answers';
import { seriesSelector } from '../format/labels';

export type Health = 'err' | 'unknown' | 'ok';
export type RuleType = 'alert' | 'record';

export interface KeyedRule {
  /** Tells the rule from all others, also after a refresh. */
  key: string;
  rule: Rule;
  health: Health;
  type: RuleType;
  /** What a filter looks at, in lower case. */
  text: string;
}

export interface GroupOfRules {
  key: string;
  group: RuleGroup;
  rules: KeyedRule[];
  /** Of all its rules, whatever the filter. */
  failing: number;
}

export interface FileOfRules {
  file: string;
  groups: GroupOfRules[];
  failing: number;
}

function healthOf(health: string): Health {
  return health === 'ok' || health === 'err' ? health : 'unknown';
}

/** Groups with their rules in the order of evaluation. */
export function keyedGroups(groups: RuleGroup[]): GroupOfRules[] {
  return groups.map((group) => {
    const seen = new Map<string, number>();
    const key = `${group.file} ${group.name}`;
    const rules = group.rules.map((rule): KeyedRule => {
      const nth = (seen.get(rule.name) ?? 0) + 1;
      seen.set(rule.name, nth);
      const labels = seriesSelector(rule.labels ?? {});
      return {
        key: `${key} ${rule.name} ${nth}`,
        rule,
        health: healthOf(rule.health),
        type: rule.type === 'alerting' ? 'alert' : 'record',
        text: [key, rule.name, rule.query, labels, rule.lastError].join(' ').toLowerCase(),
      };
    });
    return { key, group, rules, failing: rules.filter(({ health }) => health === 'err').length };
  });
}

export interface Choice {
  health: Health | 'all';
  type: RuleType | 'all';
  filter: string;
}

/** What was chosen, file by file; those with a failing rule come first. */
export function filesOf(groups: GroupOfRules[], { health, type, filter }: Choice): FileOfRules[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const files = new Map<string, FileOfRules>();
  for (const one of groups) {
    const rules = one.rules.filter(
      (rule) =>
        (health === 'all' || rule.health === health) &&
        (type === 'all' || rule.type === type) &&
        words.every((word) => rule.text.includes(word)),
    );
    if (rules.length === 0) continue;
    const file = files.get(one.group.file) ?? { file: one.group.file, groups: [], failing: 0 };
    files.set(file.file, file);
    file.groups.push({ ...one, rules });
    file.failing += one.failing;
  }
  const worstFirst = (a: { failing: number }, b: { failing: number }) => Number(b.failing > 0) - Number(a.failing > 0);
  for (const { groups } of files.values()) groups.sort(worstFirst);
  return [...files.values()].sort((a, b) => worstFirst(a, b) || (a.file < b.file ? -1 : 1));
}

export interface RuleCounts {
  health: Record<Health, number>;
  type: Record<RuleType, number>;
}

export function ruleCounts(groups: GroupOfRules[]): RuleCounts {
  const counts: RuleCounts = { health: { err: 0, unknown: 0, ok: 0 }, type: { alert: 0, record: 0 } };
  for (const { rules } of groups) {
    for (const { health, type } of rules) {
      counts.health[health]++;
      counts.type[type]++;
    }
  }
  return counts;
}

/** How much of its interval a group's evaluation took; beyond 1 the next one comes too late. */
export function loadOf({ evaluationTime, interval }: RuleGroup): number {
  return interval > 0 ? evaluationTime / interval : 0;
}

/** Whether a group that should have been evaluated by now was not. `at` in milliseconds. */
export function isOverdue(group: RuleGroup, at: number): boolean {
  const last = Date.parse(group.lastEvaluation);
  return last > 0 && at - last > (2 * group.interval + group.evaluationTime) * 1000 + 1000;
}
