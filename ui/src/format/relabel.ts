import type { Labels, RelabelStep } from '../api/answers';

/** A rule as the API tells it; what is empty or the default may be missing. */
export interface RelabelRule {
  action?: string;
  source_labels?: string[];
  separator?: string;
  regex?: string;
  modulus?: number;
  target_label?: string;
  replacement?: string;
}

/** What became of one label. */
export interface LabelChange {
  name: string;
  before?: string;
  after?: string;
}

/** One rule and what it did to the labels that it met. */
export interface ExplainedStep {
  rule: RelabelRule;
  /** The rule as a sentence. */
  sentence: string;
  /** The values that it looked at, joined. */
  source?: string;
  /** Whether they matched; undefined when that cannot be told here. */
  matched?: boolean;
  keep: boolean;
  changes: LabelChange[];
}

/** What a rule does, in the words of `binnacle tool explain config`. */
export function ruleSentence(rule: RelabelRule): string {
  const action = rule.action ?? 'replace';
  const source = `[${(rule.source_labels ?? []).join(', ')}]`;
  const regex = `/${rule.regex ?? '(.*)'}/`;
  const target = rule.target_label ?? '';
  const replacement = JSON.stringify(rule.replacement ?? '');
  switch (action) {
    case 'replace':
      return rule.source_labels?.length
        ? `if ${source} matches ${regex}, ${target} = ${replacement}`
        : `${target} = ${replacement}`;
    case 'keep':
    case 'drop':
      return `if ${source} matches ${regex}`;
    case 'keepequal':
    case 'dropequal':
      return `if ${source} equals ${target}`;
    case 'hashmod':
      return `${target} = hash of ${source} modulo ${rule.modulus ?? 0}`;
    case 'lowercase':
    case 'uppercase':
      return `${target} = ${source}`;
    case 'labelmap':
      return `copy labels named ${regex} to ${replacement}`;
    case 'labeldrop':
      return `remove labels named ${regex}`;
    case 'labelkeep':
      return `remove labels not named ${regex}`;
    default:
      return JSON.stringify(rule);
  }
}

/** Labels that came, went or changed. */
export function labelChanges(before: Labels, after: Labels): LabelChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names
    .filter((name) => (before[name] ?? '') !== (after[name] ?? ''))
    .map((name) => ({ name, before: before[name], after: after[name] }));
}

/** Whether a whole text matches. The server's expressions are RE2's: those that mean something else here say nothing. */
function matches(regex: string, text: string): boolean | undefined {
  try {
    return new RegExp(`^(?:${regex})$`, 'us').test(text);
  } catch {
    return undefined;
  }
}

/** Steps with what each met and changed, up to the one that dropped the target. */
export function explainSteps(discovered: Labels, steps: RelabelStep[]): ExplainedStep[] {
  const explained: ExplainedStep[] = [];
  let before = discovered;
  for (const { rule, output, keep } of steps) {
    const known = rule as RelabelRule;
    const action = known.action ?? 'replace';
    const names = known.source_labels ?? [];
    const source = names.map((name) => before[name] ?? '').join(known.separator ?? ';');
    const changes = keep ? labelChanges(before, output ?? {}) : [];
    let matched: boolean | undefined;
    if (action === 'keep') matched = keep;
    else if (action === 'drop') matched = !keep;
    else if (action === 'replace' && names.length > 0)
      matched = changes.length > 0 || matches(known.regex ?? '(.*)', source);
    explained.push({
      rule: known,
      sentence: ruleSentence(known),
      source: names.length > 0 ? source : undefined,
      matched,
      keep,
      changes,
    });
    if (!keep) break;
    before = output ?? {};
  }
  return explained;
}

/** Names a discovered target in an address of the page, in a few letters. */
export function targetKey(pool: string, discovered: Labels): string {
  const text = JSON.stringify([pool, ...Object.entries(discovered).sort()]);
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
