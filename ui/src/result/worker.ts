import { ApiError, notAnEnvelope, unreachable } from '../api/error';
import { densityOf } from './density';
import { instantCsv, rangeCsv } from './export';
import { GridResult } from './grid';
import { type Envelope, type ParsedSeries, ResultParser } from './parse';
import type { AnswerFacts, Cancel, InstantRow, QueryAnswer, Reply, Request } from './protocol';

/** Samples of a range selector that the table shows in one row. */
const SHOWN_SAMPLES = 50;

let abort: AbortController | undefined;
let kept: GridResult | InstantRow[] = [];

function instantRow(series: ParsedSeries): InstantRow {
  const row: InstantRow = { labels: series.labels };
  if (series.sample) [row.time, row.value] = series.sample;
  if (series.histograms.length > 0) [row.time, row.histogram] = series.histograms.at(-1)!;
  if (series.times.length > 0) {
    row.sampleCount = series.times.length;
    row.samples = Array.from(series.times.subarray(0, SHOWN_SAMPLES), (time, i) => [time, series.values[i]!]);
  }
  return row;
}

async function fetchResult(request: Request & { kind: 'run' }, onSeries: (series: ParsedSeries) => void) {
  abort?.abort();
  abort = new AbortController();
  const { signal } = abort;
  let bytes = 0;
  try {
    const response = await fetch(request.url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: request.body,
      signal,
    });
    if (!response.headers.get('Content-Type')?.includes('json')) {
      throw notAnEnvelope(response.status, await response.text());
    }
    const parser = new ResultParser(onSeries);
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
      parser.push(value);
    }
    return { envelope: parser.finish(), bytes };
  } catch (cause) {
    if (signal.aborted) throw new ApiError('canceled', 'The query was stopped.');
    if (cause instanceof SyntaxError)
      throw new ApiError('bad_answer', `The answer could not be read: ${cause.message}.`);
    throw cause instanceof ApiError ? cause : unreachable(cause);
  }
}

function scalarRow(envelope: Envelope): InstantRow {
  const [time, value] = envelope.data!.result as [number, string];
  return { labels: {}, time, value };
}

async function run(request: Request & { kind: 'run' }): Promise<QueryAnswer> {
  const started = performance.now();
  const ranged = request.grid ? new GridResult(request.grid) : undefined;
  const rows: InstantRow[] = [];
  const { envelope, bytes } = await fetchResult(request, (series) => {
    if (ranged) ranged.add(series);
    else rows.push(instantRow(series));
  });
  if (envelope.status !== 'success') {
    throw new ApiError(envelope.errorType ?? 'unknown', envelope.error ?? 'The server refused without a reason.');
  }
  const resultType = envelope.data?.resultType ?? '';
  if (resultType === 'scalar' || resultType === 'string') rows.push(scalarRow(envelope));
  const facts: AnswerFacts = {
    warnings: envelope.warnings ?? [],
    infos: envelope.infos ?? [],
    stats: envelope.data?.stats,
    milliseconds: performance.now() - started,
    bytes,
  };
  kept = ranged ?? rows;
  if (!ranged) return { shape: 'instant', resultType, rows, ...facts };
  const { grid, labels, histogramSeries, samples } = ranged;
  return { shape: 'range', grid, labels, series: ranged.stats(), histogramSeries, samples, ...facts };
}

async function answer(request: Request): Promise<unknown> {
  if (request.kind === 'run') return run(request);
  if (request.kind === 'csv') {
    return Array.isArray(kept) ? instantCsv(kept) : rangeCsv(kept.labels, kept.rows, kept.grid);
  }
  if (Array.isArray(kept)) return [];
  const { rows } = kept;
  return request.kind === 'rows'
    ? request.indexes.map((index) => rows[index] ?? new Float64Array())
    : densityOf(rows, request.view);
}

self.onmessage = async ({ data }: MessageEvent<Request | Cancel>) => {
  if (data.kind === 'cancel') {
    abort?.abort();
    return;
  }
  let reply: Reply;
  try {
    reply = { id: data.id, ok: true, value: await answer(data) };
  } catch (cause) {
    const error = cause instanceof ApiError ? cause : new ApiError('internal', String(cause));
    reply = { id: data.id, ok: false, type: error.type, message: error.message, status: error.status };
  }
  self.postMessage(reply);
};
