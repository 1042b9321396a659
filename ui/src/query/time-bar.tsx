import { useState } from 'preact/hooks';
import { formatDuration, parseDuration } from '../format/duration';
import { inputTime, utcTime, zoneName } from '../format/time';
import { Segmented } from '../parts/page';
import { type Density, type QueryState, type Step, stepSeconds, type TimeRange } from './state';

const PRESETS = ['5m', '15m', '1h', '6h', '1d', '7d', '30d'];
const REFRESH = ['5s', '15s', '30s', '1m', '5m'];

interface Props {
  state: QueryState;
  /** When the panels were last run. */
  now: number;
  onTime: (time: TimeRange) => void;
  onStep: (step: Step) => void;
  onRefresh: (milliseconds: number) => void;
}

/** A field for a duration that keeps what is typed until it is one. */
function DurationField(props: { label: string; value: number; onChange: (milliseconds: number) => void }) {
  const shown = formatDuration(props.value);
  const [draft, setDraft] = useState<string>();
  const parsed = draft === undefined ? props.value : parseDuration(draft);
  const commit = () => {
    if (parsed && parsed !== props.value) props.onChange(parsed);
    setDraft(undefined);
  };
  return (
    <input
      class="duration"
      aria-label={props.label}
      title={`${props.label}, e.g. 90m or 1d12h`}
      aria-invalid={!parsed}
      value={draft ?? shown}
      onInput={(event) => setDraft(event.currentTarget.value)}
      onBlur={commit}
      onKeyDown={(event) => event.key === 'Enter' && commit()}
    />
  );
}

/** The time range that all panels share, their step, and how often they run again. */
export function TimeBar({ state, now, onTime, onStep, onRefresh }: Props) {
  const { time, step } = state;
  const end = time.end ?? now;
  const move = (by: number) => {
    const next = end + by;
    onTime({ range: time.range, end: next >= Date.now() - 1000 ? undefined : next });
  };
  const stepValue = 'fixed' in step ? 'fixed' : step.density;
  return (
    <fieldset class="time-bar" aria-label="Time range and step">
      <Segmented
        label="Time range"
        value={formatDuration(time.range)}
        options={PRESETS.map((preset) => [formatDuration(parseDuration(preset)!), preset])}
        onChange={(preset) => onTime({ ...time, range: parseDuration(preset)! })}
      />
      <DurationField label="Time range" value={time.range} onChange={(range) => onTime({ ...time, range })} />
      <span class="joined">
        <button type="button" aria-label="Half a range earlier" title="Earlier" onClick={() => move(-time.range / 2)}>
          ‹
        </button>
        <input
          type="datetime-local"
          step="1"
          aria-label="End of the time range, local time"
          value={inputTime(end)}
          onChange={(event) => {
            const ms = new Date(event.currentTarget.value).getTime();
            if (!Number.isNaN(ms)) onTime({ range: time.range, end: ms });
          }}
        />
        <button
          type="button"
          aria-label="Half a range later"
          title="Later"
          disabled={time.end === undefined}
          onClick={() => move(time.range / 2)}
        >
          ›
        </button>
        <button type="button" aria-pressed={time.end === undefined} onClick={() => onTime({ range: time.range })}>
          Now
        </button>
      </span>
      <button
        type="button"
        aria-label="Zoom out to twice the range"
        title="Zoom out"
        onClick={() => onTime({ range: time.range * 2, end: time.end && Math.min(time.end + time.range / 2, now) })}
      >
        −
      </button>
      {zoneName(end) !== 'UTC' && (
        <span class="muted numeric end-utc" title="The end of the time range in UTC">
          {utcTime(end)} UTC
        </span>
      )}
      <label class="field">
        <span>Step</span>
        <select
          value={stepValue}
          onChange={(event) => {
            const value = event.currentTarget.value;
            onStep(value === 'fixed' ? { fixed: stepSeconds(step, time.range) * 1000 } : { density: value as Density });
          }}
        >
          <option value="low">auto, coarse</option>
          <option value="medium">auto</option>
          <option value="high">auto, fine</option>
          <option value="fixed">fixed</option>
        </select>
        {'fixed' in step ? (
          <DurationField label="Step" value={step.fixed} onChange={(fixed) => onStep({ fixed })} />
        ) : (
          <span class="muted numeric">{formatDuration(stepSeconds(step, time.range) * 1000)}</span>
        )}
      </label>
      <label class="field">
        <span>Refresh</span>
        <select
          value={state.refresh ? formatDuration(state.refresh) : ''}
          onChange={(event) => onRefresh(parseDuration(event.currentTarget.value) ?? 0)}
        >
          <option value="">off</option>
          {[...new Set([...REFRESH, ...(state.refresh ? [formatDuration(state.refresh)] : [])])].map((every) => (
            <option key={every} value={every}>
              {every}
            </option>
          ))}
        </select>
      </label>
    </fieldset>
  );
}
