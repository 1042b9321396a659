import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Progress, Segmented } from '../parts/page';
import { EditorBox } from './editor-box';
import { EmptyNote } from './empty-note';
import { ErrorNote } from './error-note';
import { GraphView } from './graph-view';
import { HistoryMenu } from './history-menu';
import { parseErrorOf } from './parse-error';
import { PlanView } from './plan-view';
import { ResultFacts } from './result-facts';
import { ShareMenu } from './share-menu';
import type { PanelState, Step, Tab, TimeRange } from './state';
import { TableView } from './table-view';
import { questionOf, useQuery } from './use-query';
import { useUnit } from './use-unit';

interface Props {
  index: number;
  panel: PanelState;
  time: TimeRange;
  step: Step;
  now: number;
  autofocus: boolean;
  onChange: (part: Partial<PanelState>, replace?: boolean) => void;
  onRun: (expr: string) => void;
  onTime: (time: TimeRange) => void;
  onBack: () => void;
  onRemove?: () => void;
}

/** One question: its editor, and the answer as a table or a graph. */
export function Panel(props: Props) {
  const { panel } = props;
  const [draft, setDraft] = useState(panel.expr);
  const [given, setGiven] = useState({ text: panel.expr });
  const submitted = useRef(panel.expr);
  const give = (text: string) => {
    setDraft(text);
    setGiven({ text });
  };
  const run = (expr: string) => {
    submitted.current = expr;
    props.onRun(expr);
  };
  const runOther = (expr: string) => {
    give(expr);
    run(expr);
  };
  useEffect(() => {
    // What was run from here may have been typed on since; anything else comes from the address.
    if (panel.expr !== submitted.current) give(panel.expr);
    submitted.current = panel.expr;
  }, [panel.expr]);
  const question = useMemo(
    () => questionOf(panel.expr, panel.tab, props.time, props.step, props.now),
    [panel.expr, panel.tab, props.time, props.step, props.now],
  );
  const query = useQuery(question);
  const unit = useUnit(query.question?.expr ?? '');
  const plot = useRef<HTMLDivElement>(null);
  const { answer, error } = query;
  const place = error && draft === panel.expr ? parseErrorOf(error.message, panel.expr) : undefined;
  const empty =
    answer &&
    (answer.shape === 'range' ? answer.labels.length === 0 && answer.histogramSeries === 0 : answer.rows.length === 0);

  return (
    <section class="panel" aria-label={`Panel ${props.index + 1}`}>
      <Progress active={query.loading} />
      <div class="panel-head">
        <EditorBox
          value={draft}
          given={given}
          label={`Expression of panel ${props.index + 1}`}
          autofocus={props.autofocus}
          error={place}
          onChange={setDraft}
          onRun={run}
        />
        <div class="panel-actions">
          {query.loading ? (
            <button type="button" onClick={query.stop}>
              Stop
            </button>
          ) : (
            <button type="button" class="primary" onClick={() => run(draft)}>
              Run
            </button>
          )}
          <HistoryMenu onPick={runOther} />
          {props.onRemove && (
            <button
              type="button"
              aria-label={`Remove panel ${props.index + 1}`}
              title="Remove this panel"
              onClick={props.onRemove}
            >
              ×
            </button>
          )}
        </div>
      </div>
      {(panel.expr || query.loading) && (
        <div class="panel-bar">
          <Segmented<Tab>
            label="Show as"
            value={panel.tab}
            options={[
              ['table', 'Table'],
              ['graph', 'Graph'],
              ['explain', 'Explain'],
            ]}
            onChange={(tab) => props.onChange({ tab })}
          />
          {panel.tab === 'graph' && (
            <Segmented<'lines' | 'stacked'>
              label="Draw as"
              value={panel.stacked ? 'stacked' : 'lines'}
              options={[
                ['lines', 'Lines'],
                ['stacked', 'Stacked'],
              ]}
              onChange={(mode) => props.onChange({ stacked: mode === 'stacked' })}
            />
          )}
          {answer && <ResultFacts answer={answer} />}
          <ShareMenu question={question} client={query.client} plot={plot} hasAnswer={answer !== undefined} />
        </div>
      )}
      {error && <ErrorNote error={error} expr={panel.expr} onPick={runOther} />}
      {[...(answer?.warnings ?? []), ...(answer?.infos ?? [])].map((text) => (
        <p class="note warn" key={text}>
          {text}
        </p>
      ))}
      <div class={query.loading ? 'panel-result stale' : 'panel-result'} ref={plot} aria-busy={query.loading}>
        {panel.tab === 'explain' && panel.expr && <PlanView question={question} onPick={runOther} />}
        {empty && query.question && <EmptyNote question={query.question} onRun={runOther} onTime={props.onTime} />}
        {answer?.shape === 'instant' && !empty && (
          <TableView
            answer={answer}
            unit={unit}
            filter={panel.filter}
            onFilter={(filter) => props.onChange({ filter }, true)}
          />
        )}
        {answer?.shape === 'range' && !empty && (
          <GraphView
            answer={answer}
            client={query.client()}
            unit={unit}
            stacked={panel.stacked}
            filter={panel.filter}
            onFilter={(filter) => props.onChange({ filter }, true)}
            onTime={props.onTime}
            onBack={props.onBack}
            onNarrow={(call) => runOther(`${call}(20, ${panel.expr})`)}
          />
        )}
        {!answer && query.loading && <div class="placeholder" />}
      </div>
    </section>
  );
}
