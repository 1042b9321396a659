import type { Labels, QueryStats } from '../api/answers';

/** A native histogram as the API sends it. */
export interface Histogram {
  count: string;
  sum: string;
  buckets?: [number, string, string, string][];
}

/**
 * One element of `data.result`. `times` (seconds) and `values` are windows of buffers that the parser reuses:
 * copy what has to outlive the callback.
 */
export interface ParsedSeries {
  labels: Labels;
  times: Float64Array;
  values: Float64Array;
  /** `value` of an instant vector, its number as the server wrote it. */
  sample?: [number, string];
  histograms: [number, Histogram][];
}

/** The answer without the elements of `data.result`, unless the result is not a list of series. */
export interface Envelope {
  status?: string;
  data?: { resultType?: string; result?: unknown; stats?: QueryStats };
  errorType?: string;
  error?: string;
  warnings?: string[];
  infos?: string[];
}

/** Chunks are collected up to this size so that an element is rarely scanned twice. */
const BATCH = 512 * 1024;
/** Beyond this many samples the 16th digit of a value is no longer worth its time. */
const EXACT_SAMPLES = 200_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
// Neither occurs inside a JSON string: a quote there is preceded by a backslash.
const RESULT_START = encoder.encode('"result":[');
const NEXT_ELEMENT = encoder.encode(',{"metric":');

const QUOTE = 34;
const COMMA = 44;
const MINUS = 45;
const DOT = 46;
const ZERO = 48;
const NINE = 57;
const COLON = 58;
const OPEN = 91;
const BACKSLASH = 92;
const CLOSE = 93;
const BRACE = 123;
const END_BRACE = 125;

const POWERS = Array.from({ length: 23 }, (_, power) => Number(`1e${power}`));

function indexOf(bytes: Uint8Array, pattern: Uint8Array): number {
  let from = bytes.indexOf(pattern[0]!);
  while (from !== -1) {
    if (pattern.every((byte, i) => bytes[from + i] === byte)) return from;
    from = bytes.indexOf(pattern[0]!, from + 1);
  }
  return -1;
}

function lastIndexOf(bytes: Uint8Array, pattern: Uint8Array): number {
  let from = bytes.lastIndexOf(pattern[0]!);
  while (from > 0) {
    if (pattern.every((byte, i) => bytes[from + i] === byte)) return from;
    from = bytes.lastIndexOf(pattern[0]!, from - 1);
  }
  return -1;
}

/**
 * Parses an answer of `query` or `query_range` while it arrives. The samples of a large matrix go straight into number
 * arrays; building the JSON objects first would take a hundred bytes each.
 */
export class ResultParser {
  private chunks: Uint8Array[] = [];
  private size = 0;
  private phase: 'head' | 'elements' | 'rest' = 'head';
  private envelope = '';
  private samples = 0;
  private times = new Float64Array(1024);
  private values = new Float64Array(1024);
  private number = 0;

  constructor(private readonly onSeries: (series: ParsedSeries) => void) {}

  push(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    this.size += chunk.length;
    if (this.size >= BATCH) this.scan(false);
  }

  finish(): Envelope {
    this.scan(true);
    return JSON.parse(this.envelope);
  }

  private scan(complete: boolean): void {
    let bytes = this.joined();
    if (this.phase === 'head') {
      const start = indexOf(bytes, RESULT_START);
      const first = bytes[start + RESULT_START.length];
      if (start === -1 || (first !== BRACE && first !== CLOSE)) {
        // An error, a scalar or a string: small, and read as a whole.
        if (complete) this.envelope = decoder.decode(bytes);
        else this.keep(bytes);
        return;
      }
      this.envelope = decoder.decode(bytes.subarray(0, start + RESULT_START.length));
      bytes = bytes.subarray(start + RESULT_START.length);
      this.phase = 'elements';
    }
    if (this.phase === 'elements') {
      const end = complete ? bytes.length : lastIndexOf(bytes, NEXT_ELEMENT);
      if (end === -1) {
        this.keep(bytes);
        return;
      }
      bytes = bytes.subarray(this.elements(bytes, end));
    }
    if (complete) this.envelope += decoder.decode(bytes);
    else this.keep(bytes);
  }

