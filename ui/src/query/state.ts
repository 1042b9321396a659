import { formatDuration, parseDuration } from '../format/duration';
import { parseUtc, utcTime } from '../format/time';

/** Everything that the query page shows, and nothing that its address does not say. */
export interface QueryState {
  panels: PanelState[];
  time: TimeRange;
  step: Step;
  /** Milliseconds between two runs; 0 for none. */
  refresh: number;
}

export interface PanelState {
  expr: string;
  tab: Tab;
  stacked: boolean;
  /** Filter of the legend or table. */
  filter: string;
}

export type Tab = 'table' | 'graph' | 'explain';

export interface TimeRange {
  /** Milliseconds. */
  range: number;
  /** Milliseconds since 1970; now when absent. */
  end?: number;
}

export type Density = 'low' | 'medium' | 'high';
export type Step = { density: Density } | { fixed: number };

const HOUR = 3600_000;
const POINTS: Record<Density, number> = { low: 100, medium: 250, high: 750 };
/** Seconds. Points closer than samples draw stairs, so only the fine step goes below the usual scrape interval. */
const USUAL_INTERVAL = 15;
/** Prometheus refuses more points than this in one series. */
const MOST_POINTS = 11_000;

export const EMPTY_PANEL: PanelState = { expr: '', tab: 'graph', stacked: false, filter: '' };

/** Reads the parameters that Prometheus' own page uses, of this and of earlier versions. */
export function parseState(search: string): QueryState {
  const params = new URLSearchParams(search);
  const indexes = new Set<number>();
  for (const name of params.keys()) {
    const match = /^g(\d+)\./.exec(name);
    if (match) indexes.add(Number(match[1]));
  }
  const sorted = [...indexes].sort((a, b) => a - b);
  const first = sorted[0] ?? 0;
  const of = (name: string) => params.get(`g${first}.${name}`) ?? '';
  return {
    panels: sorted.length ? sorted.map((i) => parsePanel(params, i)) : [{ ...EMPTY_PANEL }],
    time: {
      range: parseDuration(of('range_input')) || HOUR,
      end: parseUtc(of('end_input') || of('moment_input')),
    },
    step: parseStep(of),
    refresh: parseDuration(params.get('refresh') ?? '') ?? 0,
  };
}

function parsePanel(params: URLSearchParams, index: number): PanelState {
  const of = (name: string) => params.get(`g${index}.${name}`) ?? '';
  return {
    expr: of('expr'),
    tab: parseTab(of('tab')),
    stacked: of('display_mode') === 'stacked' || of('stacked') === '1',
    filter: of('filter'),
  };
}

function parseTab(text: string): Tab {
  if (text === 'graph' || text === '0') return 'graph';
  return text === 'explain' ? 'explain' : 'table';
}

function parseStep(of: (name: string) => string): Step {
  const type = of('res_type');
  const fixed = parseDuration(of('res_step') || of('step_input'));
  if (fixed && type !== 'auto') return { fixed };
  const density = of('res_density');
  return { density: density === 'low' || density === 'high' ? density : 'medium' };
}

/** The query string of a state, starting with `?`. */
export function formatState(state: QueryState): string {
  const params = new URLSearchParams();
  state.panels.forEach((panel, i) => {
    const set = (name: string, value: string) => params.set(`g${i}.${name}`, value);
    set('expr', panel.expr);
    set('tab', panel.tab);
    if (panel.tab === 'graph') set('display_mode', panel.stacked ? 'stacked' : 'lines');
    set('range_input', formatDuration(state.time.range));
    if (state.time.end !== undefined) {
      set('end_input', utcTime(state.time.end));
      set('moment_input', utcTime(state.time.end));
    }
    if ('fixed' in state.step) {
      set('res_type', 'fixed');
      set('res_step', String(state.step.fixed / 1000));
    } else {
      set('res_type', 'auto');
      set('res_density', state.step.density);
    }
    if (panel.filter) set('filter', panel.filter);
  });
  if (state.refresh > 0) params.set('refresh', formatDuration(state.refresh));
  // Colons, slashes and spaces stay readable in an address.
  return `?${params.toString().replaceAll('%3A', ':').replaceAll('%2F', '/')}`;
}

const NICE_STEPS = [
  1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400,
];

/** Seconds between two points. */
export function stepSeconds(step: Step, rangeMs: number): number {
  const least = rangeMs / 1000 / MOST_POINTS;
  if ('fixed' in step) return Math.max(step.fixed / 1000, Math.ceil(least * 1000) / 1000);
  const floor = step.density === 'high' ? 1 : USUAL_INTERVAL;
  const wanted = Math.max(floor, rangeMs / 1000 / POINTS[step.density]);
  return NICE_STEPS.find((nice) => nice >= wanted) ?? Math.ceil(wanted / 86400) * 86400;
}

export interface Evaluation {
  /** Seconds. */
  start: number;
  end: number;
  step: number;
  count: number;
}

/**
 * Where a range query is evaluated. A range that ends now is laid on multiples of its step, so that a refresh does not
 * shift every point; one with a given end is taken as it is.
 */
export function evaluationOf(time: TimeRange, step: Step, now: number): Evaluation {
  const seconds = stepSeconds(step, time.range);
  let end = (time.end ?? now) / 1000;
  if (time.end === undefined) end = Math.floor(end / seconds) * seconds;
  const count = Math.floor(time.range / 1000 / seconds) + 1;
  const start = Math.round((end - (count - 1) * seconds) * 1000) / 1000;
  return { start, end: Math.round(end * 1000) / 1000, step: seconds, count };
}
