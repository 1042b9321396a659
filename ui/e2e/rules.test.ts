import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { useBrowser } from './browser';
import { type PageServer, servePage } from './page-server';
import { apiWithRules, GROUPS, type MadeUpGroup } from './rule-answers';

const AM = 'http://alertmanager:9093/api/v2/alerts';
const browser = useBrowser();
let groups: () => MadeUpGroup[];
let alertmanagers: string[];
let server: PageServer;
let broken = false;
beforeAll(async () => {
  const api = apiWithRules(
    () => groups(),
    () => alertmanagers,
  );
  server = await servePage((path, params, response) => {
    if (broken && path === 'rules') response.writeHead(503, { 'Content-Type': 'text/plain' }).end('no more room');
    else api(path, params, response);
  });
});
afterAll(() => server.close());

async function open(path: string, options?: { width: number; height: number }): Promise<Page> {
  const page = await browser.newPage(options);
  await page.goto(server.url + path);
  return page;
}

function made(): void {
  groups = () => GROUPS;
  alertmanagers = [AM];
}

async function names(page: Page): Promise<string[]> {
  return (await page.locator('.alert-rule .fold-button').allTextContents()).map((text) => text.slice(1));
}

test('what fires comes first, and state and filter are in the address', async () => {
  made();
  const page = await open('alerts');
  await page.locator('.alert').first().waitFor();
  expect(await names(page)).toEqual(['LoadHigh', 'DiskFull', 'Unusual', 'Broken', 'Quiet']);
  expect(await page.locator('.alert').count()).toBe(4);
  await page.getByText('1 alerting rule could not be evaluated').waitFor();
  await page.getByRole('button', { name: 'pending 2' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.alert').length === 2);
  await page.reload();
  await page.locator('.alert').first().waitFor();
  expect(await names(page)).toEqual(['DiskFull', 'Unusual']);
  await page.getByRole('button', { name: 'all', exact: true }).click();
  await page.keyboard.press('/');
  await page.keyboard.type('load idle');
  await page.waitForFunction(() => document.querySelectorAll('.alert').length === 1);
  await page.reload();
  await page.getByText('The load is high').waitFor();
  expect(await page.locator('.alert').count()).toBe(1);
  expect(new URL(page.url()).searchParams.get('filter')).toBe('load idle');
  await page.context().close();
});

test('an alert says since when, what comes next and where to read on', async () => {
  made();
  const page = await open('alerts');
  const facts = (text: string) => page.locator('.alert', { hasText: text }).locator('.alert-facts');
  await facts('The load is high').waitFor();
  expect(await facts('The load is high').textContent()).toMatch(/Active14 min since \d\d:\d\dValue0\.725/);
  expect(await facts('user').textContent()).toMatch(/Oversince \d\d:\d\d, ends in 5 min/);
  expect(await facts('sda').textContent()).toContain('in 30 min');
  const links = page.locator('.annotations a');
  expect(await links.evaluateAll((all) => all.map((link) => link.getAttribute('href')))).toEqual([
    'http://wiki.example/load',
    'https://runbooks.example/load',
  ]);
  expect(await links.first().getAttribute('rel')).toBe('noopener noreferrer');
  await page.context().close();
});

test('an alert is silenced where it is sent to', async () => {
  made();
  const page = await open('alerts');
  const link = page.locator('.alert', { hasText: 'The load is high' }).getByRole('link', { name: 'Silence' });
  const matchers = '{alertname="LoadHigh",job="node",mode="idle",severity="critical"}';
  expect(await link.getAttribute('href')).toBe(
    `http://alertmanager:9093/#/silences/new?filter=${encodeURIComponent(matchers)}`,
  );
  alertmanagers = [AM, 'https://other/am/api/v2/alerts'];
  await page.reload();
  const menu = page.locator('.alert').first().getByRole('button', { name: 'Silence' });
  await menu.focus();
  await page.keyboard.press('Enter');
  const choices = page.locator('.menu-actions a');
  expect(await choices.allTextContents()).toEqual(['alertmanager:9093', 'other/am']);
  expect(await choices.last().getAttribute('href')).toMatch(
    /^https:\/\/other\/am\/#\/silences\/new\?filter=%7Balertname/,
  );
  expect(await choices.first().evaluate((one) => one === document.activeElement)).toBe(true);
  await page.keyboard.press('Escape');
  alertmanagers = [];
  await page.reload();
  await page.getByText('Nobody is told of these alerts').waitFor();
  expect(await page.getByText('Silence').count()).toBe(0);
  await page.context().close();
});

/** Over how many pixels of the graph's width there is something in the colour of a limit. */
function limitWidth(page: Page): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>('.graph-host canvas')!;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    const wanted = /#(..)(..)(..)/
      .exec(getComputedStyle(document.documentElement).getPropertyValue('--bad'))!
      .slice(1)
      .map((hex) => Number.parseInt(hex, 16));
    const columns = new Set<number>();
    for (let i = 0; i < data.length; i += 4)
      if (wanted.every((part, j) => Math.abs(data[i + j]! - part) < 6)) columns.add((i / 4) % canvas.width);
    return columns.size;
  });
}

