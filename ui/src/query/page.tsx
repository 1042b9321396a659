import { useCallback, useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { pageUrl } from '../base';
import '../style/query.css';
import '../style/editor.css';
import { Examples } from './examples';
import { remember } from './history';
import { Panel } from './panel';
import { EMPTY_PANEL, formatState, type PanelState, parseState, type QueryState, type TimeRange } from './state';
import { TimeBar } from './time-bar';

export default function QueryPage() {
  const { url, route } = useLocation();
  const search = new URL(url, location.origin).search;
  const state = useMemo(() => parseState(search), [search]);
  const [now, setNow] = useState(Date.now());
  const earlier = useRef<TimeRange[]>([]);

  const change = useCallback(
    (next: Partial<QueryState>, replace = false) => {
      const address = pageUrl('query') + formatState({ ...state, ...next });
      if (address !== url) route(address, replace);
    },
    [state, url, route],
  );
  const setTime = (time: TimeRange) => {
    earlier.current.push(state.time);
    setNow(Date.now());
    change({ time });
  };
  const back = () => {
    const time = earlier.current.pop();
    if (time) change({ time });
  };
  const setPanel = (index: number, part: Partial<PanelState>, replace = false) => {
    change({ panels: state.panels.map((panel, i) => (i === index ? { ...panel, ...part } : panel)) }, replace);
  };

  useEffect(() => {
    if (!state.refresh) return;
    const timer = setInterval(() => !document.hidden && setNow(Date.now()), state.refresh);
    return () => clearInterval(timer);
  }, [state.refresh]);

  const blank = state.panels.length === 1 && state.panels[0]!.expr === '';
  return (
    <div class="page query-page">
      <h1 class="off-screen">Query</h1>
      <TimeBar
        state={state}
        now={now}
        onTime={setTime}
        onStep={(step) => change({ step })}
        onRefresh={(refresh) => change({ refresh }, true)}
      />
      {state.panels.map((panel, index) => (
        <Panel
          key={index}
          index={index}
          panel={panel}
          time={state.time}
          step={state.step}
          now={now}
          autofocus={index === 0 && blank}
          onChange={(part, replace) => setPanel(index, part, replace)}
          onRun={(expr) => {
            remember(expr);
            setNow(Date.now());
            setPanel(index, { expr });
          }}
          onTime={setTime}
          onBack={back}
          onRemove={
            state.panels.length > 1 ? () => change({ panels: state.panels.filter((_, i) => i !== index) }) : undefined
          }
        />
      ))}
      {blank ? (
        <Examples
          onPick={(expr) => setPanel(0, { expr })}
          onStart={({ expr, show }, range, refresh) => {
            setNow(Date.now());
            change({ panels: [{ ...EMPTY_PANEL, ...show, expr }], time: { range }, refresh: refresh || state.refresh });
          }}
        />
      ) : (
        <button type="button" onClick={() => change({ panels: [...state.panels, { ...EMPTY_PANEL }] })}>
          Add a panel
        </button>
      )}
    </div>
  );
}
