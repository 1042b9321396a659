import { useMemo } from 'preact/hooks';
import { AlertRow } from '../alerts/alert-row';
import { externalLabelsOf } from '../alerts/external-labels';
import {
  type AlertState,
  countsOf,
  type KeyedAlert,
  type RuleAlerts,
  rulesWithAlerts,
  type Section,
  sectionsOf,
} from '../alerts/facts';
import { NoRules } from '../alerts/no-rules';
import { RuleHead } from '../alerts/rule-head';
import { alertmanagersOf } from '../alerts/silence';
import type { AlertmanagersAnswer, RuleGroup } from '../api/answers';
import { pageUrl } from '../base';
import { formatCount } from '../format/number';
import { BlockList } from '../parts/blocks';
import { Failure, FilterBox, NotRefreshed, Page, Segmented } from '../parts/page';
import { useApi } from '../parts/use-api';
import { shortName, useMarks } from '../parts/use-marks';
import { useNow } from '../parts/use-now';
import { useParam } from '../parts/use-param';
import '../style/targets.css';
import '../style/rules.css';

type Wanted = AlertState | 'all';

const REFRESH_MS = 10_000;
const ALERTMANAGERS_MS = 60_000;
/** Alerts of one rule that are shown before asking for the rest. */
const SHOWN = 20;

type Block =
  | { kind: 'section'; key: string; section: Section }
  | { kind: 'rule'; key: string; mark: string; shown: RuleAlerts }
  | { kind: 'alert'; key: string; mark: string; alert: KeyedAlert; shown: RuleAlerts }
  | { kind: 'rest'; key: string; mark: string; shown: RuleAlerts };

/** Heights in pixels to begin with. */
const HEIGHTS: Record<Block['kind'], number> = { section: 40, rule: 60, alert: 64, rest: 36 };

/** Alerts are shown under their rule, what is inactive shows its head only; marks turn that round. */
function isOpen({ state }: RuleAlerts, mark: string, has: (mark: string) => boolean): boolean {
  return has(`o${mark}`) || (state !== 'inactive' && !has(`c${mark}`));
}

function blocksOf(sections: Section[], has: (mark: string) => boolean): Block[] {
  const out: Block[] = [];
  for (const section of sections) {
    out.push({ kind: 'section', key: section.state, section });
    for (const shown of section.rules) {
      const mark = shortName(shown.key);
      out.push({ kind: 'rule', key: shown.key, mark, shown });
      if (!isOpen(shown, mark, has)) continue;
      const some = has(`a${mark}`) ? shown.alerts : shown.alerts.slice(0, SHOWN);
      for (const alert of some) {
        const key = `${shown.key} ${alert.key}`;
        out.push({ kind: 'alert', key, mark: shortName(key), alert, shown });
      }
      if (some.length < shown.alerts.length) out.push({ kind: 'rest', key: `${shown.key} rest`, mark, shown });
    }
  }
  return out;
}

const TITLES: Record<AlertState, string> = { firing: 'Firing', pending: 'Pending', inactive: 'Inactive' };

function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

function SectionHead({ section: { state, rules } }: { section: Section }) {
  const alerts = rules.reduce((sum, { alerts }) => sum + alerts.length, 0);
  return (
    <h2 class="alert-section">
      {TITLES[state]}{' '}
      <span class="muted">
        {state === 'inactive'
          ? counted(rules.length, 'rule')
          : `${counted(alerts, 'alert')} of ${counted(rules.length, 'rule')}`}
      </span>
    </h2>
  );
}

