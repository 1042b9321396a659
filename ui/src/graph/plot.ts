import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { formatTick } from '../format/number';
import type { Unit } from '../format/units';
import type { Grid } from '../result/grid';
import { BINARY_TICKS } from './bounds';
import type { Stroke } from './palette';

export interface PlotLine {
  row: Float64Array;
  stroke: Stroke;
}

/** A number across the graph, e.g. one that an alert compares with. */
export interface PlotLimit {
  value: number;
  /** The side of it that is shaded. */
  side?: 'above' | 'below';
}

export interface PlotMarks {
  limits: PlotLimit[];
  /** Limits that change, on the grid of the lines. */
  curves: Float64Array[];
  /** Moments in seconds. */
  moments: number[];
  color: string;
  /** Of the shaded side. */
  ground: string;
}

export interface PlotSpec {
  grid: Grid;
  /** Already stacked when `stacked` is set. */
  lines: PlotLine[];
  stacked: boolean;
  unit: Unit;
  bounds: [number, number];
  colors: { text: string; grid: string };
  marks?: PlotMarks;
  /** Milliseconds. */
  onZoom: (start: number, end: number) => void;
  onBack: () => void;
  /** The plotting area has its size. */
  onReady: () => void;
  /** Point under the cursor and the line nearest to it; undefined outside. `own` is false for the cursor of another graph. */
  onCursor: (at?: CursorPlace) => void;
}

export interface CursorPlace {
  index: number;
  line?: number;
  left: number;
  top: number;
  /** Whether there is more room on the left of the cursor than on its right. */
  roomLeft: boolean;
  own: boolean;
}

/** All graphs of the page share their crosshair. */
const CROSSHAIR = uPlot.sync('crosshair');

/** Distance of the ticks in seconds, their text, and what is added below where a year, day or minute begins. */
const TIME_TICKS: uPlot.Axis.Values = [
  [31_536_000, '{YYYY}', null, null, null, null, null, null, 1],
  [2_419_200, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [86_400, '{D} {MMM}', '\n{YYYY}', null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{D} {MMM} {YYYY}', null, '\n{D} {MMM}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', '\n{D} {MMM} {YYYY}', null, '\n{D} {MMM}', null, null, null, 1],
  [0.001, ':{ss}.{fff}', '\n{D} {MMM} {YYYY} {HH}:{mm}', null, '\n{D} {MMM} {HH}:{mm}', null, '\n{HH}:{mm}', null, 1],
];

/** Lines up to this many are dimmed when another one is pointed at. */
const FOCUS_LINES = 20;

function withGaps(row: Float64Array): (number | null)[] {
  return Array.from(row, (value) => (Number.isFinite(value) ? value : null));
}

/** Points that no line reaches because their neighbours are missing. */
function isolated(u: uPlot, series: number): number[] {
  const values = u.data[series]!;
  const out: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) out.push(i);
  }
  return out;
}

function seriesOf(line: PlotLine, stacked: boolean): uPlot.Series {
  const { color, dash } = line.stroke;
  return {
    stroke: color,
    dash,
    width: 1.5,
    fill: stacked ? `${color}55` : undefined,
    points: { show: true, size: 4, fill: color, filter: (u, series) => isolated(u, series) },
  };
}

/** Shift and drag moves the graph in time. */
function panning(spec: PlotSpec): uPlot.Cursor.MouseListenerFactory {
  return (u, _target, handler) => (event) => {
    if (!event.shiftKey) return handler(event);
    const { min, max } = u.scales.x as { min: number; max: number };
    const perPixel = (max - min) / u.over.clientWidth;
    let by = 0;
    const move = (moved: MouseEvent) => {
      by = (event.clientX - moved.clientX) * perPixel;
      u.setScale('x', { min: min + by, max: max + by });
    };
    const up = () => {
      document.removeEventListener('mousemove', move);
      document.removeEventListener('mouseup', up);
      if (by !== 0) spec.onZoom((min + by) * 1000, (max + by) * 1000);
    };
    document.addEventListener('mousemove', move);
    document.addEventListener('mouseup', up);
    return null;
  };
}

