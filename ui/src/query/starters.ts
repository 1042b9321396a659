import type { TsdbStatus } from '../api/answers';
import { apiGet } from '../api/client';
import type { PanelState } from './state';

/** A question to start from. */
export interface Starter {
  title: string;
  expr: string;
  /** A metric without which there is no answer. */
  needs: string;
  show: Pick<PanelState, 'tab' | 'stacked'>;
}

export interface StarterGroup {
  title: string;
  starters: Starter[];
}

const LINES = { tab: 'graph', stacked: false } as const;
const STACKED = { tab: 'graph', stacked: true } as const;
const TABLE = { tab: 'table', stacked: false } as const;

/** Rates look back two minutes: enough for an interval of a minute, and little enough for a server that just started. */
export const STARTERS: StarterGroup[] = [
  {
    title: 'Machines',
    starters: [
      {
        title: 'What the processors do',
        expr: 'sum by (mode) (rate(node_cpu_seconds_total[2m]))',
        needs: 'node_cpu_seconds_total',
        show: STACKED,
      },
      {
        title: 'Load against processors',
        expr: 'node_load1 / on (instance, job) count by (instance, job) (node_cpu_seconds_total{mode="idle"})',
        needs: 'node_load1',
        show: LINES,
      },
      {
        title: 'Memory that is available',
        expr: 'node_memory_MemAvailable_bytes',
        needs: 'node_memory_MemAvailable_bytes',
        show: LINES,
      },
      {
        title: 'Time that work waited for a processor',
        expr: 'rate(node_pressure_cpu_waiting_seconds_total[2m])',
        needs: 'node_pressure_cpu_waiting_seconds_total',
        show: LINES,
      },
    ],
  },
  {
    title: 'Disks and network',
    starters: [
      {
        title: 'Network, received',
        expr: 'rate(node_network_receive_bytes_total{device!="lo"}[2m])',
        needs: 'node_network_receive_bytes_total',
        show: LINES,
      },
      {
        title: 'Network, sent',
        expr: 'rate(node_network_transmit_bytes_total{device!="lo"}[2m])',
        needs: 'node_network_transmit_bytes_total',
        show: LINES,
      },
      {
        title: 'Written to disks',
        expr: 'rate(node_disk_written_bytes_total[2m])',
        needs: 'node_disk_written_bytes_total',
        show: LINES,
      },
      {
        title: 'Space used on file systems',
        expr: '1 - node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"} / node_filesystem_size_bytes',
        needs: 'node_filesystem_avail_bytes',
        show: TABLE,
      },
    ],
  },
  {
    title: 'Monitoring itself',
    starters: [
      { title: 'Which targets answer', expr: 'up', needs: 'up', show: TABLE },
      {
        title: 'How long scrapes take',
        expr: 'scrape_duration_seconds',
        needs: 'scrape_duration_seconds',
        show: LINES,
      },
      {
        title: 'Samples stored per second',
        expr: 'rate(prometheus_tsdb_head_samples_appended_total[2m])',
        needs: 'prometheus_tsdb_head_samples_appended_total',
        show: LINES,
      },
      {
        title: 'The metrics with most series',
        expr: 'topk(10, count by (__name__) ({__name__!=""}))',
        needs: 'up',
        show: TABLE,
      },
    ],
  },
];

/** What the server holds so far. */
export interface Holdings {
  /** Those metrics of the starters that have samples now. */
  metrics: ReadonlySet<string>;
  series: number;
  targets: number;
  /** Milliseconds since 1970 of the oldest sample in the head; absent when there is none. */
  since?: number;
}

interface Vector {
  result: { metric: { __name__?: string }; value: [number, string] }[];
}

/** One small query instead of one a starter; counting is cheap, so it can be asked again until something is there. */
export async function holdings(signal: AbortSignal): Promise<Holdings> {
  const wanted = [...new Set(STARTERS.flatMap(({ starters }) => starters.map(({ needs }) => needs)))];
  const [vector, tsdb] = await Promise.all([
    apiGet<Vector>('query', { query: `count by (__name__) ({__name__=~"${wanted.join('|')}"})` }, signal),
    apiGet<TsdbStatus>('status/tsdb', { limit: 1 }, signal).catch(() => undefined),
  ]);
  const counts = new Map(vector.result.map(({ metric, value }) => [metric.__name__ ?? '', Number(value[1])]));
  const head = tsdb?.headStats;
  return {
    metrics: new Set(counts.keys()),
    series: head?.numSeries ?? 0,
    targets: counts.get('up') ?? 0,
    since: head && head.minTime <= head.maxTime ? head.minTime : undefined,
  };
}

/** The starters that have an answer here; all of them when nothing is known. */
export function answerable(known: Pick<Holdings, 'metrics'> | undefined): StarterGroup[] {
  if (!known) return STARTERS;
  return STARTERS.map(({ title, starters }) => ({
    title,
    starters: starters.filter(({ needs }) => known.metrics.has(needs)),
  })).filter(({ starters }) => starters.length > 0);
}

/** How often a question runs again while a new server's first minutes come in; 0 for a server that has been there. */
export function firstRefresh(since: number | undefined, now: number): number {
  return since !== undefined && now - since < 2 * MINUTE ? 5_000 : 0;
}

const MINUTE = 60_000;
const RANGES = [5 * MINUTE, 15 * MINUTE, 60 * MINUTE];

/** The shortest of the usual ranges that holds all there is: minutes of data would be lost at the edge of an hour. */
export function fittingRange(since: number | undefined, now: number): number {
  const age = since === undefined ? Number.POSITIVE_INFINITY : now - since;
  return RANGES.find((range) => age <= range) ?? RANGES.at(-1)!;
}
