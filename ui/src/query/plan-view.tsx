import type { ExplainAnswer } from '../api/answers';
import { formatCount, formatValue } from '../format/number';
import { Progress } from '../parts/page';
import { useApi } from '../parts/use-api';
import { ErrorNote } from './error-note';
import { type PlanRow, planRows } from './plan';
import type { Question } from './use-query';

function NodeRow({ row }: { row: PlanRow }) {
  const { node, depth, own, share } = row;
  const { read } = node;
  // Series that are read into their groups at once are not kept.
  const kept = node.samples > 0 || !read;
  return (
    <tr>
      <td class="plan-node">
        <div style={{ marginLeft: `${depth * 16}px` }}>
          <strong>{node.node}</strong> <code>{node.detail}</code>
          {read && <div class="muted">reads {read.detail}</div>}
        </div>
      </td>
      <td class="numeric" title={`${formatValue(node.seconds, 'seconds')} with the nodes below`}>
        {formatValue(own, 'seconds')}
      </td>
      <td class="share plan-share">
        <span class="bar">
          <span style={{ width: `${Math.round(share * 100)}%` }} />
        </span>
      </td>
      <td class="numeric">{formatCount(node.series)}</td>
      <td class="numeric">{kept && formatCount(node.samples)}</td>
      <td class="numeric plan-memory">{kept && formatValue(node.bytes, 'bytes')}</td>
      <td class="numeric">{read && formatCount(read.samples)}</td>
      <td class="numeric plan-memory">{read && formatValue(read.bytes, 'bytes')}</td>
    </tr>
  );
}

/** How the server carries the question out: each node with what it read, gave and took. Asking runs the query. */
export function PlanView({ question, onPick }: { question: Question; onPick: (expr: string) => void }) {
  const asked = question.expr.trim() ? question.endpoint : undefined;
  const { data, error, loading } = useApi<ExplainAnswer>(asked, question.params);
  if (error && !loading) return <ErrorNote error={error} expr={question.expr} onPick={onPick} />;
  if (!data) return <Progress active={loading} />;
  const rows = planRows(data.plan);
  return (
    <div class={loading ? 'stale' : undefined} aria-busy={loading}>
      <Progress active={loading} />
      {rows.length === 0 ? (
        <p class="note">Nothing is read: the answer does not depend on any series.</p>
      ) : (
        <div class="table-scroll tall">
          <table class="plan-table" aria-label="Plan of the query">
            <thead>
              <tr>
                <th scope="col">Node, at {formatCount(data.plan.steps)} steps</th>
                <th scope="col" class="numeric">
                  Time
                </th>
                <th scope="col" class="plan-share">
                  of {formatValue(data.plan.seconds, 'seconds')}
                </th>
                <th scope="col" class="numeric">
                  Series
                </th>
                <th scope="col" class="numeric">
                  Values
                </th>
                <th scope="col" class="numeric plan-memory">
                  Memory
                </th>
                <th scope="col" class="numeric">
                  Samples read
                </th>
                <th scope="col" class="numeric plan-memory">
                  Chunks read
                </th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, i) => (
                <NodeRow row={row} key={i} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}
