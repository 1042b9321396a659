import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { madeUpApi, send } from './answers';
import { useBrowser } from './browser';
import { type PageServer, servePage } from './page-server';

const browser = useBrowser();
let server: PageServer;
/** Metrics that the made-up server holds, as a new one has none at first. */
let held: string[] = [];
beforeAll(async () => {
  server = await servePage((path, params, response) => {
    if (path === 'query' && (params.get('query') ?? '').startsWith('count by (__name__)'))
      return send(response, {
        resultType: 'vector',
        result: held.map((name) => ({ metric: { __name__: name }, value: [1, '2'] })),
      });
    if (path === 'status/tsdb')
      return send(response, {
        headStats: { numSeries: 1200, chunkCount: 1, minTime: Date.now() - 120_000, maxTime: Date.now() },
      });
    madeUpApi(path, params, response);
  });
});
afterAll(() => server.close());

/** What has the focus: its accessible text, and whether one can see that it has it. */
function focused(page: Page): Promise<{ text: string; visible: boolean }> {
  return page.evaluate(() => {
    const element = document.activeElement as HTMLElement;
    const marked = (one: Element) => {
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      return outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2;
    };
    return {
      text: element.getAttribute('aria-label') ?? element.textContent ?? '',
      // The editor is framed as a whole.
      visible: marked(element) || marked(element.closest('.editor-box') ?? element),
    };
  });
}

/** Presses Tab until the wanted thing has the focus; each stop on the way has to show that it has it. */
async function tabTo(page: Page, wanted: RegExp): Promise<void> {
  const seen: string[] = [];
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press('Tab');
    const { text, visible } = await focused(page);
    expect(visible, `focus on "${text}" is visible`).toBe(true);
    if (wanted.test(text)) return;
    seen.push(text.trim());
  }
  throw new Error(`Tab never reached ${wanted}: ${seen.join(' | ')}`);
}

test('a new server is greeted, and its questions appear with its first samples', async () => {
  held = [];
  const page = await browser.newPage();
  await page.goto(`${server.url}query`);
  await page.getByText('Nothing was scraped in the last minutes.').waitFor();
  held = ['up', 'node_cpu_seconds_total'];
  await page.getByText('2 targets').waitFor();
  expect(await page.getByText('Network, received').count()).toBe(0);
  await page.getByRole('button', { name: 'What the processors do' }).click();
  await page.waitForSelector('.graph-host[data-drawn]');
  const address = new URL(page.url()).searchParams;
  expect(address.get('g0.expr')).toBe('sum by (mode) (rate(node_cpu_seconds_total[2m]))');
  expect(address.get('g0.display_mode')).toBe('stacked');
  // The server holds two minutes: an hour would be nearly blank.
  expect(address.get('g0.range_input')).toBe('5m');
  await page.goBack();
  await page.getByRole('button', { name: 'Which targets answer' }).waitFor();
  await page.context().close();
});

test('query, graph, targets and status by keyboard alone, over a slow network', async () => {
  held = ['up', 'node_cpu_seconds_total'];
  const page = await browser.newPage();
  const session = await page.context().newCDPSession(page);
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 100,
    downloadThroughput: 400_000,
    uploadThroughput: 100_000,
  });
  await page.goto(`${server.url}query`);
  // The field has the focus at once, and what is typed is kept when the editor arrives.
  await page.waitForFunction(() => document.activeElement?.closest('.editor-box'));
  expect((await focused(page)).visible).toBe(true);
  await page.keyboard.insertText('up');
  await page.waitForSelector('.cm-content:focus');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.graph-host[data-drawn="3"]');

  // Out of the editor with Escape, to the legend with Tab, one series alone with Enter.
  await page.keyboard.press('Escape');
  await tabTo(page, /"idle"/);
  await page.keyboard.press('Enter');
  await page.waitForSelector('.graph-host[data-drawn="1"]');
  await tabTo(page, /Add a panel/);

  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'hidden' });

  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await page.getByText('connection refused').waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('web');
  await page.waitForFunction(() => document.querySelectorAll('.target').length === 1);
  await tabTo(page, /^down/);
  await page.keyboard.press('Space');
  await page.getByText('No target matches.').waitFor();

  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await page.getByText('1.2.3').waitFor();
  // The focus starts at the top of each page.
  await page.keyboard.press('Tab');
  expect(await focused(page)).toEqual({ text: 'Filter', visible: true });
  await page.context().close();
});

test('while the server starts the page says how far it is, and goes on by itself', async () => {
  held = ['up'];
  const page = await browser.newPage();
  let ready = false;
  await page.route('**/-/ready', (route) => route.fulfill({ status: ready ? 200 : 503, body: '' }));
  await page.route('**/status/walreplay', (route) =>
    route.fulfill({ json: { status: 'success', data: { min: 2, max: 6, current: 3 } } }),
  );
  await page.goto(`${server.url}query`);
  await page.getByRole('heading', { name: 'Starting' }).waitFor();
  await page.getByText('1 of 4 segments').waitFor();
  ready = true;
  await page.getByRole('button', { name: 'Which targets answer' }).waitFor();
  await page.context().close();
});
