import { afterAll, beforeAll, expect, test } from 'vitest';
import { madeUpApi, send } from './answers';
import { useBrowser } from './browser';
import { type PageServer, servePage } from './page-server';

const LABEL = [
  { name: 'remote_name', value: 'far' },
  { name: 'url', value: 'http://far/api/v1/write' },
];
const VALUES = {
  prometheus_agent_active_series: 1234,
  prometheus_agent_samples_appended_total: 98765,
  prometheus_remote_storage_shards: 1,
  prometheus_remote_storage_shards_max: 50,
  prometheus_remote_storage_samples_total: 98000,
  prometheus_remote_storage_samples_failed_total: 3,
  prometheus_remote_storage_samples_pending: 765,
  prometheus_remote_storage_queue_highest_timestamp_seconds: 1_700_000_400,
  prometheus_remote_storage_queue_highest_sent_timestamp_seconds: 1_700_000_100,
  binnacle_remote_storage_unsent_bytes: 5 << 20,
};

const browser = useBrowser();
let server: PageServer;
beforeAll(async () => {
  server = await servePage(
    (path, params, response) => {
      if (path !== 'status/self_metrics') return madeUpApi(path, params, response);
      const asked = new RegExp(`^(?:${params.get('metric_name_pattern')})$`);
      const families = Object.entries(VALUES).filter(([name]) => asked.test(name));
      send(
        response,
        families.map(([name, value]) => ({ name, metric: [{ label: LABEL, gauge: { value } }] })),
      );
    },
    '/',
    0,
    true,
  );
});
afterAll(() => server.close());

test('an agent begins with where it sends, and has no pages about what is stored', async () => {
  const page = await browser.newPage();
  await page.goto(server.url);
  await page.getByText(/5 ?m.* behind/).waitFor();
  expect(page.url()).toBe(`${server.url}agent`);
  await page.getByText('http://far/api/v1/write').waitFor();
  await page.getByText('5 MiB of the log').waitFor();
  const pages = await page.getByRole('navigation', { name: 'Pages' }).getByRole('link').allTextContents();
  expect(pages).toEqual(['Agent', 'Targets', 'Service discovery', 'Configuration', 'Status', 'Flags']);
  await page.keyboard.type('gt');
  await page.getByText('http://host:2/metrics').waitFor();
  expect(await page.getByText('graph of up').count()).toBe(0);
  await page.goto(`${server.url}query`);
  await page.getByRole('heading', { name: 'No such page' }).waitFor();
  await page.context().close();
});
