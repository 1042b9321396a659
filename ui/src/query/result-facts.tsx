import { formatCount, formatValue } from '../format/number';
import type { QueryAnswer } from '../result/protocol';

function plural(count: number, one: string, many: string): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** What an answer cost and how much it holds. */
export function ResultFacts({ answer }: { answer: QueryAnswer }) {
  const series = answer.shape === 'range' ? answer.labels.length : answer.rows.length;
  const { timings, samples } = answer.stats ?? {};
  const details = [
    `whole request ${formatValue(answer.milliseconds / 1000, 'seconds')}`,
    `answer ${formatValue(answer.bytes, 'bytes')}`,
    timings?.execTotalTime !== undefined && `executed in ${formatValue(timings.execTotalTime, 'seconds')}`,
    timings?.execQueueTime !== undefined && `queued ${formatValue(timings.execQueueTime, 'seconds')}`,
    samples?.peakSamples !== undefined && `at most ${formatCount(samples.peakSamples)} samples in memory`,
  ];
  return (
    <span class="facts muted numeric" title={details.filter(Boolean).join('\n')}>
      <span>{plural(series, 'series', 'series')}</span>
      {answer.shape === 'range' && <span>{plural(answer.samples, 'point', 'points')}</span>}
      {samples?.totalQueryableSamples !== undefined && (
        <span class="read">{plural(samples.totalQueryableSamples, 'sample read', 'samples read')}</span>
      )}
      <span>{formatValue(timings?.execTotalTime ?? answer.milliseconds / 1000, 'seconds')}</span>
    </span>
  );
}