function nearestLine(u: uPlot, index: number): number | undefined {
  const top = u.cursor.top ?? -1;
  let best: number | undefined;
  let distance = Number.POSITIVE_INFINITY;
  for (let line = 1; line < u.series.length; line++) {
    const value = u.data[line]?.[index];
    if (value == null) continue;
    const away = Math.abs(u.valToPos(value, 'y') - top);
    if (away < distance) {
      distance = away;
      best = line - 1;
    }
  }
  return best;
}

/** The area of a stack that the cursor is in; none above the topmost. */
function areaAt(u: uPlot, index: number): number | undefined {
  const value = u.posToVal(u.cursor.top ?? -1, 'y');
  for (let line = 1; line < u.series.length; line++) {
    const edge = u.data[line]?.[index];
    if (edge != null && edge >= value) return line - 1;
  }
  return undefined;
}

function shadeSides(u: uPlot, marks: PlotMarks | undefined): void {
  for (const { value, side } of marks?.limits ?? []) {
    if (!side || !Number.isFinite(value)) continue;
    const { left, top, width, height } = u.bbox;
    const edge = Math.min(Math.max(u.valToPos(value, 'y', true), top), top + height);
    u.ctx.fillStyle = marks!.ground;
    if (side === 'above') u.ctx.fillRect(left, top, width, edge - top);
    else u.ctx.fillRect(left, edge, width, top + height - edge);
  }
}

function drawMarks(u: uPlot, marks: PlotMarks | undefined): void {
  if (!marks) return;
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  const line = (fromX: number, fromY: number, toX: number, toY: number) => {
    ctx.beginPath();
    ctx.moveTo(fromX, fromY);
    ctx.lineTo(toX, toY);
    ctx.stroke();
  };
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height + ctx.lineWidth);
  ctx.clip();
  ctx.strokeStyle = marks.color;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const { value } of marks.limits) {
    const y = u.valToPos(value, 'y', true);
    if (y >= top && y <= top + height) line(left, y, left + width, y);
  }
  for (const curve of marks.curves) {
    ctx.beginPath();
    let drawing = false;
    for (let i = 0; i < curve.length; i++) {
      const known = Number.isFinite(curve[i]);
      if (known) {
        const [x, y] = [u.valToPos(u.data[0][i]!, 'x', true), u.valToPos(curve[i]!, 'y', true)];
        if (drawing) ctx.lineTo(x, y);
        else ctx.moveTo(x, y);
      }
      drawing = known;
    }
    ctx.stroke();
  }
  ctx.setLineDash([2 * devicePixelRatio, 2 * devicePixelRatio]);
  for (const moment of marks.moments) {
    const x = u.valToPos(moment, 'x', true);
    if (x >= left && x <= left + width) line(x, top, x, top + height);
  }
  ctx.restore();
}

/** A graph on a canvas, with an optional shade of many series behind its lines. */
export class Plot {
  private readonly plot: uPlot;
  private shade?: HTMLCanvasElement;

