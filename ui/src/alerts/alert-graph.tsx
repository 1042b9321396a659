import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Labels } from '../api/answers';
import { formatCount, formatValue } from '../format/number';
import { comparisonOf, type Limit } from '../format/promql';
import type { Unit } from '../format/units';
import type { CursorPlace, PlotLimit } from '../graph/plot';
import { Progress } from '../parts/page';
import { Promql } from '../parts/promql';
import { GraphCanvas } from '../query/graph-canvas';
import { type DrawnLine, MOST_LINES } from '../query/lines';
import type { TimeRange } from '../query/state';
import { questionOf, useQuery } from '../query/use-query';
import { useUnit } from '../query/use-unit';
import type { ResultClient } from '../result/client';
import type { RangeAnswer } from '../result/protocol';
import { isOf } from './facts';

export interface AlertGraphProps {
  /** The rule's expression. */
  expr: string;
  /** Labels of the alert whose series is to be shown; all series without them. */
  labels?: Labels;
  /** Since when the alert is active, in milliseconds. */
  since?: number;
  now: number;
}

const HOUR: TimeRange = { range: 3600_000 };
const WORDS: Record<Limit['relation'], string> = {
  '>': 'above',
  '>=': 'at or above',
  '<': 'below',
  '<=': 'at or below',
  '==': 'at',
  '!=': 'not at',
};

function sideOf({ relation, value }: Limit): PlotLimit {
  const side = relation.startsWith('>') ? 'above' : relation.startsWith('<') ? 'below' : undefined;
  return { value, side };
}

function extentOf(answer: RangeAnswer, shown: number[], limits: Limit[]): [number, number] {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const index of shown) {
    if (answer.series.min[index]! < min) min = answer.series.min[index]!;
    if (answer.series.max[index]! > max) max = answer.series.max[index]!;
  }
  for (const { value } of limits) {
    if (!Number.isFinite(value)) continue;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  return [min, max];
}

function Drawing(props: {
  answer: RangeAnswer;
  client: ResultClient;
  limits: Limit[];
  unit: Unit;
  labels?: Labels;
  since?: number;
  onTime: (time: TimeRange) => void;
  onBack: () => void;
}) {
  const { answer, client, limits, labels } = props;
  const cursor = useSignal<CursorPlace | undefined>(undefined);
  const [lines, setLines] = useState<DrawnLine[]>([]);
  const shown = useMemo(() => {
    const all = answer.labels.map((_, index) => index);
    const own = labels ? all.filter((index) => isOf(labels, answer.labels[index]!)) : [];
    return own.length ? own : all;
  }, [answer, labels]);
  useEffect(() => {
    let current = true;
    const drawn = shown.slice(0, MOST_LINES);
    client.rows(drawn).then(
      (rows) => {
        if (current) setLines(drawn.map((index, i) => ({ index, row: rows[i]! })));
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [shown, client]);
  const marks = useMemo(
    () => ({ limits: limits.map(sideOf), moments: props.since === undefined ? [] : [props.since / 1000] }),
    [limits, props.since],
  );
  const extent = useMemo(() => extentOf(answer, shown, limits), [answer, shown, limits]);
  return (
    <GraphCanvas
      answer={answer}
      client={client}
      lines={lines}
      shaded={shown.length === answer.labels.length && shown.length > MOST_LINES}
      stacked={false}
      unit={props.unit}
      extent={extent}
      hint="the query page has the values as a table"
      cursor={cursor}
      marks={marks}
      onTime={props.onTime}
      onBack={props.onBack}
    />
  );
}

/** The last hour of what an alert looks at, and the limit that it is held against. */
export default function AlertGraph({ expr, labels, since, now }: AlertGraphProps) {
  const comparison = useMemo(() => comparisonOf(expr), [expr]);
  const drawn = comparison?.drawn ?? expr;
  const limits = useMemo(() => comparison?.limits ?? [], [comparison]);
  const [time, setTime] = useState(HOUR);
  const earlier = useRef<TimeRange[]>([]);
  const question = useMemo(() => questionOf(drawn, 'graph', time, { density: 'medium' }, now), [drawn, time, now]);
  const query = useQuery(question);
  const unit = useUnit(drawn);
  const { answer, error } = query;
  const series = answer?.shape === 'range' ? answer.labels.length : 0;
  return (
    <figure class="alert-graph" aria-busy={query.loading}>
      <Progress active={query.loading} />
      <figcaption>
        <span>
          <Promql expr={drawn} />
          {limits.map((limit, i) => (
            <span key={i}>
              {i > 0 && ' and'} fires{' '}
              <strong>
                {WORDS[limit.relation]} {formatValue(limit.value, unit)}
              </strong>
            </span>
          ))}
          {comparison?.condition && (
            <span class="muted">
              {' '}
              if also <Promql expr={comparison.condition} />
            </span>
          )}
        </span>
        {series > 1 && !labels && <span class="muted">{formatCount(series)} series</span>}
      </figcaption>
      {error && error.type !== 'canceled' ? (
        <p class="note bad" role="alert">
          <strong>The graph could not be drawn.</strong> {error.message}
        </p>
      ) : answer?.shape === 'range' && series > 0 ? (
        <Drawing
          answer={answer}
          client={query.client()}
          limits={limits}
          unit={unit}
          labels={labels}
          since={since}
          onTime={(next) => {
            earlier.current.push(time);
            setTime(next);
          }}
          onBack={() => setTime(earlier.current.pop() ?? HOUR)}
        />
      ) : (
        <p class="muted alert-graph-empty">{answer ? 'Nothing in this time: the expression gave no series.' : ''}</p>
      )}
    </figure>
  );
}
