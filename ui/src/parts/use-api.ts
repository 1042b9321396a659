import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { apiGet, type Params } from '../api/client';
import type { ApiError } from '../api/error';

export interface Loaded<T> {
  data?: T;
  error?: ApiError;
  loading: boolean;
  /** When `data` arrived, in milliseconds. */
  at: number;
  reload: () => void;
}

/**
 * Fetches an endpoint; keeps the old answer while a new one is under way, and stops when the component goes. With `everyMs`
 * it asks again, and as soon as the page is looked at again.
 */
export function useApi<T>(endpoint: string | undefined, params: Params = {}, everyMs = 0): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, 'reload'>>({ loading: endpoint !== undefined, at: 0 });
  const [tick, setTick] = useState(0);
  const wanted = JSON.stringify(params);
  const waiting = useRef(false);
  // `wanted` stands for params, `tick` asks again
  useEffect(() => {
    if (endpoint === undefined) return;
    const abort = new AbortController();
    waiting.current = true;
    setState((old) => ({ ...old, loading: true }));
    apiGet<T>(endpoint, params, abort.signal)
      .then(
        (data) => setState({ data, loading: false, at: Date.now() }),
        (error: ApiError) => !abort.signal.aborted && setState((old) => ({ ...old, error, loading: false })),
      )
      .finally(() => {
        if (!abort.signal.aborted) waiting.current = false;
      });
    return () => abort.abort();
  }, [endpoint, wanted, tick]);
  const reload = useCallback(() => setTick((old) => old + 1), []);
  useEffect(() => {
    if (everyMs <= 0) return;
    // Asking again would stop an answer that is slow to come: it might never arrive.
    const again = () => !document.hidden && !waiting.current && reload();
    const timer = setInterval(again, everyMs);
    document.addEventListener('visibilitychange', again);
    return () => {
      clearInterval(timer);
      document.removeEventListener('visibilitychange', again);
    };
  }, [everyMs, reload]);
  return { ...state, reload };
}
