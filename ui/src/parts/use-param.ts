import { useCallback } from 'preact/hooks';
import { useLocation } from 'preact-iso';

/** A piece of a page's state that lives in its address; typing into a filter replaces the entry of the history. */
export function useParam(name: string, fallback = ''): [string, (value: string) => void] {
  const { query, route } = useLocation();
  const set = useCallback(
    (value: string) => {
      const url = new URL(location.href);
      if (value === fallback) url.searchParams.delete(name);
      else url.searchParams.set(name, value);
      route(url.pathname + url.search, true);
    },
    [name, fallback, route],
  );
  return [query[name] ?? fallback, set];
}
