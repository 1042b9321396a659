import type { Labels } from '../api/answers';

/** A label set, one chip a label, in the order of the names. */
export function LabelSet({ labels, omit }: { labels: Labels; omit?: (name: string) => boolean }) {
  const entries = Object.entries(labels)
    .filter(([name]) => !omit?.(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return <span class="muted">{'{}'}</span>;
  return (
    <span class="labels">
      {entries.map(([name, value]) => (
        <span key={name} class="label">
          <span class="label-name">{name}</span>=<span class="label-value">"{value}"</span>
        </span>
      ))}
    </span>
  );
}

/** A series as a line: its metric's name, then its labels. */
export function SeriesName({ labels, hide }: { labels: Labels; hide?: ReadonlySet<string> }) {
  const rest = Object.entries(labels).filter(([name]) => name !== '__name__' && !hide?.has(name));
  const name = hide?.has('__name__') ? '' : labels.__name__;
  return (
    <span class="series">
      {name && <span class="series-metric">{name}</span>}
      {(rest.length > 0 || !name) && '{'}
      {rest.map(([label, value], i) => (
        <span key={label}>
          {i > 0 && ', '}
          <span class="label-name">{label}</span>="<span class="label-value">{value}</span>"
        </span>
      ))}
      {(rest.length > 0 || !name) && '}'}
    </span>
  );
}