export default function AlertsPage() {
  const { data, error, loading, at } = useApi<{ groups: RuleGroup[] | null }>('rules', { type: 'alert' }, REFRESH_MS);
  const sentTo = useApi<AlertmanagersAnswer>('alertmanagers', {}, ALERTMANAGERS_MS).data;
  const config = useApi<{ yaml: string }>(sentTo ? 'status/config' : undefined).data;
  const [filter, setFilter] = useParam('filter');
  const [state, setState] = useParam('state', 'all');
  const marks = useMarks('show');
  const now = useNow();

  const rules = useMemo(() => rulesWithAlerts(data?.groups ?? []), [data]);
  const counts = useMemo(() => countsOf(rules), [rules]);
  const sections = useMemo(() => sectionsOf(rules, state as Wanted, filter), [rules, state, filter]);
  const blocks = useMemo(() => blocksOf(sections, marks.has), [sections, marks]);
  const alertmanagers = useMemo(() => alertmanagersOf(sentTo?.activeAlertmanagers ?? []), [sentTo]);

  const fold = (shown: RuleAlerts, mark: string) => {
    const inactive = shown.state === 'inactive';
    if (isOpen(shown, mark, marks.has)) marks.change(inactive ? [] : [`c${mark}`], [`o${mark}`]);
    else marks.change(inactive ? [`o${mark}`] : [], [`c${mark}`]);
  };
  const external = useMemo(() => externalLabelsOf(config?.yaml ?? ''), [config]);
  // Before anything is known, nobody is told that nothing fires.
  const withNumber = (word: string, number: string) => (data ? `${word} ${number}` : word);
  const drawn = (block: Block) => {
    switch (block.kind) {
      case 'section':
        return <SectionHead section={block.section} />;
      case 'rule':
        return (
          <RuleHead
            shown={block.shown}
            open={isOpen(block.shown, block.mark, marks.has)}
            onFold={() => fold(block.shown, block.mark)}
            graph={marks.has(`g${block.mark}`)}
            onGraph={() => marks.toggle(`g${block.mark}`)}
            at={at}
          />
        );
      case 'alert':
        return (
          <AlertRow
            alert={block.alert.alert}
            rule={block.shown.rule}
            now={now}
            at={at}
            alertmanagers={alertmanagers}
            external={external}
            graph={marks.has(`g${block.mark}`)}
            onGraph={() => marks.toggle(`g${block.mark}`)}
          />
        );
      case 'rest':
        return (
          <div class="alert-rest">
            <button type="button" onClick={() => marks.change([`a${block.mark}`], [])}>
              Show all {formatCount(block.shown.alerts.length)} alerts
            </button>
          </div>
        );
    }
  };

  return (
    <Page
      title="Alerts"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Filter alerts" />
          <Segmented<Wanted>
            label="State"
            value={state as Wanted}
            options={[
              ['all', 'all'],
              ['firing', withNumber('firing', formatCount(counts.firing))],
              ['pending', withNumber('pending', formatCount(counts.pending))],
              ['inactive', withNumber('inactive', counted(counts.inactive, 'rule'))],
            ]}
            onChange={setState}
          />
          {data && error && <NotRefreshed error={error} since={now - at} />}
        </>
      }
    >
      {error && !data && <Failure error={error} what="Alerts" />}
      {data && rules.length === 0 && <NoRules what="alerting rule" />}
      {counts.failing > 0 && (
        <p class="note bad">
          <strong>{counted(counts.failing, 'alerting rule')} could not be evaluated</strong>: their alerts do not come
          and go as they should. <a href={`${pageUrl('rules')}?health=err&type=alert`}>See why</a>
        </p>
      )}
      {counts.firing > 0 && sentTo?.activeAlertmanagers?.length === 0 && (
        <p class="note warn">
          <strong>Nobody is told of these alerts</strong>: there is no Alertmanager in the{' '}
          <a href={`${pageUrl('config')}?filter=alertmanagers`}>configuration</a>, or none was found.
        </p>
      )}
      {rules.length > 0 && blocks.length === 0 && (
        <p class="note">No alert matches. Clear the filter or choose another state.</p>
      )}
      <BlockList label="Alerts" blocks={blocks} estimate={({ kind }) => HEIGHTS[kind]} draw={drawn} />
    </Page>
  );
}
