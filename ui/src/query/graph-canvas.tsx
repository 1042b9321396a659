import type { Signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { formatValue, rawValue } from '../format/number';
import { localTime, utcTime, zoneName } from '../format/time';
import type { Unit } from '../format/units';
import { axisBounds, stackRows } from '../graph/bounds';
import { strokeOf } from '../graph/palette';
import { type CursorPlace, Plot, type PlotMarks } from '../graph/plot';
import { SeriesName } from '../parts/labels';
import type { ResultClient } from '../result/client';
import type { RangeAnswer } from '../result/protocol';
import { dark } from '../shell/theme';
import type { DrawnLine } from './lines';
import type { TimeRange } from './state';
import '../style/graph.css';

interface Props {
  answer: RangeAnswer;
  client: ResultClient;
  lines: DrawnLine[];
  shaded: boolean;
  stacked: boolean;
  unit: Unit;
  /** Smallest and largest value of the visible series. */
  extent: [number, number];
  cursor: Signal<CursorPlace | undefined>;
  /** Index of a series to bring forward. */
  highlight?: number;
  /** Where else the values can be read. */
  hint: string;
  /** Drawn over the lines; limits lie within `extent`. */
  marks?: Omit<PlotMarks, 'color' | 'ground'>;
  onTime: (time: TimeRange) => void;
  onBack: () => void;
}

function stackedExtent(rows: Float64Array[]): [number, number] {
  let min = 0;
  let max = 0;
  for (const row of rows) {
    for (const value of row) {
      if (value < min) min = value;
      if (value > max) max = value;
    }
  }
  return [min, max];
}

const SHADE: Record<'light' | 'dark', [number, number, number]> = { light: [110, 125, 145], dark: [130, 145, 165] };

/** The drawing itself, and what the cursor points at. */
export function GraphCanvas(props: Props) {
  const { answer, lines, stacked, unit, cursor } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const isDark = dark.value;
  const rows = useMemo(
    () => (stacked ? stackRows(lines.map(({ row }) => row)) : lines.map(({ row }) => row)),
    [lines, stacked],
  );
  const [low, high] = stacked ? stackedExtent(rows) : props.extent;

  // `rows` carries lines and stacking, callbacks are read when called
  useEffect(() => {
    const element = host.current;
    if (!element || lines.length === 0) return;
    const style = getComputedStyle(element);
    const bounds = axisBounds(low, high);
    const before = plot.current;
    delete element.dataset.shaded;
    const next = new Plot(element, {
      grid: answer.grid,
      lines: lines.map(({ index }, i) => ({ row: rows[i]!, stroke: strokeOf(index, isDark) })),
      stacked,
      unit,
      bounds,
      colors: { text: style.getPropertyValue('--muted'), grid: style.getPropertyValue('--grid') },
      marks: props.marks && {
        ...props.marks,
        color: style.getPropertyValue('--bad'),
        ground: style.getPropertyValue('--bad-ground'),
      },
      onZoom: (start, end) =>
        latest.current.onTime({ range: Math.max(1000, Math.round(end - start)), end: Math.round(end) }),
      onBack: () => latest.current.onBack(),
      onReady: () => queueMicrotask(() => shade()),
      onCursor: (at) => {
        cursor.value = at;
      },
    });
    before?.destroy();
    plot.current = next;
    element.dataset.drawn = String(lines.length);
    const shade = () => {
      if (!props.shaded) return;
      const size = next.area;
      props.client.density({ ...size, min: bounds[0], max: bounds[1] }).then(
        (opacity) => {
          if (plot.current !== next || opacity.length !== size.width * size.height) return;
          next.setShade(opacity, size, SHADE[isDark ? 'dark' : 'light']);
          element.dataset.shaded = 'true';
        },
        () => {},
      );
    };
    const observer = new ResizeObserver(() => {
      const { width } = next.area;
      next.resize(element.clientWidth, element.clientHeight);
      if (next.area.width !== width) shade();
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [rows, unit, isDark, props.shaded, low, high, props.marks]);

  useEffect(() => () => plot.current?.destroy(), []);
  useEffect(() => {
    const line = props.highlight === undefined ? -1 : lines.findIndex(({ index }) => index === props.highlight);
    plot.current?.highlight(line < 0 ? undefined : line);
  }, [props.highlight, lines]);

  const { start, step, count } = answer.grid;
  return (
    <div class="graph">
      <div
        class="graph-host"
        ref={host}
        role="img"
        aria-label={`Graph of ${answer.labels.length} series from ${localTime(start * 1000)} to ${localTime((start + step * (count - 1)) * 1000)}; ${props.hint}`}
      />
      <Tooltip cursor={cursor} answer={answer} lines={lines} unit={unit} />
    </div>
  );
}

function Tooltip({
  cursor,
  answer,
  lines,
  unit,
}: {
  cursor: Signal<CursorPlace | undefined>;
  answer: RangeAnswer;
  lines: DrawnLine[];
  unit: Unit;
}) {
  const at = cursor.value;
  if (!at?.own) return null;
  const ms = (answer.grid.start + at.index * answer.grid.step) * 1000;
  const line = at.line === undefined ? undefined : lines[at.line];
  const value = line?.row[at.index];
  const stroke = line && strokeOf(line.index, dark.value);
  // Stand on the side of the cursor where there is room.
  const side = at.roomLeft ? { right: `calc(100% - ${at.left - 12}px)` } : { left: `${at.left + 12}px` };
  return (
    <div class="tooltip numeric" style={{ ...side, top: `${Math.max(0, at.top - 12)}px` }}>
      <div>
        {localTime(ms)}{' '}
        {zoneName(ms) !== 'UTC' ? (
          <span class="muted">{utcTime(ms).slice(11)} UTC</span>
        ) : (
          <span class="muted">UTC</span>
        )}
      </div>
      {line && value !== undefined && (
        <>
          <div class="tooltip-value">
            <span class="swatch" style={{ background: stroke?.color }} />
            <strong>{formatValue(value, unit)}</strong>
            <span class="muted">{rawValue(value)}</span>
          </div>
          <div class="tooltip-series">
            <SeriesName labels={answer.labels[line.index] ?? {}} />
          </div>
        </>
      )}
    </div>
  );
}