test('the graph of an alert opens in place, with its limit, and stays in the address', async () => {
  made();
  const page = await open('alerts');
  const asked: string[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('query_range')) asked.push(new URLSearchParams(request.postData()!).get('query')!);
  });
  const row = page.locator('.alert', { hasText: 'The load is high' });
  await row.getByRole('button', { name: 'Graph' }).click();
  // Of the three series that are answered only one is the alert's.
  await page.waitForSelector('.graph-host[data-drawn="1"]');
  expect(await limitWidth(page)).toBeGreaterThan(100);
  expect(asked).toEqual(['node_load1{job="node"}']);
  const caption = await page.locator('figcaption').textContent();
  expect(caption).toContain('fires above 0.5');
  expect(caption).toContain('and on (job) up == 1');
  await page.reload();
  await page.waitForSelector('.graph-host[data-drawn="1"]');
  await row.getByRole('button', { name: 'Graph' }).click();
  await page.waitForSelector('.graph-host', { state: 'detached' });
  const rule = page.locator('.alert-rule', { hasText: 'LoadHigh' });
  await rule.getByRole('button', { name: 'Graph' }).click();
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  await rule.getByRole('link', { name: 'Query' }).click();
  await page.waitForURL(/\/query\?g0\.expr=node_load1/);
  await page.context().close();
});

test('a bound that changes is drawn with what it bounds', async () => {
  made();
  const page = await open('alerts?filter=Unusual');
  const asked: string[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('query_range')) asked.push(new URLSearchParams(request.postData()!).get('query')!);
  });
  await page.locator('.alert').getByRole('button', { name: 'Graph' }).click();
  await page.waitForSelector('.graph-host[data-drawn="1"]');
  await vi.waitUntil(async () => (await limitWidth(page)) > 100, { timeout: 10_000 });
  expect(asked.sort()).toEqual(['upper * 2', 'value']);
  expect(await page.locator('figcaption').textContent()).toBe('value fires above upper * 2');
  await page.context().close();
});

test('a rule is folded and opened by keyboard', async () => {
  made();
  const page = await open('alerts');
  const button = page.locator('.fold-button', { hasText: 'LoadHigh' });
  await button.focus();
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.alert').length === 2);
  expect(await button.getAttribute('aria-expanded')).toBe('false');
  await page.reload();
  await page.locator('.alert').first().waitFor();
  expect(await page.locator('.alert').count()).toBe(2);
  await page.locator('.fold-button', { hasText: 'Quiet' }).click();
  await page.getByText('{{ $labels.job }} is down').waitFor();
  await page.context().close();
});

function many(count: number, first = 0): MadeUpGroup[] {
  const alerts = Array.from({ length: count }, (_, i) => ({
    state: 'firing' as const,
    labels: { pod: `pod-${String(first + i).padStart(5, '0')}` },
    annotations: { summary: `Pod ${first + i} is restarted again and again` },
    active: 600 + (first + i) * 10,
  }));
  return [{ file: 'f', name: 'g', interval: 10, took: 0.1, rules: [{ name: 'Many', query: 'restarts > 3', alerts }] }];
}

