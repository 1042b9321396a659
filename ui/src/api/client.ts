import { apiUrl } from '../base';

/** An answer of the server that says why it refused, or a failure to reach it. */
export class ApiError extends Error {
  constructor(
    readonly type: string,
    message: string,
    readonly status = 0,
  ) {
    super(message);
  }
}

export type Params = Record<string, string | number | string[] | undefined>;

export function searchParams(params: Params): URLSearchParams {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [String(value)]) out.append(name, one);
  }
  return out;
}

export function unreachable(cause: unknown): ApiError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ApiError('unreachable', `The server did not answer (${detail}). Is it running?`);
}

/** What an answer that is not the API's JSON envelope says, e.g. one of a proxy. */
export function notAnEnvelope(status: number, body: string): ApiError {
  const text = body.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').trim().slice(0, 300);
  return new ApiError(status === 404 ? 'not_found' : 'bad_answer', text || `The server answered ${status}.`, status);
}

/** Fetches `/api/v1/<endpoint>` and returns its `data`. */
export async function apiGet<T>(endpoint: string, params: Params = {}, signal?: AbortSignal): Promise<T> {
  let response: Response;
  let body: string;
  try {
    response = await fetch(apiUrl(endpoint, searchParams(params)), { signal, headers: { Accept: 'application/json' } });
    body = await response.text();
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw unreachable(cause);
  }
  let envelope: { status?: string; data?: T; errorType?: string; error?: string };
  try {
    envelope = JSON.parse(body);
  } catch {
    throw notAnEnvelope(response.status, body);
  }
  if (envelope.status !== 'success') {
    throw new ApiError(envelope.errorType ?? 'unknown', envelope.error ?? `The server answered ${response.status}.`, response.status);
  }
  return envelope.data as T;
}
