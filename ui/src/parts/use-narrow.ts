import { useEffect, useState } from 'preact/hooks';

/** As in the style sheets. */
const narrow = matchMedia('(max-width: 700px)');

/** Whether the page is as narrow as on a phone. */
export function useNarrow(): boolean {
  const [is, setIs] = useState(narrow.matches);
  useEffect(() => {
    const onChange = () => setIs(narrow.matches);
    narrow.addEventListener('change', onChange);
    return () => narrow.removeEventListener('change', onChange);
  }, []);
  return is;
}