test('thousands of alerts stay fluid, and nothing that one reads jumps when more of them come', async () => {
  groups = () => many(5000, 50);
  alertmanagers = [AM];
  const page = await browser.newPage();
  await page.clock.install();
  await page.goto(`${server.url}alerts`);
  await page.getByRole('button', { name: 'Show all 5 000 alerts' }).click();
  const drawn = () => page.locator('.alert').count();
  await page.waitForFunction(() => document.body.scrollHeight > 150_000);
  expect(await drawn()).toBeLessThan(60);

  const slowest = await page.evaluate(async () => {
    let worst = 0;
    for (let i = 0; i < 40; i++) {
      scrollBy(0, 1500);
      const before = performance.now();
      dispatchEvent(new Event('scroll'));
      document.body.getBoundingClientRect();
      worst = Math.max(worst, performance.now() - before);
      await new Promise(requestAnimationFrame);
    }
    return worst;
  });
  expect(slowest).toBeLessThan(250);
  expect(await drawn()).toBeGreaterThan(5);
  expect(await drawn()).toBeLessThan(60);

  // What is in the middle of the window stays there.
  const middle = () =>
    page.evaluate(() => {
      const row = document.elementFromPoint(400, innerHeight / 2)!.closest<HTMLElement>('li')!;
      return { key: row.dataset.key, top: Math.round(row.getBoundingClientRect().top) };
    });
  const before = await middle();
  expect(before.key).toContain('pod-');
  groups = () => many(5050, 0);
  await page.clock.fastForward(11_000);
  await page.getByRole('button', { name: 'firing 5 050' }).waitFor();
  expect(await middle()).toEqual(before);

  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await page.getByText('Pod 5049 is restarted').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('pod-04999');
  await page.waitForFunction(() => document.querySelectorAll('.alert').length === 1);
  await page.context().close();
});

test('without rules the pages say what to do', async () => {
  groups = () => [];
  const page = await open('alerts');
  await page.getByText('No alerting rule is configured.').waitFor();
  await page.getByText('rule_files:').waitFor();
  expect(await page.getByRole('link', { name: 'how rules are written' }).getAttribute('href')).toMatch(
    /docs\/rules\.md$/,
  );
  await page.goto(`${server.url}rules`);
  await page.getByText('No rule is configured.').waitFor();
  await page.context().close();
});

test('a refresh that fails leaves what was there, and says of when it is', async () => {
  made();
  const page = await browser.newPage();
  await page.clock.install();
  for (const [path, content] of [
    ['alerts', '.alert'],
    ['rules', '.rule .state'],
  ] as const) {
    await page.goto(server.url + path);
    await page.locator(content).first().waitFor();
    broken = true;
    await page.clock.fastForward(11_000);
    await page.getByText(/^As of .* ago: no more room/).waitFor();
    expect(await page.locator(content).count()).toBeGreaterThan(1);
    broken = false;
    await page.clock.fastForward(11_000);
    await page.getByText(/^As of/).waitFor({ state: 'detached' });
  }
  await page.context().close();
});

test('an answer that is slow to come is waited for', async () => {
  const asked: (() => void)[] = [];
  const api = apiWithRules(() => GROUPS);
  const slow = await servePage((path, params, response) => {
    if (path === 'rules') asked.push(() => api(path, params, response));
    else api(path, params, response);
  });
  const page = await browser.newPage();
  await page.clock.install();
  await page.goto(`${slow.url}alerts`);
  await vi.waitUntil(() => asked.length > 0);
  await page.clock.fastForward(25_000);
  asked[0]!();
  await page.locator('.alert').first().waitFor();
  expect(asked.length).toBe(1);
  await page.clock.fastForward(11_000);
  await vi.waitUntil(() => asked.length === 2);
  await page.context().close();
  await slow.close();
});

