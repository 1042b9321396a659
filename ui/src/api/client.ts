import { apiUrl } from '../base';
import { ApiError, notAnEnvelope, unreachable } from './error';

export type Params = Record<string, string | number | string[] | undefined>;

export function searchParams(params: Params): URLSearchParams {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [String(value)]) out.append(name, one);
  }
  return out;
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
    throw new ApiError(
      envelope.errorType ?? 'unknown',
      envelope.error ?? `The server answered ${response.status}.`,
      response.status,
    );
  }
  return envelope.data as T;
}
