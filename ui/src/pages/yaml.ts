export interface YamlToken {
  kind: 'plain' | 'key' | 'string' | 'number' | 'comment';
  text: string;
}

/** Splits one line of block-style YAML, as the server prints its configuration, for colouring. */
export function yamlTokens(line: string): YamlToken[] {
  const match = /^(\s*(?:- )*)((?:"[^"]*"|'[^']*'|[^\s:#'"][^:#]*?):(?=\s|$))?(.*)$/.exec(line);
  if (!match) return [{ kind: 'plain', text: line }];
  const [, indent = '', key = '', rest = ''] = match;
  const tokens: YamlToken[] = [];
  if (indent) tokens.push({ kind: 'plain', text: indent });
  if (key) tokens.push({ kind: 'key', text: key });
  if (rest) tokens.push({ kind: valueKind(rest.trim()), text: rest });
  return tokens;
}

function valueKind(value: string): YamlToken['kind'] {
  if (value.startsWith('#')) return 'comment';
  if (/^["']/.test(value)) return 'string';
  if (/^(-?\d[\d.]*(ms|s|m|h|d|w|y|[KMGT]i?B|B)?|true|false|null)+$/.test(value)) return 'number';
  return 'plain';
}
