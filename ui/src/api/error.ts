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

export function unreachable(cause: unknown): ApiError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ApiError('unreachable', `The server did not answer (${detail}). Is it running?`);
}

/** What an answer that is not the API's JSON envelope says, e.g. one of a proxy. */
export function notAnEnvelope(status: number, body: string): ApiError {
  const text = body
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, 300);
  return new ApiError(status === 404 ? 'not_found' : 'bad_answer', text || `The server answered ${status}.`, status);
}
