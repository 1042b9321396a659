import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { searchParams } from '../api/client';
import type { ApiError } from '../api/error';
import { apiUrl } from '../base';
import { ResultClient } from '../result/client';
import type { QueryAnswer } from '../result/protocol';
import { type Evaluation, evaluationOf, type Step, type Tab, type TimeRange } from './state';

export interface Question {
  expr: string;
  tab: Tab;
  evaluation: Evaluation;
  /** Endpoint and parameters, as they are sent and as "copy as curl" shows them. */
  endpoint: 'query' | 'query_range' | 'query_explain';
  params: Record<string, string | number>;
}

export interface QueryRun {
  /** The last answer, kept while the next one is under way. */
  answer?: QueryAnswer;
  /** What `answer` answers. */
  question?: Question;
  error?: ApiError;
  loading: boolean;
  client: () => ResultClient;
  stop: () => void;
}

export function questionOf(expr: string, tab: Tab, time: TimeRange, step: Step, now: number): Question {
  const evaluation = evaluationOf(time, step, now);
  if (tab === 'table') {
    const at = (time.end ?? now) / 1000;
    return { expr, tab, evaluation, endpoint: 'query', params: { query: expr, time: at } };
  }
  const { start, end, step: seconds } = evaluation;
  const endpoint = tab === 'explain' ? 'query_explain' : 'query_range';
  return { expr, tab, evaluation, endpoint, params: { query: expr, start, end, step: seconds } };
}

/** Runs a question whenever it changes, in a worker of its own; but not one that asks for a plan. */
export function useQuery(question: Question): QueryRun {
  const worker = useRef<ResultClient | undefined>(undefined);
  const client = useCallback(() => {
    worker.current ??= new ResultClient();
    return worker.current;
  }, []);
  const [state, setState] = useState<Omit<QueryRun, 'client' | 'stop'>>({ loading: false });
  const runs = question.expr.trim() !== '' && question.tab !== 'explain';
  const wanted = runs ? JSON.stringify([question.endpoint, question.params]) : '';

  // `wanted` says all that the question says
  useEffect(() => {
    if (!wanted) {
      worker.current?.cancel();
      setState({ loading: false });
      return;
    }
    let current = true;
    // A table is of no use under a graph's heading, and the other way round.
    setState((old) => (old.question?.tab === question.tab ? { ...old, loading: true } : { loading: true }));
    const { start, step, count } = question.evaluation;
    const body = searchParams({ ...question.params, stats: 'true' }).toString();
    const grid = question.endpoint === 'query_range' ? { start, step, count } : undefined;
    client()
      .run(apiUrl(question.endpoint), body, grid)
      .then(
        (answer) => current && setState({ answer, question, loading: false }),
        (error: ApiError) => {
          if (!current) return;
          // What was stopped leaves the old result standing.
          if (error.type === 'canceled') setState((old) => ({ ...old, error, loading: false }));
          else setState({ error, question, loading: false });
        },
      );
    return () => {
      current = false;
    };
  }, [wanted]);

  useEffect(() => () => worker.current?.close(), []);
  const stop = useCallback(() => worker.current?.cancel(), []);
  return { ...state, client, stop };
}
