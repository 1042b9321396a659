import { useMemo } from 'preact/hooks';
import { NoRules } from '../alerts/no-rules';
import type { RuleGroup } from '../api/answers';
import { formatCount } from '../format/number';
import { BlockList } from '../parts/blocks';
import { Failure, FilterBox, NotRefreshed, Page, Segmented } from '../parts/page';
import { useApi } from '../parts/use-api';
import { shortName, useMarks } from '../parts/use-marks';
import { useNow } from '../parts/use-now';
import { useParam } from '../parts/use-param';
import {
  type FileOfRules,
  filesOf,
  type GroupOfRules,
  type Health,
  type KeyedRule,
  keyedGroups,
  type RuleType,
  ruleCounts,
} from '../rules/facts';
import { GroupHead, RuleColumns } from '../rules/group-head';
import { RuleRow } from '../rules/rule-row';
import '../style/targets.css';
import '../style/rules.css';

const REFRESH_MS = 10_000;
/** The mark in the address that closes every group but those that are marked as open. */
const ALL_CLOSED = 'none';

type Block =
  | { kind: 'file'; key: string; file: FileOfRules }
  | { kind: 'group'; key: string; mark: string; open: boolean; group: GroupOfRules }
  | { kind: 'rule'; key: string; mark: string; rule: KeyedRule };

/** Heights in pixels to begin with. */
const HEIGHTS: Record<Block['kind'], number> = { file: 40, group: 56, rule: 56 };

function blocksOf(files: FileOfRules[], has: (mark: string) => boolean): Block[] {
  const out: Block[] = [];
  for (const file of files) {
    out.push({ kind: 'file', key: file.file, file });
    for (const group of file.groups) {
      const mark = shortName(group.key);
      const open = has(ALL_CLOSED) ? has(`o${mark}`) : !has(`c${mark}`);
      out.push({ kind: 'group', key: group.key, mark, open, group });
      if (!open) continue;
      for (const rule of group.rules) out.push({ kind: 'rule', key: rule.key, mark: `r${shortName(rule.key)}`, rule });
    }
  }
  return out;
}

function FileHead({ file: { file, failing } }: { file: FileOfRules }) {
  const slash = file.lastIndexOf('/') + 1;
  return (
    <h2 class="rule-file">
      <span class="muted">{file.slice(0, slash)}</span>
      {file.slice(slash)} {failing > 0 && <span class="bad-text">{formatCount(failing)} failing</span>}
    </h2>
  );
}

export default function RulesPage() {
  const { data, error, loading, at } = useApi<{ groups: RuleGroup[] | null }>(
    'rules',
    { exclude_alerts: 'true', stats: 'true' },
    REFRESH_MS,
  );
  const [filter, setFilter] = useParam('filter');
  const [health, setHealth] = useParam('health', 'all');
  const [type, setType] = useParam('type', 'all');
  const marks = useMarks('show');
  const now = useNow();

  const groups = useMemo(() => keyedGroups(data?.groups ?? []), [data]);
  const counts = useMemo(() => ruleCounts(groups), [groups]);
  const files = useMemo(
    () => filesOf(groups, { health: health as Health | 'all', type: type as RuleType | 'all', filter }),
    [groups, health, type, filter],
  );
  const blocks = useMemo(() => blocksOf(files, marks.has), [files, marks]);
  const samples = useMemo(
    () => groups.some(({ rules }) => rules.some(({ rule }) => rule.samples !== undefined)),
    [groups],
  );
  const withNumber = (word: string, count: number) => (data ? `${word} ${formatCount(count)}` : word);
  const healthOption = (wanted: Health, word: string): [Health, string] => [
    wanted,
    withNumber(word, counts.health[wanted]),
  ];
  const foldGroup = ({ mark, open }: { mark: string; open: boolean }) =>
    open ? marks.change([`c${mark}`], [`o${mark}`]) : marks.change([`o${mark}`], [`c${mark}`]);

  return (
    <Page
      title="Rules"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Filter rules" />
          <Segmented<Health | 'all'>
            label="Health"
            value={health as Health | 'all'}
            options={[
              ['all', 'all'],
              healthOption('err', 'failing'),
              healthOption('unknown', 'unknown'),
              healthOption('ok', 'ok'),
            ]}
            onChange={setHealth}
          />
          <Segmented<RuleType | 'all'>
            label="Type"
            value={type as RuleType | 'all'}
            options={[
              ['all', 'all'],
              ['alert', withNumber('alerting', counts.type.alert)],
              ['record', withNumber('recording', counts.type.record)],
            ]}
            onChange={setType}
          />
          {groups.length > 1 && (
            <button type="button" onClick={() => marks.clear(marks.has(ALL_CLOSED) ? [] : [ALL_CLOSED])}>
              {marks.has(ALL_CLOSED) ? 'Open all' : 'Close all'}
            </button>
          )}
          {data && error && <NotRefreshed error={error} since={now - at} />}
        </>
      }
    >
      {error && !data && <Failure error={error} what="Rules" />}
      {data && groups.length === 0 && <NoRules what="rule" />}
      {groups.length > 0 && files.length === 0 && (
        <p class="note">No rule matches. Clear the filter, or choose another health or type.</p>
      )}
      {blocks.length > 0 && <RuleColumns samples={samples} />}
      <BlockList
        label="Rules"
        blocks={blocks}
        estimate={({ kind }) => HEIGHTS[kind]}
        draw={(block) => {
          switch (block.kind) {
            case 'file':
              return <FileHead file={block.file} />;
            case 'group':
              return (
                <GroupHead shown={block.group} open={block.open} onFold={() => foldGroup(block)} now={now} at={at} />
              );
            case 'rule':
              return (
                <RuleRow
                  shown={block.rule}
                  open={marks.has(block.mark)}
                  onFold={() => marks.toggle(block.mark)}
                  now={now}
                  samples={samples}
                />
              );
          }
        }}
      />
    </Page>
  );
}
