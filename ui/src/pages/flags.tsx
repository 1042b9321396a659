import { useMemo } from 'preact/hooks';
import { formatCount } from '../format/number';
import { Failure, FilterBox, matchesWords, Page } from '../parts/page';
import { type Column, DataTable } from '../parts/table';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';

type Flag = [name: string, value: string];

const COLUMNS: Column<Flag>[] = [
  { key: 'name', title: 'Flag', sort: ([name]) => name, cell: ([name]) => <code class="nowrap">--{name}</code> },
  {
    key: 'value',
    title: 'Value',
    class: 'grow',
    sort: ([, value]) => value,
    cell: ([, value]) => (value === '' ? <span class="muted">empty</span> : <code>{value}</code>),
  },
];

export default function FlagsPage() {
  const { data, error, loading } = useApi<Record<string, string>>('status/flags');
  const [filter, setFilter] = useParam('filter');
  const all = useMemo(() => Object.entries(data ?? {}), [data]);
  const rows = useMemo(() => all.filter((flag) => !filter || matchesWords(flag.join(' '), filter)), [all, filter]);
  return (
    <Page
      title="Flags"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Filter flags" />
          <span class="muted numeric">
            {formatCount(rows.length)} of {formatCount(all.length)}
          </span>
        </>
      }
    >
      {error && <Failure error={error} what="Flags" />}
      {data && (
        <DataTable
          label="Flags"
          class="tall"
          columns={COLUMNS}
          rows={rows}
          rowKey={([name]) => name}
          order={{ key: 'name', descending: false }}
        />
      )}
    </Page>
  );
}
