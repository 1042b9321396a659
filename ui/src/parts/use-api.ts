import { useCallback, useEffect, useState } from 'preact/hooks';
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

/** Fetches an endpoint; keeps the old answer while a new one is under way, and stops when the component goes. */
export function useApi<T>(endpoint: string | undefined, params: Params = {}, everyMs = 0): Loaded<T> {
  const [state, setState] = useState<Omit<Loaded<T>, 'reload'>>({ loading: endpoint !== undefined, at: 0 });
  const [tick, setTick] = useState(0);
  const wanted = JSON.stringify(params);
  // `wanted` stands for params, `tick` asks again
  useEffect(() => {
    if (endpoint === undefined) return;
    const abort = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    apiGet<T>(endpoint, params, abort.signal).then(
      (data) => setState({ data, loading: false, at: Date.now() }),
      (error: ApiError) => !abort.signal.aborted && setState((old) => ({ ...old, error, loading: false })),
    );
    return () => abort.abort();
  }, [endpoint, wanted, tick]);
  const reload = useCallback(() => setTick((old) => old + 1), []);
  useEffect(() => {
    if (everyMs <= 0) return;
    const timer = setInterval(() => !document.hidden && reload(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs, reload]);
  return { ...state, reload };
}
