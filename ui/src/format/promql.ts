export type TokenKind =
  | 'space'
  | 'comment'
  | 'string'
  | 'number'
  | 'keyword'
  | 'function'
  | 'label'
  | 'name'
  | 'operator'
  | 'bracket';

export interface Token {
  kind: TokenKind;
  text: string;
  /** Where it starts in the expression. */
  from: number;
}

const SHAPES: [TokenKind, RegExp][] = [
  ['space', /\s+/y],
  ['comment', /#[^\n]*/y],
  ['string', /"(?:\\[\s\S]|[^"\\])*"|'(?:\\[\s\S]|[^'\\])*'|`[^`]*`/y],
  ['number', /0x[\da-f]+|(?:\d+(?:ms|[smhdwy]))+|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/iy],
  ['name', /[a-z_:][\w:]*/iy],
  ['operator', /=~|!~|==|!=|<=|>=|<\/|>\/|[-+*/%^<>=@]/y],
  ['bracket', /[(){}[\]]/y],
];
const KEYWORDS = new Set(
  'and or unless by without on ignoring group_left group_right offset bool atan2 anchored smoothed fill fill_left fill_right'.split(
    ' ',
  ),
);
/** What these are followed by in round brackets are labels. */
const OF_LABELS = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);
const NUMBERS = new Set(['inf', 'nan']);

/** The parts of an expression that the server has parsed: of one with mistakes it is a guess. */
export function tokensOf(expr: string): Token[] {
  const out: Token[] = [];
  const open: string[] = [];
  /** The last token that is neither space nor comment. */
  let before = '';
  for (let at = 0; at < expr.length; ) {
    let kind: TokenKind = 'operator';
    let text = expr[at]!;
    for (const [shape, pattern] of SHAPES) {
      // Between square brackets a colon stands between range and step, elsewhere it is a letter.
      if (shape === 'name' && text === ':' && open.at(-1) === '[') continue;
      pattern.lastIndex = at;
      const found = pattern.exec(expr)?.[0];
      if (found === undefined) continue;
      kind = shape;
      text = found;
      break;
    }
    if (kind === 'name') kind = kindOfName(text, before, open.at(-1), expr.slice(at + text.length));
    else if (kind === 'bracket') {
      if (')}]'.includes(text)) open.pop();
      else open.push(text === '(' && OF_LABELS.has(before) ? 'labels' : text);
    }
    out.push({ kind, text, from: at });
    if (kind !== 'space' && kind !== 'comment') before = text.toLowerCase();
    at += text.length;
  }
  return out;
}

function kindOfName(text: string, before: string, within: string | undefined, rest: string): TokenKind {
  const lower = text.toLowerCase();
  // The name of a metric may stand between the braces, too, but then in quotes.
  if (within === '{' || within === 'labels') return 'label';
  if (KEYWORDS.has(lower)) return 'keyword';
  if (NUMBERS.has(lower)) return 'number';
  if (/^\s*\(/.test(rest)) return 'function';
  return /^\s*(by|without)\b/i.test(rest) && before !== 'offset' ? 'function' : 'name';
}
