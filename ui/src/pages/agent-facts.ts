/** Families of `/api/v1/status/self_metrics`, of which an agent says what it does. */
export interface Family {
  name: string;
  metric: Metric[];
}

interface Metric {
  label?: { name: string; value: string }[];
  counter?: { value: number | string };
  gauge?: { value: number | string };
}

/** The families that `destinationsOf` and `totalOf` look at, as a regular expression. */
export const PATTERN =
  'prometheus_agent_(active_series|samples_appended_total)' +
  '|prometheus_remote_storage_(samples|histograms|exemplars)_(total|failed_total|retried_total|dropped_total|pending)' +
  '|prometheus_remote_storage_(shards|shards_max|queue_highest_timestamp_seconds|queue_highest_sent_timestamp_seconds)' +
  '|binnacle_remote_storage_unsent_bytes';

/** A destination of remote write, and how it does. */
export interface Destination {
  name: string;
  url: string;
  /** Samples, histograms and exemplars. */
  sent: number;
  failed: number;
  retried: number;
  dropped: number;
  pending: number;
  /** Of the log, in bytes. */
  unsent: number;
  shards: number;
  shardsMax: number;
  /** Seconds between the newest that was read and the newest that was sent; undefined until something was sent. */
  behind?: number;
}

function labelOf(metric: Metric, name: string): string {
  return metric.label?.find((label) => label.name === name)?.value ?? '';
}

function numberOf(metric: Metric): number {
  return Number((metric.counter ?? metric.gauge)?.value ?? 0);
}

/** Sum of a family's metrics that `of` takes. */
export function totalOf(families: Family[], name: string, of: (metric: Metric) => boolean = () => true): number {
  const metrics = families.find((family) => family.name === name)?.metric ?? [];
  return metrics.filter(of).reduce((sum, metric) => sum + numberOf(metric), 0);
}

/** Where things are sent, by name. */
export function destinationsOf(families: Family[]): Destination[] {
  const queues = families.find((family) => family.name === 'prometheus_remote_storage_shards')?.metric ?? [];
  const destinations = queues.map((queue) => {
    const [name, url] = [labelOf(queue, 'remote_name'), labelOf(queue, 'url')];
    const own = (short: string, prefix = 'prometheus_remote_storage_') =>
      totalOf(families, prefix + short, (m) => labelOf(m, 'remote_name') === name && labelOf(m, 'url') === url);
    const all = (suffix: string) => own(`samples_${suffix}`) + own(`histograms_${suffix}`) + own(`exemplars_${suffix}`);
    const sentUpTo = own('queue_highest_sent_timestamp_seconds');
    return {
      name,
      url,
      sent: all('total'),
      failed: all('failed_total'),
      retried: all('retried_total'),
      dropped: all('dropped_total'),
      pending: all('pending'),
      unsent: own('unsent_bytes', 'binnacle_remote_storage_'),
      shards: own('shards'),
      shardsMax: own('shards_max'),
      behind: sentUpTo > 0 ? Math.max(own('queue_highest_timestamp_seconds') - sentUpTo, 0) : undefined,
    };
  });
  return destinations.sort((a, b) => (a.name < b.name ? -1 : 1));
}
