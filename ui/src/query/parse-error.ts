/** Where in an expression the server found a mistake, and what it said about it. */
export interface ParseError {
  /** Offset in the expression, in UTF-16 units as JavaScript counts. */
  from: number;
  to: number;
  /** Zero-based. */
  line: number;
  column: number;
  message: string;
}

/** Takes apart `invalid parameter "query": 1:8: parse error: …`; undefined for an error without a place. */
export function parseErrorOf(message: string, expr: string): ParseError | undefined {
  const match = /(\d+):(\d+): (?:parse error: )?([\s\S]*)$/.exec(message);
  if (!match) return undefined;
  const lines = expr.split('\n');
  const line = Math.min(Number(match[1]) - 1, lines.length - 1);
  const text = lines[line] ?? '';
  // The server counts bytes of UTF-8.
  const before = new TextDecoder().decode(new TextEncoder().encode(text).subarray(0, Number(match[2]) - 1));
  const column = Math.min(before.length, text.length);
  const from = lines.slice(0, line).reduce((sum, one) => sum + one.length + 1, 0) + column;
  const word = /^(\w+|\S)/.exec(text.slice(column))?.[0] ?? '';
  return { from, to: from + word.length, line, column, message: match[3]! };
}
