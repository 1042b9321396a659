import type { Labels } from '../api/answers';

/** Lines below `key:` that are indented deeper, as the server writes its configuration. */
function below(lines: string[], key: string): string[] {
  const at = lines.findIndex((line) => line.trim() === `${key}:`);
  if (at < 0) return [];
  const depth = lines[at]!.search(/\S/);
  const end = lines.findIndex((line, i) => i > at && line.trim() !== '' && line.search(/\S/) <= depth);
  return lines.slice(at + 1, end < 0 ? undefined : end);
}

/** A scalar on one line; undefined for what goes on over several, or is written in a way that is not read here. */
function scalar(text: string): string | undefined {
  try {
    if (text.startsWith('"')) return JSON.parse(text);
  } catch {
    return undefined;
  }
  if (text.startsWith("'")) return /^'(?:[^']|'')*'$/.test(text) ? text.slice(1, -1).replaceAll("''", "'") : undefined;
  return text === '' || /^[|>&*!{[]/.test(text) ? undefined : text;
}

/**
 * Labels that the server adds to each alert that it sends, from its configuration. None when alerts are relabelled before
 * they are sent: then nobody can tell here which of them are left, and a matcher too many would let alerts through.
 */
export function externalLabelsOf(yaml: string): Labels {
  const lines = yaml.split('\n');
  const top = (key: string) => below(lines.slice(Math.max(0, lines.indexOf(`${key}:`))), key);
  if (top('alerting').some((line) => /^\s*(- )?alert_relabel_configs:/.test(line))) return {};
  const written = below(top('global'), 'external_labels');
  const depth = written[0]?.search(/\S/) ?? 0;
  const labels: Labels = {};
  for (const line of written) {
    const [, name, text] = /^\s*("[^"]*"|[^\s:"']+): ?(.*)$/.exec(line) ?? [];
    const value = line.search(/\S/) === depth && text !== undefined ? scalar(text.trimEnd()) : undefined;
    if (name === undefined || value === undefined) return {};
    labels[name.replaceAll('"', '')] = value;
  }
  return labels;
}