  constructor(host: HTMLElement, spec: PlotSpec) {
    const { grid, colors, unit } = spec;
    const times = Array.from({ length: grid.count }, (_, i) => grid.start + i * grid.step);
    const start = times[0]!;
    const end = Math.max(times.at(-1)!, start + 1);
    const axis = {
      stroke: colors.text,
      grid: { stroke: colors.grid, width: 1 },
      ticks: { stroke: colors.grid, width: 1, size: 4 },
      font: '12px system-ui, sans-serif',
    };
    const options: uPlot.Options = {
      width: host.clientWidth,
      height: host.clientHeight,
      legend: { show: false },
      cursor: {
        sync: { key: CROSSHAIR.key, scales: ['x', null] },
        drag: { x: true, y: false, setScale: false },
        // The line nearest to the cursor is not that of the area it is in.
        focus: { prox: spec.lines.length <= FOCUS_LINES && !spec.stacked ? 24 : -1 },
        bind: {
          mousedown: panning(spec),
          dblclick: () => () => {
            spec.onBack();
            return null;
          },
        },
        points: { size: 7 },
      },
      focus: { alpha: 0.3 },
      scales: {
        x: { time: true, range: (_u, from, to) => (from == null || from === to ? [start, end] : [from, to]) },
        y: { range: () => spec.bounds },
      },
      axes: [
        { ...axis, space: 80, size: 36, values: TIME_TICKS },
        {
          ...axis,
          size: (_u, values) => 16 + 7 * Math.max(4, ...(values ?? []).map((value) => value.length)),
          incrs: unit === 'bytes' || unit === 'bytes/s' ? BINARY_TICKS : undefined,
          values: (_u, splits) => splits.map((value) => formatTick(value, unit)),
        },
      ],
      series: [{}, ...spec.lines.map((line) => seriesOf(line, spec.stacked))],
      bands: spec.stacked
        ? spec.lines.slice(1).map((_, i) => ({ series: [i + 2, i + 1] as [number, number] }))
        : undefined,
      hooks: {
        ready: [() => spec.onReady()],
        drawClear: [(u) => shadeSides(u, spec.marks), (u) => this.drawShade(u)],
        draw: [(u) => drawMarks(u, spec.marks)],
        setSelect: [
          (u) => {
            if (u.select.width < 4) return;
            spec.onZoom(u.posToVal(u.select.left, 'x') * 1000, u.posToVal(u.select.left + u.select.width, 'x') * 1000);
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          },
        ],
        setCursor: [
          (u) => {
            const { idx, left = -1, top = -1 } = u.cursor;
            if (idx == null || left < 0) return spec.onCursor(undefined);
            spec.onCursor({
              index: idx,
              line: spec.stacked ? areaAt(u, idx) : nearestLine(u, idx),
              left: left + u.over.offsetLeft,
              top,
              roomLeft: left > u.over.clientWidth / 2,
              own: u.over.matches(':hover'),
            });
          },
        ],
      },
    };
    const data = [times, ...spec.lines.map((line) => withGaps(line.row))] as uPlot.AlignedData;
    this.plot = new uPlot(options, data, host);
  }

  /** Size of the plotting area in CSS pixels. */
  get area(): { width: number; height: number } {
    return { width: this.plot.over.clientWidth, height: this.plot.over.clientHeight };
  }

  /** Puts a shade behind the lines: opacities 0–255 of a picture as large as `size`. */
  setShade(opacity: Uint8Array, size: { width: number; height: number }, color: [number, number, number]): void {
    const canvas = document.createElement('canvas');
    canvas.width = size.width;
    canvas.height = size.height;
    const image = new ImageData(size.width, size.height);
    for (let i = 0; i < opacity.length; i++) {
      image.data.set(color, i * 4);
      image.data[i * 4 + 3] = opacity[i]!;
    }
    canvas.getContext('2d')!.putImageData(image, 0, 0);
    this.shade = canvas;
    this.plot.redraw(false);
  }

  resize(width: number, height: number): void {
    if (width !== this.plot.width || height !== this.plot.height) this.plot.setSize({ width, height });
  }

  /** Brings one line forward, e.g. that of the legend's row under the mouse. */
  highlight(line: number | undefined): void {
    this.plot.setSeries(line === undefined ? null : line + 1, { focus: true });
  }

  destroy(): void {
    this.plot.destroy();
  }

  private drawShade(u: uPlot): void {
    if (!this.shade) return;
    const { left, top, width, height } = u.bbox;
    u.ctx.drawImage(this.shade, left, top, width, height);
  }
}
