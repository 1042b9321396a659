import type { NameValue, TsdbStatus } from '../api/answers';
import { pageUrl } from '../base';
import { quote } from '../format/labels';
import { formatCount, formatValue } from '../format/number';
import { localTime, utcTime, zoneName } from '../format/time';
import { Failure, FilterBox, matchesWords, Page } from '../parts/page';
import { type Column, DataTable } from '../parts/table';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';

const LIMIT = 50;

function queryLink(expr: string): string {
  return `${pageUrl('query')}?${new URLSearchParams({ 'g0.expr': expr, 'g0.tab': 'table' })}`;
}

/** `job=node` as the server writes a pair. */
function pairSelector(pair: string): string {
  const at = pair.indexOf('=');
  return `{${pair.slice(0, at)}=${quote(pair.slice(at + 1))}}`;
}

interface Cost {
  title: string;
  /** What the tables count, and how. */
  unit: 'none' | 'bytes';
  rows: NameValue[];
  /** A question that goes one level deeper. */
  expr: (name: string) => string;
}

function CostTable({ title, unit, rows, expr, total }: Cost & { total?: number }) {
  const most = rows[0]?.value ?? 1;
  const columns: Column<NameValue>[] = [
    {
      key: 'name',
      title: 'Name',
      class: 'grow',
      sort: ({ name }) => name,
      cell: ({ name }) => (
        <a href={queryLink(expr(name))} title={expr(name)}>
          {name}
        </a>
      ),
    },
    {
      key: 'value',
      title: unit === 'bytes' ? 'Memory' : 'Count',
      numeric: true,
      sort: ({ value }) => value,
      cell: ({ value }) => (
        <span title={String(value)}>{unit === 'bytes' ? formatValue(value, 'bytes') : formatCount(value)}</span>
      ),
    },
    {
      key: 'share',
      title: total ? 'Share' : '',
      numeric: true,
      class: 'share',
      cell: ({ value }) => (
        <>
          <span class="bar" aria-hidden="true">
            <span style={{ width: `${(100 * value) / most}%` }} />
          </span>
          {total ? <span class="share-text">{formatValue(value / total, 'ratio')}</span> : null}
        </>
      ),
    },
  ];
  return (
    <section class="cost">
      <h2>{title}</h2>
      <DataTable
        label={title}
        columns={columns}
        rows={rows}
        rowKey={({ name }) => name}
        order={{ key: 'value', descending: true }}
        class="cost-table"
      />
    </section>
  );
}

export default function TsdbStatusPage() {
  const { data, error, loading } = useApi<TsdbStatus>('status/tsdb', { limit: LIMIT });
  const [filter, setFilter] = useParam('filter');
  const kept = (rows: NameValue[] | null) => (rows ?? []).filter(({ name }) => !filter || matchesWords(name, filter));
  const head = data?.headStats;
  const facts: [string, string][] = head
    ? [
        ['Series', formatCount(head.numSeries)],
        ['Chunks', formatCount(head.chunkCount)],
        ...(head.numLabelPairs === undefined
          ? []
          : [['Label pairs', formatCount(head.numLabelPairs)] as [string, string]]),
      ]
    : [];
  const spans: [string, number][] =
    head && head.minTime <= head.maxTime
      ? [
          ['From', head.minTime],
          ['To', head.maxTime],
        ]
      : [];
  return (
    <Page
      title="TSDB"
      loading={loading}
      tools={<FilterBox value={filter} onInput={setFilter} label="Filter by name" />}
    >
      {error && <Failure error={error} what="Storage statistics" />}
      {data && (
        <>
          <dl class="tiles numeric" aria-label="The head: samples not yet in a block">
            {facts.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
            {spans.map(([name, ms]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd title={String(ms)}>
                  {localTime(ms)} {zoneName(ms) === 'UTC' ? 'UTC' : ''}
                </dd>
                {zoneName(ms) !== 'UTC' && <dd class="beside muted">{utcTime(ms)} UTC</dd>}
              </div>
            ))}
          </dl>
          <div class="costs">
            <CostTable
              title="Series by metric"
              unit="none"
              total={head?.numSeries}
              rows={kept(data.seriesCountByMetricName)}
              expr={(name) => `count by (job) ({__name__=${quote(name)}})`}
            />
            <CostTable
              title="Series by label pair"
              unit="none"
              total={head?.numSeries}
              rows={kept(data.seriesCountByLabelValuePair)}
              expr={(pair) => `topk(20, count by (__name__) (${pairSelector(pair)}))`}
            />
            <CostTable
              title="Values by label"
              unit="none"
              rows={kept(data.labelValueCountByLabelName)}
              expr={(label) => `topk(50, count by (${label}) ({${label}!=""}))`}
            />
            <CostTable
              title="Memory by label"
              unit="bytes"
              rows={kept(data.memoryInBytesByLabelName)}
              expr={(label) => `topk(20, count by (__name__) ({${label}!=""}))`}
            />
          </div>
        </>
      )}
    </Page>
  );
}
