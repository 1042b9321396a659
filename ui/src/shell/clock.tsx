import { useEffect, useState } from 'preact/hooks';
import { localTime, utcTime, zoneName } from '../format/time';

/** Local time and UTC beside each other. */
export function Clock() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const zone = zoneName(now);
  return (
    <div class="clock numeric" title={`${localTime(now)} ${zone}, ${utcTime(now)} UTC`}>
      {zone !== 'UTC' && <span>{localTime(now).slice(11)} </span>}
      <span class="muted">{utcTime(now).slice(11)} UTC</span>
    </div>
  );
}
