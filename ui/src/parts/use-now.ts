import { useEffect, useState } from 'preact/hooks';

/** The time in milliseconds, anew each second while the page is looked at. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
