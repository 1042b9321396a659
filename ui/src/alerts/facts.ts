import type { Alert, Labels, Rule, RuleGroup } from '../api/answers';
import { seriesSelector } from '../format/labels';

export type AlertState = 'firing' | 'pending' | 'inactive';

/** Firing before pending before the rest. */
export const STATES: AlertState[] = ['firing', 'pending', 'inactive'];

/** An alerting rule and those of its alerts that are to be shown. */
export interface RuleAlerts {
  /** Tells the rule from all others, also after a refresh. */
  key: string;
  rule: Rule;
  group: RuleGroup;
  state: AlertState;
  alerts: KeyedAlert[];
  /** Firing and pending among all of its alerts. */
  firing: number;
  pending: number;
}

export interface KeyedAlert {
  key: string;
  alert: Alert;
  /** What a filter looks at, in lower case. */
  text: string;
}

function stateOf(state: string | undefined): AlertState {
  return state === 'firing' || state === 'pending' ? state : 'inactive';
}

export function millisecondsOf(time: string | null | undefined): number {
  const ms = time ? Date.parse(time) : Number.NaN;
  // Year 1 is Go's way to say never.
  return ms > 0 ? ms : Number.NaN;
}

const SEVERITIES = ['critical', 'page', 'error', 'high', 'warning', 'warn', 'medium', 'low', 'info', 'none'];

/** The smaller the worse; a rule without a severity stands between warnings and what is for information. */
export function severityRank(labels: Labels | undefined): number {
  const rank = SEVERITIES.indexOf((labels?.severity ?? '').toLowerCase());
  return rank < 0 ? SEVERITIES.indexOf('low') - 0.5 : rank;
}

function inOrder(a: KeyedAlert, b: KeyedAlert): number {
  const state = STATES.indexOf(stateOf(a.alert.state)) - STATES.indexOf(stateOf(b.alert.state));
  if (state) return state;
  const since = millisecondsOf(b.alert.activeAt) - millisecondsOf(a.alert.activeAt);
  return since || (a.key < b.key ? -1 : 1);
}

function words(parts: Labels | undefined): string {
  return Object.values(parts ?? {}).join(' ');
}

/** Every alerting rule with its alerts, the latest first. */
export function rulesWithAlerts(groups: RuleGroup[]): RuleAlerts[] {
  const out: RuleAlerts[] = [];
  for (const group of groups) {
    const seen = new Map<string, number>();
    for (const rule of group.rules) {
      if (rule.type !== 'alerting') continue;
      const nth = (seen.get(rule.name) ?? 0) + 1;
      seen.set(rule.name, nth);
      const about = `${group.file} ${group.name} ${rule.name} ${rule.query} ${words(rule.labels)}`;
      const alerts = (rule.alerts ?? []).map((alert) => {
        const key = seriesSelector(alert.labels);
        return { key, alert, text: `${about} ${key} ${words(alert.annotations)}`.toLowerCase() };
      });
      alerts.sort(inOrder);
      const firing = alerts.filter(({ alert }) => alert.state === 'firing').length;
      out.push({
        key: `${group.file} ${group.name} ${rule.name} ${nth}`,
        rule,
        group,
        state: stateOf(rule.state),
        alerts,
        firing,
        pending: alerts.length - firing,
      });
    }
  }
  return out;
}

export interface Counts {
  /** Alerts. */
  firing: number;
  pending: number;
  /** Rules. */
  inactive: number;
  /** Rules that could not be evaluated. */
  failing: number;
}

export function countsOf(rules: RuleAlerts[]): Counts {
  const counts = { firing: 0, pending: 0, inactive: 0, failing: 0 };
  for (const { firing, pending, state, rule } of rules) {
    counts.firing += firing;
    counts.pending += pending;
    if (state === 'inactive') counts.inactive++;
    if (rule.health === 'err') counts.failing++;
  }
  return counts;
}

export interface Section {
  state: AlertState;
  rules: RuleAlerts[];
}

/** The rules by state, the worst first, with those alerts that are in the wanted state and hold every word. */
export function sectionsOf(rules: RuleAlerts[], wanted: AlertState | 'all', filter: string): Section[] {
  const searched = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (text: string) => searched.every((word) => text.includes(word));
  const shown = rules.flatMap((one): RuleAlerts[] => {
    const alerts = one.alerts.filter(
      ({ alert, text }) => (wanted === 'all' || alert.state === wanted) && (searched.length === 0 || holds(text)),
    );
    if (alerts.length > 0) return [{ ...one, alerts }];
    if (one.alerts.length > 0 || (wanted !== 'all' && wanted !== one.state)) return [];
    const { rule, group } = one;
    const text = `${group.file} ${group.name} ${rule.name} ${rule.query} ${words(rule.labels)}`;
    return holds(text.toLowerCase()) ? [one] : [];
  });
  const rank = ({ rule, alerts }: RuleAlerts) => severityRank(alerts[0]?.alert.labels ?? rule.labels);
  const stateHere = (one: RuleAlerts) => (wanted === 'all' ? one.state : wanted);
  return STATES.map((state) => ({
    state,
    rules: shown
      .filter((one) => stateHere(one) === state)
      .sort((a, b) => rank(a) - rank(b) || (a.rule.name < b.rule.name ? -1 : a.rule.name > b.rule.name ? 1 : 0)),
  })).filter(({ rules }) => rules.length > 0);
}

/** What becomes of an alert if nothing changes. Milliseconds from now; never negative. */
export interface Outlook {
  /** Until a pending alert fires. */
  fires?: number;
  /** Until an alert ends whose condition holds no longer. */
  ends?: number;
}

export function outlookOf(alert: Alert, rule: Rule, now: number): Outlook {
  const left = (since: string | null | undefined, seconds: number | undefined) => {
    const ms = millisecondsOf(since) + (seconds ?? 0) * 1000 - now;
    return Number.isNaN(ms) ? undefined : Math.max(0, ms);
  };
  if (alert.state === 'pending') return { fires: left(alert.activeAt, rule.duration) };
  return alert.keepFiringSince ? { ends: left(alert.keepFiringSince, rule.keepFiringFor) } : {};
}

/** Annotations in the order in which they are read. */
export function orderedAnnotations(annotations: Labels): [string, string][] {
  const first = ['summary', 'message', 'title', 'description'];
  const rank = (name: string) => (first.includes(name) ? first.indexOf(name) : first.length);
  return Object.entries(annotations).sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
}

/** Whether a series can be the one that the alert came from: the alert has its labels, and those of the rule. */
export function isOf(alert: Labels, series: Labels): boolean {
  return Object.entries(series).every(([name, value]) => name === '__name__' || alert[name] === value);
}
