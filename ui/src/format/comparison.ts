import { type Token, tokensOf } from './promql';

export type Relation = '<' | '<=' | '>' | '>=' | '==' | '!=';

/** A number that an expression is compared with. */
export interface Limit {
  relation: Relation;
  value: number;
}

/** An expression of the form `drawn > 5` or `drawn > against`, or one of them `and …`. */
export interface Comparison {
  /** What is compared. */
  drawn: string;
  /** Mostly one; `drawn > 1 < 5` has two. */
  limits: Limit[];
  /** An expression that it is compared with, e.g. an upper bound that changes. */
  against?: { relation: Relation; expr: string };
  /** What must hold besides, with its `and` or `unless`; empty if there is nothing. */
  condition: string;
}

const MIRRORED: Record<Relation, Relation> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '==': '==', '!=': '!=' };

function isRelation(text: string): text is Relation {
  return text in MIRRORED;
}

function significant(expr: string): Token[] {
  return tokensOf(expr).filter(({ kind }) => kind !== 'space' && kind !== 'comment');
}

/** How deep in brackets each token is; an opening bracket and the one that closes it count as outside. */
function depthsOf(tokens: Token[]): number[] {
  let depth = 0;
  return tokens.map(({ kind, text }) => {
    if (kind !== 'bracket') return depth;
    return ')}]'.includes(text) ? --depth : depth++;
  });
}

function withoutOuterBrackets(tokens: Token[]): Token[] {
  if (tokens[0]?.text !== '(' || tokens[0].kind !== 'bracket') return tokens;
  const closes = depthsOf(tokens).findIndex((depth, i) => i > 0 && depth === 0);
  return closes === tokens.length - 1 ? withoutOuterBrackets(tokens.slice(1, -1)) : tokens;
}

/** What an expression compares with what; undefined if it is not as simple as that. */
export function comparisonOf(expr: string): Comparison | undefined {
  const found = compared(expr, significant(expr));
  return found && { ...found, condition: found.condition.replace(/\s+/g, ' ') };
}

function compared(expr: string, all: Token[]): Comparison | undefined {
  const tokens = withoutOuterBrackets(all);
  const depths = depthsOf(tokens);
  const outside = (test: (token: Token) => boolean) =>
    tokens.flatMap((token, i) => (depths[i] === 0 && test(token) ? [i] : []));
  const textOf = (part: Token[]) => expr.slice(part[0]!.from, part.at(-1)!.from + part.at(-1)!.text.length);

  const sets = outside(({ kind, text }) => kind === 'keyword' && /^(and|or|unless)$/i.test(text));
  if (sets.some((i) => tokens[i]!.text.toLowerCase() === 'or')) return undefined;
  if (sets.length > 0) {
    const first = compared(expr, tokens.slice(0, sets[0]));
    return first && { ...first, condition: `${first.condition} ${textOf(tokens.slice(sets[0]))}`.trim() };
  }

  const at = outside(({ kind, text }) => kind === 'operator' && isRelation(text)).at(-1);
  if (at === undefined) return undefined;
  const relation = tokens[at]!.text as Relation;
  const left = tokens.slice(0, at);
  const right = withoutMatching(tokens.slice(at + 1));
  if (left.length === 0 || right.length === 0 || right[0]!.kind === 'keyword') return undefined;
  const [below, above] = [numberOf(left), numberOf(right)];
  if (below !== undefined && above !== undefined) return undefined;
  if (below !== undefined)
    return { drawn: textOf(right), limits: [{ relation: MIRRORED[relation], value: below }], condition: '' };
  const inner: Comparison = compared(expr, left) ?? { drawn: textOf(left), limits: [], condition: '' };
  if (above !== undefined) return { ...inner, limits: [...inner.limits, { relation, value: above }] };
  return inner.against ? undefined : { ...inner, against: { relation, expr: textOf(right) } };
}

/** The right side of an operator without what says how its series are matched. */
function withoutMatching(tokens: Token[]): Token[] {
  const is = (at: number, wanted: RegExp) => tokens[at]?.kind === 'keyword' && wanted.test(tokens[at]!.text);
  const afterBrackets = (at: number) => {
    if (tokens[at]?.text !== '(') return at;
    const depths = depthsOf(tokens.slice(at));
    return at + depths.findIndex((depth, i) => i > 0 && depth === 0) + 1;
  };
  let at = 0;
  if (is(at, /^(on|ignoring)$/i)) at = afterBrackets(at + 1);
  if (is(at, /^group_(left|right)$/i)) at = afterBrackets(at + 1);
  return tokens.slice(at);
}

const SECONDS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400, w: 604800, y: 31536000 };

function literal(text: string): number {
  const lower = text.toLowerCase();
  if (lower === 'inf') return Number.POSITIVE_INFINITY;
  if (lower === 'nan' || /^(0x|[\d.]+(e|$))/.test(lower)) return Number(lower);
  let seconds = 0;
  for (const [, count, unit] of lower.matchAll(/(\d+)(ms|[smhdwy])/g)) seconds += Number(count) * SECONDS[unit!]!;
  return seconds;
}

/** The value of an expression of numbers alone, e.g. `24 * 60 * 60`; undefined for any other. */
function numberOf(tokens: Token[]): number | undefined {
  let at = 0;
  const operator = (...wanted: string[]) =>
    tokens[at]?.kind === 'operator' && wanted.includes(tokens[at]!.text) ? tokens[at++]!.text : undefined;
  const operand = (): number => {
    const token = tokens[at++];
    if (token?.kind === 'number') return literal(token.text);
    if (token?.text !== '(') throw new SyntaxError();
    const inner = sum();
    if (tokens[at++]?.text !== ')') throw new SyntaxError();
    return inner;
  };
  // A sign binds less than a power: -2 ^ 2 is -4.
  const signed = (): number => {
    const sign = operator('-', '+');
    if (sign) return sign === '-' ? -signed() : signed();
    const base = operand();
    return operator('^') ? base ** signed() : base;
  };
  const product = (): number => {
    let value = signed();
    for (let by = operator('*', '/', '%'); by; by = operator('*', '/', '%')) {
      const factor = signed();
      value = by === '*' ? value * factor : by === '/' ? value / factor : value % factor;
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (let by = operator('+', '-'); by; by = operator('+', '-')) value += by === '+' ? product() : -product();
    return value;
  };
  try {
    const value = sum();
    return at === tokens.length && !Number.isNaN(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
