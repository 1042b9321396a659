import { readHistory } from './history';

const EXAMPLES: [string, string][] = [
  ['Which targets answer?', 'up'],
  ['Processors in use, by machine', '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))'],
  ['Memory that is left', 'node_memory_MemAvailable_bytes'],
  ['Space left on file systems', 'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs"}'],
  ['Network traffic received', 'rate(node_network_receive_bytes_total{device!="lo"}[5m])'],
  ['The ten metrics with most series', 'topk(10, count by (__name__) ({__name__!=""}))'],
];

/** What to start from on a blank page: what was run before, and questions that most set-ups can answer. */
export function Examples({ onPick }: { onPick: (expr: string) => void }) {
  const recent = readHistory().slice(0, 6);
  return (
    <div class="examples">
      {recent.length > 0 && (
        <section>
          <h2>Run before</h2>
          <ul>
            {recent.map((expr) => (
              <li key={expr}>
                <button type="button" class="example" onClick={() => onPick(expr)}>
                  <code>{expr}</code>
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section>
        <h2>To start from</h2>
        <ul>
          {EXAMPLES.map(([question, expr]) => (
            <li key={expr}>
              <button type="button" class="example" onClick={() => onPick(expr)}>
                <span>{question}</span>
                <code>{expr}</code>
              </button>
            </li>
          ))}
        </ul>
      </section>
    </div>
  );
}
