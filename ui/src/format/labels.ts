import type { Labels } from '../api/answers';

const PLAIN_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const PLAIN_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

export function quote(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`;
}

/** A series as PromQL writes it: `up{instance="a:1", job="b"}`; names outside the classic alphabet are quoted. */
export function seriesSelector(labels: Labels): string {
  const name = labels.__name__ ?? '';
  const plain = PLAIN_NAME.test(name);
  const matchers = Object.entries(labels)
    .filter(([label]) => label !== '__name__')
    .map(([label, value]) => `${PLAIN_LABEL.test(label) ? label : quote(label)}=${quote(value)}`);
  if (name && !plain) matchers.unshift(quote(name));
  const inner = matchers.join(', ');
  if (plain) return inner ? `${name}{${inner}}` : name;
  return `{${inner}}`;
}
