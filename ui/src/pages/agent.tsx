import type { ComponentChildren } from 'preact';
import { pageUrl } from '../base';
import { spokenDuration } from '../format/duration';
import { formatCount, formatValue } from '../format/number';
import { Failure, Page } from '../parts/page';
import { useApi } from '../parts/use-api';
import { type Destination, destinationsOf, type Family, PATTERN, totalOf } from './agent-facts';

const REFRESH_MS = 5_000;
/** From when on a destination is shown as being behind, in seconds. */
const LATE = 60;

function Facts({ rows }: { rows: [title: string, value: ComponentChildren][] }) {
  return (
    <table class="fact-table">
      <tbody>
        {rows.map(([title, value]) => (
          <tr key={title}>
            <th scope="row">{title}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function State({ behind, sent, failed }: Destination) {
  if (sent > 0 && failed >= sent) return <span class="state down">all refused</span>;
  if (behind === undefined) return <span class="state unknown">nothing sent yet</span>;
  if (behind < LATE) return <span class="state up">up to date</span>;
  return <span class="state down">{spokenDuration(behind * 1000)} behind</span>;
}

function DestinationFacts({ destination }: { destination: Destination }) {
  const { name, url, sent, failed, retried, dropped, pending, unsent, shards, shardsMax } = destination;
  return (
    <section>
      <h2>
        Sent to {name} <State {...destination} />
      </h2>
      <Facts
        rows={[
          ['Address', <code key="url">{url}</code>],
          ['Sent', formatCount(sent)],
          ['Refused by the receiver', failed > 0 ? <span class="bad-text">{formatCount(failed)}</span> : '0'],
          ['Sent again', formatCount(retried)],
          ['Left out', formatCount(dropped)],
          ['Waiting', `${formatCount(pending)}; ${formatValue(unsent, 'bytes')} of the log`],
          ['Shards', `${formatCount(shards)} of at most ${formatCount(shardsMax)}`],
        ]}
      />
    </section>
  );
}

/** What an agent is, and how it does. */
export default function AgentPage() {
  const { data, error, loading } = useApi<Family[]>(
    'status/self_metrics',
    { metric_name_pattern: PATTERN },
    REFRESH_MS,
  );
  const destinations = destinationsOf(data ?? []);
  return (
    <Page title="Agent" loading={loading && !data}>
      <p class="page-lead">
        This server runs as an agent: it scrapes its <a href={pageUrl('targets')}>targets</a> and sends what they say to
        the receivers below. It keeps nothing that could be queried; ask the receivers.
      </p>
      {error && <Failure error={error} what="What is sent" />}
      {data && (
        <>
          <section>
            <h2>Scraped</h2>
            <Facts
              rows={[
                ['Series', formatCount(totalOf(data, 'prometheus_agent_active_series'))],
                ['Samples since the start', formatCount(totalOf(data, 'prometheus_agent_samples_appended_total'))],
              ]}
            />
          </section>
          {destinations.map((one) => (
            <DestinationFacts key={`${one.name} ${one.url}`} destination={one} />
          ))}
          {destinations.length === 0 && (
            <div class="note warn">
              <p>
                <strong>What is scraped goes nowhere.</strong> The <a href={pageUrl('config')}>configuration</a> has no
                section <code>remote_write</code>.
              </p>
            </div>
          )}
        </>
      )}
    </Page>
  );
}
