import type { Labels } from '../api/answers';
import { rawValue } from '../format/number';
import type { Grid } from './grid';
import type { InstantRow } from './protocol';

function field(text: string): string {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Every label that occurs, the metric's name first. */
function labelNames(sets: Labels[]): string[] {
  const names = new Set<string>();
  for (const labels of sets) for (const name of Object.keys(labels)) names.add(name);
  return [...names].sort((a, b) => (a === '__name__' ? -1 : b === '__name__' ? 1 : a < b ? -1 : 1));
}

/** One line a sample: time, labels, value (RFC 4180). */
export function rangeCsv(labels: Labels[], rows: Float64Array[], grid: Grid): string {
  const names = labelNames(labels);
  const lines = [['time', ...names, 'value'].map(field).join(',')];
  labels.forEach((set, series) => {
    const prefix = names.map((name) => field(set[name] ?? '')).join(',');
    rows[series]!.forEach((value, i) => {
      if (Number.isNaN(value)) return;
      const time = new Date((grid.start + i * grid.step) * 1000).toISOString();
      lines.push([time, ...(names.length ? [prefix] : []), rawValue(value)].join(','));
    });
  });
  return `${lines.join('\r\n')}\r\n`;
}

export function instantCsv(rows: InstantRow[]): string {
  const names = labelNames(rows.map((row) => row.labels));
  const lines = [['time', ...names, 'value'].map(field).join(',')];
  for (const row of rows) {
    const labels = names.map((name) => field(row.labels[name] ?? ''));
    const samples: [number, string][] = row.samples
      ? row.samples.map(([time, value]) => [time, rawValue(value)])
      : [[row.time ?? 0, row.value ?? row.histogram?.count ?? '']];
    for (const [time, value] of samples)
      lines.push([new Date(time * 1000).toISOString(), ...labels, field(value)].join(','));
  }
  return `${lines.join('\r\n')}\r\n`;
}
