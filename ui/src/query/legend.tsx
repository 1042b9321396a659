import type { Signal } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import type { Labels } from '../api/answers';
import { formatCount, formatValue, rawValue } from '../format/number';
import { type Unit, unitOfMetric } from '../format/units';
import { strokeOf } from '../graph/palette';
import type { CursorPlace } from '../graph/plot';
import { LabelSet, SeriesName } from '../parts/labels';
import { FilterBox } from '../parts/page';
import { type Column, DataTable, ONE_LINE, type Order, TWO_LINES } from '../parts/table';
import { useNarrow } from '../parts/use-narrow';
import type { RangeAnswer } from '../result/protocol';
import { dark } from '../shell/theme';
import type { DrawnLine } from './lines';

export interface LegendRow {
  /** Index of the series in the answer. */
  index: number;
  labels: Labels;
  name: string;
}

/** Names of the labels that all series have with one value; said once instead of in every row. */
export function commonLabels(all: Labels[]): Set<string> {
  const first = all[0];
  if (!first || all.length < 2) return new Set();
  return new Set(
    Object.entries(first)
      .filter(([name, value]) => all.every((labels) => labels[name] === value))
      .map(([name]) => name),
  );
}

/** Letters of a name that a line of a narrow screen holds. */
const NARROW_LINE = 30;

/** Two lines a row where a name without its common labels would not fit into one. */
export function rowHeight(rows: { name: string }[], common: Labels): number {
  const said = Object.entries(common).reduce((sum, [name, value]) => sum + name.length + value.length + 5, 0);
  return rows.some(({ name }) => name.length - said > NARROW_LINE) ? TWO_LINES : ONE_LINE;
}

/** A series that still has its metric's name has that metric's unit, whatever else is in the result. */
function rowUnit(labels: Labels, unit: Unit): Unit {
  return labels.__name__ ? unitOfMetric(labels.__name__) : unit;
}

/** What the legend can be sorted by. */
export function legendColumns({
  series,
}: RangeAnswer): Pick<Column<LegendRow>, 'key' | 'title' | 'numeric' | 'sort' | 'cell'>[] {
  const numeric = (key: 'last' | 'min' | 'mean' | 'max', title: string) => ({
    key,
    title,
    numeric: true,
    sort: ({ index }: LegendRow) => series[key][index]!,
    cell: () => null,
  });
  return [
    { key: 'name', title: 'Series', sort: ({ name }: LegendRow) => name, cell: () => null },
    numeric('last', 'Last'),
    numeric('min', 'Min'),
    numeric('mean', 'Mean'),
    numeric('max', 'Max'),
  ];
}

interface Props {
  answer: RangeAnswer;
  rows: LegendRow[];
  total: number;
  /** Labels that every series has in common. */
  hide: ReadonlySet<string>;
  unit: Unit;
  lines: DrawnLine[];
  /** Names of the series to show; all when empty. */
  selected: ReadonlySet<string>;
  cursor: Signal<CursorPlace | undefined>;
  order: Order;
  filter: string;
  onFilter: (filter: string) => void;
  onOrder: (order: Order) => void;
  onSelect: (name: string, add: boolean) => void;
  onSelectAll: () => void;
  onHighlight: (index: number | undefined) => void;
}

function CursorValue({
  row,
  cursor,
  unit,
}: {
  row: Float64Array | undefined;
  cursor: Signal<CursorPlace | undefined>;
  unit: Unit;
}) {
  const at = cursor.value;
  const value = at && row?.[at.index];
  return <>{value === undefined || Number.isNaN(value) ? '' : formatValue(value, unit)}</>;
}

/** The series of a graph with their values: sortable, filterable, and the place to choose which are drawn. */
export function Legend(props: Props) {
  const { answer, unit, selected, hide } = props;
  const drawn = useMemo(() => new Map(props.lines.map(({ index, row }) => [index, row])), [props.lines]);
  const isDark = dark.value;
  const narrow = useNarrow();
  const common = Object.fromEntries([...hide].map((name) => [name, answer.labels[0]?.[name] ?? '']));
  const columns: Column<LegendRow>[] = [];
  for (const column of legendColumns(answer)) {
    if (column.key === 'name') {
      columns.push({
        ...column,
        class: 'grow',
        cell: ({ index, labels, name }) => {
          const { color, dash } = strokeOf(index, isDark);
          return (
            <button
              type="button"
              class="legend-name"
              title={name}
              aria-pressed={selected.size === 0 || selected.has(name)}
              onClick={(event) => {
                event.stopPropagation();
                props.onSelect(name, event.ctrlKey || event.metaKey);
              }}
              onMouseEnter={() => props.onHighlight(index)}
              onMouseLeave={() => props.onHighlight(undefined)}
            >
              <svg class="stroke" width="18" height="8" aria-hidden="true">
                <line
                  x1="0"
                  y1="4"
                  x2="18"
                  y2="4"
                  stroke={drawn.has(index) ? color : 'currentColor'}
                  stroke-width={drawn.has(index) ? 3 : 1}
                  stroke-dasharray={dash.join(' ')}
                />
              </svg>
              <SeriesName labels={labels} hide={hide} />
            </button>
          );
        },
      });
      columns.push({
        key: 'cursor',
        title: 'At cursor',
        numeric: true,
        class: 'at-cursor',
        cell: ({ index, labels }) => (
          <CursorValue row={drawn.get(index)} cursor={props.cursor} unit={rowUnit(labels, unit)} />
        ),
      });
    } else {
      const values = answer.series[column.key as 'last' | 'min' | 'mean' | 'max'];
      columns.push({
        ...column,
        class: column.key,
        cell: ({ index, labels }) => (
          <span title={rawValue(values[index]!)}>{formatValue(values[index]!, rowUnit(labels, unit))}</span>
        ),
      });
    }
  }
  return (
    <div class="legend">
      <div class="row">
        {props.total > 8 && (
          <FilterBox
            value={props.filter}
            onInput={props.onFilter}
            label="Filter the series"
            placeholder="Filter the series"
          />
        )}
        {props.rows.length < props.total && (
          <span class="muted numeric">
            {formatCount(props.rows.length)} of {formatCount(props.total)}
          </span>
        )}
        {hide.size > 0 && (
          <span class="common">
            <span class="muted">in all </span>
            <LabelSet labels={common} />
          </span>
        )}
        {selected.size > 0 && (
          <button type="button" onClick={props.onSelectAll}>
            Show all again
          </button>
        )}
        {selected.size === 0 && props.total > 1 && (
          <span class="muted hint">Click a series to see it alone, Ctrl-click to add or remove one.</span>
        )}
      </div>
      <DataTable
        label="Series"
        class="legend-table"
        columns={columns}
        rows={props.rows}
        rowKey={({ index }) => index}
        rowHeight={narrow ? rowHeight(props.rows, common) : undefined}
        rowClass={({ name }) => (selected.size > 0 && !selected.has(name) ? 'dimmed' : '')}
        order={props.order}
        onOrder={props.onOrder}
      />
    </div>
  );
}