  private joined(): Uint8Array {
    if (this.chunks.length === 1) return this.chunks[0]!;
    const all = new Uint8Array(this.size);
    let at = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  private keep(bytes: Uint8Array): void {
    this.chunks = [bytes];
    this.size = bytes.length;
  }

  /** Reads elements from the start of `bytes` up to `end` or the closing bracket; returns where it stopped. */
  private elements(bytes: Uint8Array, end: number): number {
    let at = 0;
    while (at < end) {
      if (bytes[at] === CLOSE) {
        this.phase = 'rest';
        return at;
      }
      if (bytes[at] === COMMA) at++;
      if (bytes[at] !== BRACE) throw new SyntaxError(`unexpected byte ${bytes[at]} in the list of series`);
      at = this.element(bytes, at + 1);
    }
    return at;
  }

  private element(bytes: Uint8Array, start: number): number {
    const series: ParsedSeries = { labels: {}, times: this.times, values: this.values, histograms: [] };
    let count = 0;
    let at = start;
    while (bytes[at] !== END_BRACE) {
      if (bytes[at] === COMMA) at++;
      const keyEnd = skipString(bytes, at);
      const key = decoder.decode(bytes.subarray(at + 1, keyEnd - 1));
      at = keyEnd;
      if (bytes[at] !== COLON) throw new SyntaxError('a colon was expected after a key');
      at++;
      if (key === 'values') {
        const before = this.samples;
        at = this.matrixValues(bytes, at);
        count = this.samples - before;
        continue;
      }
      const end = skipValue(bytes, at);
      const value = JSON.parse(decoder.decode(bytes.subarray(at, end)));
      at = end;
      if (key === 'metric') series.labels = value;
      else if (key === 'value') series.sample = value;
      else if (key === 'histogram') series.histograms = [value];
      else if (key === 'histograms') series.histograms = value;
    }
    series.times = this.times.subarray(0, count);
    series.values = this.values.subarray(0, count);
    this.onSeries(series);
    return at + 1;
  }

  /** `[[1700000000.5,"1"],…]` */
  private matrixValues(bytes: Uint8Array, start: number): number {
    let at = start + 1;
    let count = 0;
    while (bytes[at] !== CLOSE) {
      if (bytes[at] === COMMA) at++;
      if (bytes[at] !== OPEN) throw new SyntaxError('a sample was expected');
      if (count === this.times.length) this.grow();
      at = this.readNumber(bytes, at + 1);
      this.times[count] = this.number;
      if (bytes[at] !== COMMA || bytes[at + 1] !== QUOTE)
        throw new SyntaxError('a sample has a time and a quoted value');
      at = this.readNumber(bytes, at + 2);
      this.values[count] = this.number;
      if (bytes[at] !== QUOTE || bytes[at + 1] !== CLOSE) throw new SyntaxError('a sample was not closed');
      at += 2;
      count++;
    }
    this.samples += count;
    return at + 1;
  }

  private grow(): void {
    for (const name of ['times', 'values'] as const) {
      const larger = new Float64Array(this[name].length * 2);
      larger.set(this[name]);
      this[name] = larger;
    }
  }

  /** Leaves the number that starts at `start` in `this.number` and returns where it ends. */
  private readNumber(bytes: Uint8Array, start: number): number {
    let at = start;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    let mantissa = 0;
    let digits = 0;
    let scale = 0;
    let byte = bytes[at]!;
    while (byte >= ZERO && byte <= NINE) {
      mantissa = mantissa * 10 + (byte - ZERO);
      if (mantissa > 0) digits++;
      byte = bytes[++at]!;
    }
    if (byte === DOT) {
      byte = bytes[++at]!;
      while (byte >= ZERO && byte <= NINE) {
        mantissa = mantissa * 10 + (byte - ZERO);
        if (mantissa > 0) digits++;
        scale++;
        byte = bytes[++at]!;
      }
    }
    const plain = byte === QUOTE || byte === COMMA;
    if (plain && scale < POWERS.length && (digits <= 15 || this.samples > EXACT_SAMPLES)) {
      const value = mantissa / POWERS[scale]!;
      this.number = negative ? -value : value;
      return at;
    }
    while (bytes[at] !== QUOTE && bytes[at] !== COMMA) {
      if (at >= bytes.length) throw new SyntaxError('a number was cut off');
      at++;
    }
    this.number = numberOf(String.fromCharCode(...bytes.subarray(start, at)));
    return at;
  }
}

/** A sample's value as the API writes it. */
export function numberOf(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return Number(text);
}

function skipString(bytes: Uint8Array, start: number): number {
  let at = start + 1;
  while (bytes[at] !== QUOTE) {
    if (at >= bytes.length) throw new SyntaxError('a string was cut off');
    at += bytes[at] === BACKSLASH ? 2 : 1;
  }
  return at + 1;
}

function skipValue(bytes: Uint8Array, start: number): number {
  let at = start;
  let depth = 0;
  while (at < bytes.length) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      at = skipString(bytes, at);
      if (depth === 0) return at;
      continue;
    }
    if (byte === BRACE || byte === OPEN) depth++;
    else if (byte === END_BRACE || byte === CLOSE) {
      // A bare number, true or null ends before the bracket that closes what it stands in.
      if (depth === 0) return at;
      depth--;
      if (depth === 0) return at + 1;
    } else if (byte === COMMA && depth === 0) return at;
    at++;
  }
  throw new SyntaxError('a value was cut off');
}
