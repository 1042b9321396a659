import { useEffect, useState } from 'preact/hooks';
import type { AlertGraphProps } from './alert-graph';

type Component = typeof import('./alert-graph').default;

/** A graph whose drawing is loaded when the first one is opened. */
export function GraphBox(props: AlertGraphProps) {
  const [Graph, setGraph] = useState<Component>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let current = true;
    import('./alert-graph').then(
      (loaded) => current && setGraph(() => loaded.default),
      () => current && setFailed(true),
    );
    return () => {
      current = false;
    };
  }, []);
  if (failed) return <p class="note bad">The graph could not be loaded. Is the server running?</p>;
  return Graph ? <Graph {...props} /> : <figure class="alert-graph" aria-busy="true" />;
}
