import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { seriesSelector } from '../format/labels';
import { formatCount } from '../format/number';
import type { Unit } from '../format/units';
import type { CursorPlace } from '../graph/plot';
import { matchesWords } from '../parts/page';
import { type Order, sortRows } from '../parts/table';
import type { ResultClient } from '../result/client';
import type { RangeAnswer } from '../result/protocol';
import { GraphCanvas } from './graph-canvas';
import { commonLabels, Legend, type LegendRow, legendColumns } from './legend';
import { type DrawnLine, MOST_LINES } from './lines';
import type { TimeRange } from './state';

interface Props {
  answer: RangeAnswer;
  client: ResultClient;
  unit: Unit;
  stacked: boolean;
  filter: string;
  onFilter: (filter: string) => void;
  onTime: (time: TimeRange) => void;
  onBack: () => void;
  /** Runs the query again inside `topk` or `bottomk`. */
  onNarrow: (call: 'topk' | 'bottomk') => void;
}

/** The graph of a range query and its legend. */
export function GraphView(props: Props) {
  const { answer, filter } = props;
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [order, setOrder] = useState<Order>({ key: 'last', descending: true });
  const [highlight, setHighlight] = useState<number>();
  const cursor = useSignal<CursorPlace | undefined>(undefined);

  const rows = useMemo(
    () => answer.labels.map((labels, index): LegendRow => ({ index, labels, name: seriesSelector(labels) })),
    [answer],
  );
  const listed = useMemo(() => (filter ? rows.filter(({ name }) => matchesWords(name, filter)) : rows), [rows, filter]);
  const visible = useMemo(() => {
    const chosen = selected.size ? listed.filter(({ name }) => selected.has(name)) : listed;
    // A selection that this answer does not hold would leave an empty graph.
    return chosen.length ? chosen : listed;
  }, [listed, selected]);
  const drawn = useMemo(
    () =>
      sortRows(visible, legendColumns(answer), order)
        .slice(0, MOST_LINES)
        .map(({ index }) => index),
    [visible, order, answer],
  );
  const [lines, setLines] = useState<DrawnLine[]>([]);
  useEffect(() => {
    let current = true;
    props.client.rows(drawn).then(
      (fetched) => {
        if (current) setLines(drawn.map((index, i) => ({ index, row: fetched[i]! })));
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [drawn, props.client]);

  const hide = useMemo(() => commonLabels(answer.labels), [answer]);
  const select = (name: string, add: boolean) => {
    setSelected((old) => {
      if (!add) return old.size === 1 && old.has(name) ? new Set() : new Set([name]);
      const next = new Set(old.size ? old : listed.map((row) => row.name));
      if (!next.delete(name)) next.add(name);
      return next;
    });
  };
  const shaded = rows.length > MOST_LINES && visible.length === rows.length && !props.stacked;
  const bounds = useMemo(() => extent(answer, visible), [answer, visible]);

  return (
    <>
      {answer.histogramSeries > 0 && (
        <p class="note warn">
          {formatCount(answer.histogramSeries)} series hold native histograms, which no line can show. Wrap the
          expression in histogram_quantile() or histogram_avg().
        </p>
      )}
      <GraphCanvas
        answer={answer}
        client={props.client}
        lines={lines}
        shaded={shaded}
        stacked={props.stacked}
        unit={props.unit}
        extent={bounds}
        hint="the table below holds the values"
        cursor={cursor}
        highlight={highlight}
        onTime={props.onTime}
        onBack={props.onBack}
      />
      {visible.length > MOST_LINES && (
        <p class="note capped">
          <span>
            Lines are drawn for the first {MOST_LINES} of {formatCount(visible.length)} series, in the order of the
            table below
            {shaded ? '; the shade behind them is all of them.' : '.'} To narrow: filter, click on a series, or
          </span>
          <button type="button" onClick={() => props.onNarrow('topk')}>
            only the top 20
          </button>
          <button type="button" onClick={() => props.onNarrow('bottomk')}>
            only the bottom 20
          </button>
        </p>
      )}
      <Legend
        answer={answer}
        rows={listed}
        total={rows.length}
        hide={hide}
        unit={props.unit}
        lines={lines}
        selected={selected}
        cursor={cursor}
        order={order}
        filter={filter}
        onFilter={props.onFilter}
        onOrder={setOrder}
        onSelect={select}
        onSelectAll={() => setSelected(new Set())}
        onHighlight={setHighlight}
      />
    </>
  );
}

function extent(answer: RangeAnswer, rows: LegendRow[]): [number, number] {
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (const { index } of rows) {
    if (answer.series.min[index]! < min) min = answer.series.min[index]!;
    if (answer.series.max[index]! > max) max = answer.series.max[index]!;
  }
  return [min, max];
}
