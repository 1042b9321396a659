import { useMemo } from 'preact/hooks';
import { seriesSelector } from '../format/labels';
import { formatCount, formatValue, rawValue } from '../format/number';
import { localTime } from '../format/time';
import { type Unit, unitOfMetric } from '../format/units';
import { CopyButton } from '../parts/copy';
import { LabelSet, SeriesName } from '../parts/labels';
import { FilterBox, matchesWords } from '../parts/page';
import { type Column, DataTable } from '../parts/table';
import { useNarrow } from '../parts/use-narrow';
import { numberOf } from '../result/parse';
import type { InstantAnswer, InstantRow } from '../result/protocol';
import { commonLabels, rowHeight } from './legend';

interface NamedRow {
  row: InstantRow;
  name: string;
  index: number;
}

function ValueCell({ row, unit, text }: { row: InstantRow; unit: Unit; text: boolean }) {
  if (row.samples) {
    return (
      <span
        class="samples"
        title={row.samples.map(([time, value]) => `${rawValue(value)} @ ${localTime(time * 1000)}`).join('\n')}
      >
        {formatCount(row.sampleCount ?? 0)} samples, last {formatValue(row.samples.at(-1)![1], unit)}
      </span>
    );
  }
  if (row.histogram) {
    const { count, sum, buckets } = row.histogram;
    const shape = buckets?.map(([, from, to, observations]) => `${from} … ${to}: ${observations}`).join('\n');
    return (
      <span title={shape}>
        histogram: {count} observations, sum {formatValue(numberOf(sum), unit)}
      </span>
    );
  }
  const value = row.value ?? '';
  if (text) return <span>{value}</span>;
  return <span title={value}>{formatValue(numberOf(value), unit)}</span>;
}

function sortValue(row: InstantRow): number {
  if (row.histogram) return numberOf(row.histogram.count);
  return row.samples ? row.samples.at(-1)![1] : numberOf(row.value ?? 'NaN');
}

/** The rows of an instant query. */
export function TableView(props: {
  answer: InstantAnswer;
  unit: Unit;
  filter: string;
  onFilter: (filter: string) => void;
}) {
  const { answer, unit, filter } = props;
  const named = useMemo(
    () => answer.rows.map((row, index): NamedRow => ({ row, index, name: seriesSelector(row.labels) })),
    [answer],
  );
  const rows = useMemo(
    () => (filter ? named.filter(({ name }) => matchesWords(name, filter)) : named),
    [named, filter],
  );
  const narrow = useNarrow();
  // Where there is room each row says all of its labels; else what they share is said once above them.
  const hide = useMemo(
    () => (narrow ? commonLabels(answer.rows.map(({ labels }) => labels)) : new Set<string>()),
    [narrow, answer],
  );
  const common = Object.fromEntries([...hide].map((name) => [name, answer.rows[0]?.labels[name] ?? '']));
  const bare = answer.resultType === 'scalar' || answer.resultType === 'string';
  const columns: Column<NamedRow>[] = [
    {
      key: 'series',
      title: 'Series',
      class: 'grow',
      sort: ({ name }) => name,
      cell: ({ row, name }) =>
        bare ? (
          <span class="muted">{answer.resultType}</span>
        ) : (
          <span class="with-copy" title={name}>
            <SeriesName labels={row.labels} hide={hide} />
            <CopyButton class="row-copy" text={() => name}>
              Copy
            </CopyButton>
          </span>
        ),
    },
    {
      key: 'value',
      title: 'Value',
      numeric: true,
      sort: ({ row }) => sortValue(row),
      cell: ({ row }) => (
        <ValueCell
          row={row}
          unit={row.labels.__name__ ? unitOfMetric(row.labels.__name__) : unit}
          text={answer.resultType === 'string'}
        />
      ),
    },
  ];
  return (
    <>
      {named.length > 8 && (
        <div class="row">
          <FilterBox value={filter} onInput={props.onFilter} label="Filter the rows" placeholder="Filter" />
          <span class="muted numeric">
            {formatCount(rows.length)} of {formatCount(named.length)}
          </span>
        </div>
      )}
      {hide.size > 0 && (
        <p class="common">
          <span class="muted">in all </span>
          <LabelSet labels={common} />
        </p>
      )}
      <DataTable
        label="Result"
        class="result-table"
        columns={columns}
        rows={rows}
        rowKey={({ index }) => index}
        rowHeight={narrow ? rowHeight(named, common) : undefined}
      />
    </>
  );
}
