import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { coloursOf, useBrowser } from './browser';
import { type PageServer, servePage } from './page-server';

/**
 * Against a running server that scrapes itself, e.g. `BASE_URL=http://localhost:9090`. Its own page is tested, unless
 * PAGE=built asks for the page in dist with that server's API.
 */
const base = process.env.SERVER_URL?.replace(/\/*$/, '/').replace(/^\/$/, '');

if (!base) console.log('skipped the tests against a real server: BASE_URL is not set');

const browser = useBrowser();
let server: PageServer | undefined;
let url = base ?? '';
/** A server that just started has nothing to show before its first scrape. */
async function firstScrape(): Promise<void> {
  await vi.waitUntil(
    async () => {
      const answer = await fetch(`${base}api/v1/query?query=${encodeURIComponent('count(scrape_duration_seconds)')}`);
      return ((await answer.json()) as { data: { result: unknown[] } }).data.result.length > 0;
    },
    { timeout: 60_000, interval: 200 },
  );
}

beforeAll(async () => {
  if (base) await firstScrape();
  if (base && process.env.PAGE === 'built') {
    server = await servePage(base);
    url = server.url;
  }
}, 70_000);
afterAll(() => server?.close());

test.runIf(base)('a real query is drawn', async () => {
  const page = await browser.newPage();
  await page.goto(`${url}query?g0.expr=scrape_duration_seconds&g0.tab=graph&g0.range_input=15m`);
  await page.waitForSelector('.graph-host[data-drawn]');
  expect(await coloursOf(page)).toBeGreaterThan(5);
  await page.context().close();
});

test.runIf(base)('a first question is asked with one click', async () => {
  const page = await browser.newPage();
  await page.goto(`${url}query`);
  await page.getByRole('button', { name: 'How long scrapes take' }).click();
  await page.waitForSelector('.graph-host[data-drawn]');
  await page.context().close();
});

test.runIf(base)('a real mistake is marked', async () => {
  const page = await browser.newPage();
  await page.goto(`${url}query?g0.expr=sum(up&g0.tab=table`);
  await page.locator('.note.bad').waitFor();
  await page.waitForSelector('.error-place .caret');
  await page.context().close();
});

test.runIf(base)('a misspelt metric leads to the real one', async () => {
  const page = await browser.newPage();
  await page.goto(`${url}query?g0.expr=scrape_duration_second&g0.tab=table`);
  await page.getByRole('button', { name: 'scrape_duration_seconds', exact: true }).click();
  await page.locator('.result-table tbody tr').first().waitFor();
  await page.context().close();
});

test.runIf(base)('a real query is explained', async () => {
  const page = await browser.newPage();
  await page.goto(`${url}query?g0.expr=sum(max_over_time(scrape_duration_seconds[1m]))&g0.tab=explain`);
  const nodes = page.locator('.plan-table .plan-node');
  await nodes.nth(1).waitFor();
  expect(await nodes.count()).toBe(2);
  expect(await nodes.nth(0).textContent()).toContain('aggregate');
  expect(await nodes.nth(1).textContent()).toContain('reads scrape_duration_seconds');
  await page.context().close();
});

test.runIf(base).each([
  ['alerts', '.alert-rule, .no-rules'],
  ['rules', '.rule-name, .no-rules'],
  ['targets', '.target'],
  ['service-discovery', '.discovery tbody tr'],
  ['config', '.yaml .line'],
  ['tsdb-status', '.cost-table tbody tr'],
  ['status', '.fact-table tr'],
  ['flags', 'tbody tr'],
])('/%s shows real content', async (path, content) => {
  const page = await browser.newPage();
  await page.goto(url + path);
  await page.locator(content).first().waitFor();
  await page.context().close();
});
