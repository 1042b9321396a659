import type { ComponentChildren } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { useVirtualRows } from './virtual';

/** Heights of a row in pixels. On a narrow screen a series' name takes two lines. */
export const ONE_LINE = 24;
export const TWO_LINES = 44;

export interface Column<Row> {
  key: string;
  title: ComponentChildren;
  /** What the column is sorted by; a column without it is not sortable. */
  sort?: (row: Row) => number | string;
  /** Numbers stand right, and are sorted from the largest first. */
  numeric?: boolean;
  class?: string;
  cell: (row: Row) => ComponentChildren;
}

export interface Order {
  key: string;
  descending: boolean;
}

/** Orders two cells; values that are not a number go last whichever the direction. */
export function compareCells(a: number | string, b: number | string, direction: 1 | -1): number {
  if (typeof a === 'string' || typeof b === 'string')
    return direction * (String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0);
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a === b ? 0 : direction * (a < b ? -1 : 1);
}

export function sortRows<Row>(rows: Row[], columns: Column<Row>[], order: Order | undefined): Row[] {
  const by = columns.find((column) => column.key === order?.key)?.sort;
  if (!by || !order) return rows;
  const direction = order.descending ? -1 : 1;
  return rows
    .map((row) => ({ row, cell: by(row) }))
    .sort((a, b) => compareCells(a.cell, b.cell, direction))
    .map(({ row }) => row);
}

function SortableHead<Row>(props: { column: Column<Row>; order?: Order; onSort: (key: string) => void }) {
  const { column, order } = props;
  const active = order?.key === column.key;
  const direction = active ? (order.descending ? 'descending' : 'ascending') : 'none';
  const classes = [column.numeric ? 'numeric' : '', column.class ?? ''].join(' ');
  if (!column.sort) {
    return (
      <th scope="col" class={classes}>
        {column.title}
      </th>
    );
  }
  return (
    <th scope="col" class={classes} aria-sort={direction}>
      <button type="button" class="sort" onClick={() => props.onSort(column.key)}>
        <span>{column.title}</span>
        <span class="sort-mark" aria-hidden="true">
          {active ? (order.descending ? '▼' : '▲') : ''}
        </span>
      </button>
    </th>
  );
}

/** A sortable table with a sticky head that renders only the rows in view. Rows have one height. */
export function DataTable<Row>(props: {
  label: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string | number;
  rowClass?: (row: Row) => string;
  order?: Order;
  onOrder?: (order: Order) => void;
  rowHeight?: number;
  class?: string;
}) {
  const { columns, rows, rowHeight = ONE_LINE } = props;
  const [own, setOwn] = useState<Order | undefined>(props.order);
  const order = props.onOrder ? props.order : own;
  // columns are rebuilt at each render; their sort keys do not change
  const sorted = useMemo(() => sortRows(rows, columns, order), [rows, order?.key, order?.descending]);
  const { scroller, window } = useVirtualRows(sorted.length, rowHeight);
  const onSort = (key: string) => {
    const numeric = columns.find((column) => column.key === key)?.numeric ?? false;
    const next = order?.key === key ? { key, descending: !order.descending } : { key, descending: numeric };
    (props.onOrder ?? setOwn)(next);
  };
  return (
    <div class={`table-scroll ${props.class ?? ''}`} ref={scroller}>
      <table aria-label={props.label} aria-rowcount={sorted.length}>
        <thead>
          <tr>
            {columns.map((column) => (
              <SortableHead key={column.key} column={column} order={order} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {window.above > 0 && <tr style={{ height: `${window.above}px` }} />}
          {sorted.slice(window.first, window.end).map((row) => (
            <tr key={props.rowKey(row)} class={props.rowClass?.(row)} style={{ height: `${rowHeight}px` }}>
              {columns.map((column) => (
                <td key={column.key} class={[column.numeric ? 'numeric' : '', column.class ?? ''].join(' ')}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {window.below > 0 && <tr style={{ height: `${window.below}px` }} />}
        </tbody>
      </table>
    </div>
  );
}
