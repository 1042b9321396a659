import type { Labels } from '../api/answers';
import { apiGet } from '../api/client';
import { quote } from '../format/labels';
import { type Matcher, type Selector, selectorsOf, selectorText, writtenSelector } from './selectors';
import type { Evaluation } from './state';

/** Something to do about an empty result. */
export type Remedy = { text: string; expr: string } | { text: string; range: number };

export interface Reason {
  /** The selector that this is about. */
  selector: string;
  text: string;
  remedies: Remedy[];
}

const DAY = 86400;
const WIDER: [string, number][] = [
  ['the last day', DAY],
  ['the last week', 7 * DAY],
  ['the last 30 days', 30 * DAY],
];
const SELECTORS = 3;
/** Seconds. */
const JUST_AFTER = 120;

/** How many letters have to change to turn one name into the other; gives up beyond `limit`. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    previous = row;
  }
  return previous[b.length]!;
}

/** Names like the wanted one: few letters apart, or made of the same words. */
export function nearestNames(wanted: string, names: string[], count = 5): string[] {
  const lower = wanted.toLowerCase();
  const words = new Set(lower.split(/[_:]/).filter((word) => word.length > 1));
  const limit = Math.max(2, Math.floor(lower.length / 4));
  return names
    .map((name) => {
      const other = name.toLowerCase();
      const distance = editDistance(lower, other, limit);
      const shared = other.split(/[_:]/).filter((word) => words.has(word)).length;
      const score =
        distance <= limit
          ? 100 - distance
          : other.includes(lower) || lower.includes(other)
            ? 50
            : words.size && shared / words.size >= 0.6
              ? shared
              : 0;
      return { name, score };
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || a.name.length - b.name.length)
    .slice(0, count)
    .map(({ name }) => name);
}

async function exists(
  selector: string,
  range?: { start: number; end: number },
  signal?: AbortSignal,
): Promise<boolean> {
  const series = await apiGet<Labels[]>('series', { 'match[]': [selector], limit: 1, ...range }, signal);
  return series.length > 0;
}

/** Asks the server, selector by selector, why an expression returned nothing. */
export async function whyEmpty(
  expr: string,
  evaluation: Evaluation,
  ranged: boolean,
  signal: AbortSignal,
): Promise<Reason[]> {
  const lookback = 300;
  const range = { start: (ranged ? evaluation.start : evaluation.end) - lookback, end: evaluation.end };
  const selectors = selectorsOf(expr).slice(0, SELECTORS);
  const reasons = await Promise.all(selectors.map((selector) => reasonOf(expr, selector, range, signal)));
  return reasons.filter((reason) => reason !== undefined);
}

async function reasonOf(
  expr: string,
  selector: Selector,
  range: { start: number; end: number },
  signal: AbortSignal,
): Promise<Reason | undefined> {
  const { metric, matchers, text } = selector;
  const full = selectorText(
    metric,
    matchers.map((one) => one.text),
  );
  if (await exists(full, range, signal)) return undefined;
  if (await exists(full, undefined, signal)) return elsewhere(selector, full, range.end, signal);
  const byName = metric || matchers.find((one) => one.label === '__name__' && one.op === '=')?.value;
  if (byName && !(await exists(selectorText(byName, []), undefined, signal)))
    return noSuchMetric(expr, text, byName, signal);
  return killedByMatchers(expr, selector, signal);
}

async function elsewhere({ text }: Selector, full: string, end: number, signal: AbortSignal): Promise<Reason> {
  // A range that ends now is laid on multiples of its step, so that it may end before a new server's first sample.
  if (await exists(full, { start: end, end: end + JUST_AFTER }, signal)) {
    return {
      selector: text,
      text: `Series match ${text}, but their samples only begin right after the end of this time range. Run it again in a moment.`,
      remedies: [],
    };
  }
  for (const [name, seconds] of WIDER) {
    if (await exists(full, { start: end - seconds, end }, signal)) {
      return {
        selector: text,
        text: `Series match ${text}, but none has a sample in this time range. There are some in ${name} before its end.`,
        remedies: [{ text: `Show ${name}`, range: seconds * 1000 }],
      };
    }
  }
  return {
    selector: text,
    text: `Series match ${text}, but their samples are far from this time range.`,
    remedies: [],
  };
}

async function noSuchMetric(expr: string, text: string, name: string, signal: AbortSignal): Promise<Reason> {
  const names = await apiGet<string[]>('label/__name__/values', {}, signal);
  return {
    selector: text,
    text: `There is no metric named ${name}.`,
    remedies: nearestNames(name, names).map((near) => ({ text: near, expr: expr.replaceAll(name, near) })),
  };
}

/** The metric exists, so some matcher, or two of them together, leaves nothing. */
async function killedByMatchers(expr: string, selector: Selector, signal: AbortSignal): Promise<Reason> {
  const { metric, matchers, text } = selector;
  const alone = await Promise.all(
    matchers.map((one) => exists(selectorText(metric, [one.text]), undefined, signal).catch(() => true)),
  );
  const killer = matchers.find((_, i) => !alone[i]);
  const without = (dropped: Matcher) =>
    writtenSelector(
      metric,
      matchers.filter((one) => one !== dropped).map((one) => one.text),
    );
  if (!killer) {
    return {
      selector: text,
      text: `Each matcher of ${text} finds series, but no series has all of them.`,
      remedies: matchers.map((one) => ({ text: `Without ${one.text}`, expr: expr.replace(text, without(one)) })),
    };
  }
  const params = metric ? { 'match[]': [selectorText(metric, [])] } : {};
  const values = await apiGet<string[]>(`label/${encodeURIComponent(killer.label)}/values`, params, signal).catch(
    () => [],
  );
  const near = nearestNames(killer.value, values, 4);
  const offered = [...new Set([...near, ...values])].slice(0, 4);
  const found =
    values.length === 0
      ? `series${metric ? ' of it' : ''} has the label ${killer.label}`
      : `series${metric ? ' of it' : ''} matches ${killer.text}`;
  return {
    selector: text,
    text: metric ? `The metric ${metric} exists, but no ${found}.` : `No ${found}.`,
    remedies: [
      ...offered.map((value) => ({
        text: `${killer.label}=${quote(value)}`,
        expr: expr.replace(killer.text, `${killer.label}=${quote(value)}`),
      })),
      { text: `Without ${killer.text}`, expr: expr.replace(text, without(killer)) },
    ],
  };
}
