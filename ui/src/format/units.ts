/** What a value counts, so that it can be shown with a fitting prefix. */
export type Unit =
  | 'none'
  | 'bytes'
  | 'bytes/s'
  | 'seconds'
  | 'ratio'
  | 'percent'
  | 'per second'
  | 'timestamp'
  | 'celsius'
  | 'volts'
  | 'hertz';

const SUFFIXES: [RegExp, Unit][] = [
  [/_timestamp_seconds$|_time_seconds$|(^|_)created$/, 'timestamp'],
  [/_bytes$/, 'bytes'],
  [/_seconds$/, 'seconds'],
  [/_(ratio)$/, 'ratio'],
  [/_percent$/, 'percent'],
  [/_celsius$/, 'celsius'],
  [/_volts$/, 'volts'],
  [/_hertz$/, 'hertz'],
];

/** node_exporter and others name byte gauges `…_MemAvailable_bytes`, histograms add `_bucket`, `_sum`, `_count`. */
export function unitOfMetric(name: string, declared = ''): Unit {
  if (/_(count|info)$/.test(name)) return 'none';
  const base = name.replace(/_(total|sum|bucket)$/, '');
  const byName = SUFFIXES.find(([suffix]) => suffix.test(base))?.[1];
  if (byName) return byName;
  const byMetadata: Record<string, Unit> = {
    bytes: 'bytes',
    seconds: 'seconds',
    ratio: 'ratio',
    celsius: 'celsius',
    volts: 'volts',
    hertz: 'hertz',
  };
  return byMetadata[declared] ?? 'none';
}

const KEYWORDS = new Set(
  'and or unless by without on ignoring group_left group_right offset bool atan2 inf nan start end step range anchored smoothed fill fill_left fill_right'.split(
    ' ',
  ),
);
const UNITLESS_CALLS =
  /\b(count|count_values|count_over_time|group|absent|absent_over_time|present_over_time|changes|resets|sgn|stdvar|log2|log10|ln|exp|scalar|vector|hour|minute|month|year|day_of_\w+)\s*\(/;

/** Names of the metrics that an expression reads, without parsing it in full. */
export function metricNames(expr: string): string[] {
  const bare = expr
    .replace(/#[^\n]*/g, ' ')
    .replace(/\{[^}]*\}/g, '{} ')
    .replace(/"(\\.|[^"\\])*"|'(\\.|[^'\\])*'|`[^`]*`/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/gi, ' ')
    .replace(/\b(offset)\s+-?\w+/gi, ' ');
  const names = new Set<string>();
  for (const match of bare.matchAll(/(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])/g)) {
    if (!KEYWORDS.has(match[0].toLowerCase())) names.add(match[0]);
  }
  return [...names];
}

/** The unit of an expression's values; `none` whenever it is not obvious. */
export function unitOfExpression(expr: string, declared: Record<string, string> = {}): Unit {
  const bare = expr
    .replace(/\{[^}]*\}/g, '')
    .replace(/"(\\.|[^"\\])*"/g, '')
    .replace(/\[[^\]]*\]/g, '');
  if (UNITLESS_CALLS.test(bare) || /==|!=|>=|<=/.test(bare)) return 'none';
  const units = new Set(metricNames(expr).map((name) => unitOfMetric(name, declared[name])));
  if (units.size !== 1) return 'none';
  let unit = [...units][0]!;
  if (unit === 'timestamp' && /\btime\s*\(\)\s*-/.test(bare)) unit = 'seconds';
  // A ratio of two values of one unit, or anything scaled by hand, has no unit that can be known.
  if (bare.includes('/'))
    return /\*\s*100\b/.test(bare) || unit === 'none' || unit === 'per second'
      ? 'none'
      : /_sum\b/.test(bare) && /_count\b/.test(bare)
        ? unit
        : 'none';
  if (bare.includes('*') || bare.includes('^')) return 'none';
  if (/\bhistogram_quantiles?\s*\(/.test(bare)) return unit;
  if (/\b(rate|irate|deriv)\s*\(/.test(bare)) {
    if (unit === 'bytes') return 'bytes/s';
    if (unit === 'seconds') return 'ratio';
    return unit === 'none' ? 'per second' : 'none';
  }
  return unit;
}