test('where nothing could be loaded nobody is told that nothing fires', async () => {
  broken = true;
  const page = await open('alerts');
  await page.getByText('Alerts could not be loaded.').waitFor();
  expect(await page.locator('.segmented button').allTextContents()).toEqual(['all', 'firing', 'pending', 'inactive']);
  broken = false;
  await page.context().close();
});

test('rules are shown file by file, the failing ones first', async () => {
  made();
  const page = await open('rules');
  await page.locator('.rule-file').first().waitFor();
  expect(await page.locator('.rule-file').allTextContents()).toEqual([
    '/etc/rules/b.yml 1 failing',
    '/etc/rules/a.yml ',
  ]);
  const loud = page.locator('.rule-group', { hasText: 'loud' });
  expect(await loud.textContent()).toContain('longer than the interval, evaluations are missed');
  const calm = await page.locator('.rule-group', { hasText: 'calm' }).textContent();
  expect(calm).toContain('took 3 ms');
  expect(calm).not.toContain('missed');
  await page.getByText('found duplicate series').waitFor();

  await page.getByRole('button', { name: 'failing 1' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.rule-name').length === 1);
  expect(await page.locator('.rule-group').textContent()).toContain('1 of 4 rules');
  await page.reload();
  await page.locator('.rule-name', { hasText: 'Broken' }).waitFor();
  await page.getByRole('button', { name: 'unknown 1' }).click();
  await page.locator('.rule-name', { hasText: 'job:new' }).waitFor();
  await page.locator('.rule-numbers', { hasText: 'not yet' }).waitFor();
  await page.goto(`${server.url}rules?type=record`);
  await page.locator('.rule-name').first().waitFor();
  expect(await page.locator('.rule-name').count()).toBe(2);
  await page.context().close();
});

test('a rule shows how many series it gave, where the server says so', async () => {
  made();
  const page = await open('rules');
  const row = page.locator('.rule', { hasText: 'job:up:sum' });
  await row.waitFor();
  expect(await row.locator('.rule-numbers').textContent()).toContain('Series1\u202f234');
  groups = () =>
    GROUPS.map((group) => ({ ...group, rules: group.rules.map((rule) => ({ ...rule, samples: undefined })) }));
  await page.reload();
  await row.waitFor();
  expect(await page.locator('.with-samples').count()).toBe(0);
  expect(await row.locator('dt').allTextContents()).toEqual(['Took', 'Evaluated']);
  await page.context().close();
});

test('a rule is opened by keyboard and leads to its query and its alerts', async () => {
  made();
  const page = await open('rules');
  const row = page.locator('.rule', { hasText: 'Quiet' });
  await row.getByRole('button').focus();
  await page.keyboard.press('Enter');
  await page.getByText('{{ $labels.job }} is down').waitFor();
  await page.reload();
  await page.getByText('{{ $labels.job }} is down').waitFor();
  await page.getByRole('button', { name: 'Close all' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.rule-name').length === 0);
  await page.getByRole('button', { name: 'calm' }).click();
  await row.getByRole('link', { name: 'query' }).click();
  await page.waitForURL(/\/query\?g0\.expr=up/);
  await page.goBack();
  await page.getByRole('button', { name: 'Open all' }).click();
  await page.locator('.rule', { hasText: 'LoadHigh' }).getByRole('link', { name: 'firing' }).click();
  await page.waitForURL(/\/alerts\?filter=LoadHigh/);
  await page.locator('.alert').first().waitFor();
  await page.context().close();
});

test.each([
  [320, 640],
  [390, 844],
  [820, 1180],
])('nothing sticks out of a window of %i × %i', async (width, height) => {
  made();
  alertmanagers = [AM, 'https://other/am/api/v2/alerts'];
  const page = await open('alerts', { width, height });
  await page.locator('.alert').first().getByRole('button', { name: 'Graph' }).click();
  await page.waitForSelector('.graph-host[data-drawn]');
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
  expect(await wide()).toBeLessThanOrEqual(width);
  await page.goto(`${server.url}rules`);
  await page.locator('.rule-name').first().waitFor();
  expect(await wide()).toBeLessThanOrEqual(width);
  await page.context().close();
});
