import { useEffect, useState } from 'preact/hooks';
import { apiGet } from '../api/client';
import { basePath } from '../base';

/** Segments of the write-ahead log: the first and the last to be read, and the one that is being read. */
export interface Replay {
  min: number;
  max: number;
  current: number;
}

/** Between two looks at how far the server is, in milliseconds. */
const LOOK = 500;

/** How far a server is that starts; undefined once it answers, and until that is known. */
export function useStart(): Replay | undefined {
  const [replay, setReplay] = useState<Replay>();
  useEffect(() => {
    let timer = 0;
    let gone = false;
    const look = async () => {
      const starting = await fetch(`${basePath}-/ready`).then(
        ({ status }) => status === 503,
        () => false,
      );
      const unknown = { min: 0, max: 0, current: 0 };
      const far = starting ? await apiGet<Replay>('status/walreplay').catch(() => unknown) : undefined;
      if (gone) return;
      setReplay(far);
      if (far) timer = window.setTimeout(look, LOOK);
    };
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  return replay;
}

/** Share of the segments that were read, 0 to 1; undefined while it is not known how many there are. */
export function shareRead({ min, max, current }: Replay): number | undefined {
  return max > min ? Math.min(Math.max((current - min) / (max - min), 0), 1) : undefined;
}

/** What stands in place of every page until the server can answer. */
export function Starting({ replay }: { replay: Replay }) {
  const share = shareRead(replay);
  return (
    <div class="page" role="status">
      <h1>Starting</h1>
      <p>
        The server reads its write-ahead log
        {share === undefined ? '.' : `: ${replay.current - replay.min} of ${replay.max - replay.min} segments.`} Targets
        are scraped already; questions can be asked as soon as it is done.
      </p>
      <progress class="start-progress" value={share} aria-label="Read of the write-ahead log" />
    </div>
  );
}
