import { expect, test } from 'vitest';
import { destinationsOf, type Family, PATTERN, totalOf } from '../src/pages/agent-facts';
import { pagesOf } from '../src/shell/pages';

const LABELS = [
  { name: 'remote_name', value: 'far' },
  { name: 'url', value: 'http://far/write' },
];

function family(name: string, value: number, more: { name: string; value: string }[] = []): Family {
  return { name, metric: [{ label: [...LABELS, ...more], gauge: { value } }] };
}

const STORAGE = 'prometheus_remote_storage_';

test('an agent has no pages about what is stored, a server none about the agent', () => {
  const paths = (agent: boolean) => pagesOf(agent).map((page) => page.path);
  expect(paths(true)).toEqual(['agent', 'targets', 'service-discovery', 'config', 'status', 'flags']);
  expect(paths(false)).toContain('query');
  expect(paths(false)).not.toContain('agent');
  for (const agent of [true, false]) {
    const keys = pagesOf(agent).map((page) => page.key);
    expect(new Set(keys).size).toBe(keys.length);
  }
});

test('a destination has all that is counted of it, and nothing of others', () => {
  const other: Family['metric'] = [{ label: [{ name: 'remote_name', value: 'near' }], counter: { value: 1000 } }];
  const families: Family[] = [
    family(`${STORAGE}shards`, 2),
    { name: `${STORAGE}samples_total`, metric: [...family('', 40).metric, ...other] },
    family(`${STORAGE}histograms_total`, 2),
    family(`${STORAGE}samples_dropped_total`, 5, [{ name: 'reason', value: 'too_old' }]),
    family(`${STORAGE}queue_highest_timestamp_seconds`, 1700000100),
    family(`${STORAGE}queue_highest_sent_timestamp_seconds`, 1700000010),
    family('binnacle_remote_storage_unsent_bytes', 4096),
  ];
  const [far, ...others] = destinationsOf(families);
  expect(others).toEqual([]);
  expect(far).toMatchObject({ name: 'far', url: 'http://far/write', sent: 42, dropped: 5, unsent: 4096, behind: 90 });
  expect(totalOf(families, `${STORAGE}samples_total`)).toBe(1040);
  const asked = new RegExp(`^(?:${PATTERN})$`);
  expect(families.filter(({ name }) => !asked.test(name))).toEqual([]);
});

test('before anything was sent, nothing is behind', () => {
  expect(destinationsOf([family(`${STORAGE}shards`, 1)])[0]?.behind).toBeUndefined();
  expect(destinationsOf([])).toEqual([]);
});
