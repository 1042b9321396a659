import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Labels } from '../api/answers';
import { comparisonOf, type Limit } from '../format/comparison';
import { formatCount, formatValue } from '../format/number';
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

/** Limits that change and are drawn as lines. */
const MOST_CURVES = 20;
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

function extentOf(parts: { answer: RangeAnswer; shown: number[] }[], limits: Limit[]): [number, number] {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const { answer, shown } of parts) {
    for (const index of shown) {
      if (answer.series.min[index]! < min) min = answer.series.min[index]!;
      if (answer.series.max[index]! > max) max = answer.series.max[index]!;
    }
  }
  for (const { value } of limits) {
    if (!Number.isFinite(value)) continue;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  return [min, max];
}

interface Drawn {
  answer: RangeAnswer;
  client: ResultClient;
}

/** The series of an alert, or all if none is to be told as its own; and the lines of the first of them. */
function useLines({ answer, client }: Partial<Drawn>, labels: Labels | undefined, most: number) {
  const [lines, setLines] = useState<DrawnLine[]>([]);
  const shown = useMemo(() => {
    const all = answer?.labels.map((_, index) => index) ?? [];
    const own = labels ? all.filter((index) => isOf(labels, answer!.labels[index]!)) : [];
    return own.length ? own : all;
  }, [answer, labels]);
  useEffect(() => {
    if (!client || shown.length === 0) return setLines([]);
    let current = true;
    const drawn = shown.slice(0, most);
    client.rows(drawn).then(
      (rows) => {
        if (current) setLines(drawn.map((index, i) => ({ index, row: rows[i]! })));
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [shown, client, most]);
  return { shown, lines };
}

function Drawing(
  props: Drawn & {
    limits: Limit[];
    /** What it is compared with, if that is not a number. */
    against?: Drawn;
    unit: Unit;
    labels?: Labels;
    since?: number;
    onTime: (time: TimeRange) => void;
    onBack: () => void;
  },
) {
  const { answer, client, limits, labels, since, against } = props;
  const cursor = useSignal<CursorPlace | undefined>(undefined);
  const { shown, lines } = useLines(props, labels, MOST_LINES);
  const bounds = useLines(against ?? {}, labels, MOST_CURVES);
  // Of two answers one may be that of the time before.
  const together = against?.answer.grid.start === answer.grid.start && against.answer.grid.step === answer.grid.step;
  const marks = useMemo(
    () => ({
      limits: limits.map(sideOf),
      curves: together ? bounds.lines.map(({ row }) => row) : [],
      moments: since === undefined ? [] : [since / 1000],
    }),
    [limits, since, bounds.lines, together],
  );
  const extent = useMemo(() => {
    const curves = together ? [{ answer: against!.answer, shown: bounds.shown.slice(0, MOST_CURVES) }] : [];
    return extentOf([{ answer, shown }, ...curves], limits);
  }, [answer, shown, limits, bounds.shown, together]);
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
  const other = comparison?.against?.expr ?? '';
  const otherQuestion = useMemo(() => questionOf(other, 'graph', time, { density: 'medium' }, now), [other, time, now]);
  const bound = useQuery(otherQuestion);
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
          {comparison?.against && (
            <span>
              {limits.length > 0 && ' and'} fires <strong>{WORDS[comparison.against.relation]}</strong>{' '}
              <Promql expr={other} />
            </span>
          )}
          {comparison?.condition && (
            <span class="muted">
              {' '}
              <Promql expr={comparison.condition} />
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
          against={bound.answer?.shape === 'range' ? { answer: bound.answer, client: bound.client() } : undefined}
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
