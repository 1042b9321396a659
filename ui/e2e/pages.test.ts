import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { madeUpApi } from './answers';
import { coloursOf, useBrowser } from './browser';
import { type PageServer, servePage } from './page-server';

const browser = useBrowser();
let server: PageServer;
beforeAll(async () => {
  server = await servePage(madeUpApi);
});
afterAll(() => server.close());

async function open(path: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(server.url + path);
  return page;
}

test('targets are filtered by what is typed and by health, and the address keeps it', async () => {
  const page = await open('targets');
  await page.getByText('http://host:2/metrics').waitFor();
  expect(await page.locator('.target').count()).toBe(3);
  await page.getByText('connection refused').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('web');
  await page.waitForFunction(() => document.querySelectorAll('.target').length === 1);
  await page.reload();
  await page.locator('.target').waitFor();
  expect(await page.locator('.target').count()).toBe(1);
  await page.getByLabel('Filter targets').fill('');
  await page.getByRole('button', { name: 'down 1' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.target').length === 1);
  expect(page.url()).toContain('health=down');
  await page.context().close();
});

test('a pool is folded and opened', async () => {
  const page = await open('targets');
  const head = page.getByRole('button', { name: /^▾?\s*node/ });
  await head.click();
  await page.waitForFunction(() => document.querySelectorAll('.target').length === 1);
  await head
    .or(page.getByRole('button', { name: /node 1 of 2 up/ }))
    .first()
    .click();
  await page.waitForFunction(() => document.querySelectorAll('.target').length === 3);
  await page.context().close();
});

test('service discovery says why a target was dropped', async () => {
  const page = await open('service-discovery?show=dropped');
  await page.getByRole('button', { name: 'Why it was dropped' }).click();
  await page.getByText('dropped here').waitFor();
  await page.getByText('2 more were dropped').waitFor();
  await page.getByText('if [team] matches /db/').waitFor();
  await page.getByText('"web" does not match').waitFor();
  await page.getByText('One more rule is not looked at.').waitFor();
  expect(await page.locator('.label-change.added').textContent()).toContain('team="web"');
  await page.context().close();
});

test('the steps of a target have an address, and targets lead to it', async () => {
  const page = await open('service-discovery?show=dropped');
  await page.getByRole('button', { name: 'Why it was dropped' }).click();
  await page.getByText('dropped here').waitFor();
  await page.reload();
  await page.getByText('dropped here').waitFor();
  await page.goto(`${server.url}targets`);
  await page.getByRole('link', { name: 'how it was relabelled' }).first().click();
  await page.waitForURL(/service-discovery\?filter=.*&open=/);
  await page.locator('.relabel-steps .step').first().waitFor();
  await page.context().close();
});

test('the TSDB tables lead to queries', async () => {
  const page = await open('tsdb-status');
  await page.getByRole('link', { name: 'node_cpu_seconds_total' }).click();
  await page.waitForURL(/\/query\?g0\.expr=count/);
  await page.locator('.result-table').waitFor();
  await page.context().close();
});

test('configuration, status and flags are shown and searched', async () => {
  const page = await open('config?filter=job');
  await page.locator('.yaml .hit').waitFor();
  await page.goto(`${server.url}status`);
  await page.getByText('1.2.3').waitFor();
  await page.getByText('successful').waitFor();
  await page.goto(`${server.url}flags?filter=listen`);
  await page.getByText('--web.listen-address').waitFor();
  expect(await page.locator('tbody tr').count()).toBe(1);
  await page.context().close();
});

test('what the server does not offer yet is said plainly', async () => {
  const page = await open('alerts');
  await page.getByText('Alerts are not available here yet.').waitFor();
  await page.goto(`${server.url}rules`);
  await page.getByText('Rules are not available here yet.').waitFor();
  await page.goto(`${server.url}nothing`);
  await page.getByText('No such page').waitFor();
  await page.context().close();
});

test('the keyboard reaches every page, and the keys are listed', async () => {
  const page = await open('targets');
  await page.getByText('http://host:2/metrics').waitFor();
  for (const [key, path] of Object.entries({
    d: 'service-discovery',
    c: 'config',
    b: 'tsdb-status',
    s: 'status',
    f: 'flags',
    a: 'alerts',
    r: 'rules',
    t: 'targets',
  })) {
    await page.keyboard.press('g');
    await page.keyboard.press(key);
    await page.waitForURL(`**/${path}`);
  }
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'hidden' });
  await page.keyboard.press('g');
  await page.keyboard.press('q');
  await page.waitForURL('**/query');
  await page.context().close();
});

test('the first tab stop skips to the content', async () => {
  const page = await open('targets');
  await page.getByText('http://host:2/metrics').waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');
  expect(page.url()).toBe(`${server.url}targets`);
  await page.context().close();
});

test('the colours are chosen and kept', async () => {
  const page = await open('targets');
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.getByLabel('Colours').selectOption('dark');
  const darkGround = await ground();
  expect(darkGround).not.toBe(light);
  await page.reload();
  await page.getByText('http://host:2/metrics').waitFor();
  expect(await ground()).toBe(darkGround);
  await page.context().close();
});

test('everything works under a prefix, and nothing is asked elsewhere', async () => {
  const prefixed = await servePage(madeUpApi, '/some/prom/');
  const page = await browser.newPage();
  const asked: string[] = [];
  page.on('request', (request) => asked.push(request.url()));
  await page.goto(`${prefixed.url}graph?g0.expr=up&g0.tab=graph`);
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  expect(await coloursOf(page)).toBeGreaterThan(10);
  await page.waitForSelector('.cm-content');
  await page.getByRole('link', { name: 'Targets' }).click();
  await page.getByText('http://host:2/metrics').waitFor();
  expect(page.url()).toBe(`${prefixed.url}targets`);
  expect(asked.filter((url) => !url.startsWith(prefixed.url) && !url.startsWith('blob:'))).toEqual([]);
  await page.context().close();
  await prefixed.close();
});

test('the page is usable over a slow network', async () => {
  const page = await browser.newPage();
  const session = await page.context().newCDPSession(page);
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 150,
    downloadThroughput: 200_000,
    uploadThroughput: 100_000,
  });
  const started = Date.now();
  await page.goto(`${server.url}query`);
  await page.getByRole('button', { name: 'Run' }).waitFor();
  expect(Date.now() - started).toBeLessThan(5000);
  await page.context().close();
});
