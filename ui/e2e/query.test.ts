import { readFileSync } from 'node:fs';
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

async function open(path: string, options?: Parameters<typeof browser.newPage>[0]): Promise<Page> {
  const page = await browser.newPage(options);
  await page.goto(server.url + path);
  return page;
}

async function type(page: Page, expr: string): Promise<void> {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(expr);
}

test('a query is typed, run with Enter, and drawn', async () => {
  const page = await open('query');
  await type(page, 'rate(node_cpu_seconds_total[1m])');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  expect(await coloursOf(page)).toBeGreaterThan(10);
  expect(page.url()).toContain('g0.expr=rate');
  expect(await page.locator('.legend-table tbody tr').count()).toBe(3);
  expect(await page.locator('.facts').textContent()).toContain('1\u202f234 samples read');
  await page.context().close();
});

test('Shift Enter makes a new line and does not run', async () => {
  const page = await open('query');
  await type(page, 'up');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.insertText('+ 1');
  expect(page.url()).not.toContain('g0.expr');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.graph-host[data-drawn]');
  expect(new URL(page.url()).searchParams.get('g0.expr')).toBe('up\n+ 1');
  await page.context().close();
});

test('names are completed as one types', async () => {
  const page = await open('query');
  await page.locator('.cm-content').click();
  await page.keyboard.type('node_mem', { delay: 30 });
  await page.locator('.cm-tooltip-autocomplete li', { hasText: 'node_memory_bytes' }).waitFor();
  await page.context().close();
});

test('an error stands under the character that caused it, and its fix runs', async () => {
  const page = await open('query?g0.expr=sum(rate(up[5m])&g0.tab=graph');
  const note = page.locator('.note.bad');
  await note.waitFor();
  expect((await note.locator('pre').textContent())?.split('\n')[1]).toBe(`${' '.repeat(16)}^`);
  expect(await note.textContent()).toContain('unclosed left parenthesis');
  await page.waitForSelector('.cm-server-error');
  await page.getByRole('button', { name: 'Close it and run' }).click();
  await page.waitForSelector('.graph-host[data-drawn]');
  await page.context().close();
});

test('an empty result says why and offers the nearest name', async () => {
  const page = await open('query?g0.expr=missing_total&g0.tab=table');
  const note = page.locator('.empty-note');
  await note.getByText('There is no metric named missing_total.').waitFor();
  await note.getByRole('button', { name: 'mission_total' }).click();
  await page.locator('.result-table tbody tr').first().waitFor();
  expect(new URL(page.url()).searchParams.get('g0.expr')).toBe('mission_total');
  await page.context().close();
});

test('a table shows units, and the raw value on hover', async () => {
  const page = await open('query?g0.expr=node_memory_bytes&g0.tab=table');
  const value = page.locator('.result-table tbody tr').nth(2).locator('td.numeric span');
  await value.waitFor();
  expect(await value.textContent()).toBe('1 GiB');
  expect(await value.getAttribute('title')).toBe('1073741824');
  await page.context().close();
});

test('dragging zooms in, double-click goes back', async () => {
  const page = await open('query?g0.expr=up&g0.tab=graph');
  await page.waitForSelector('.graph-host[data-drawn]');
  const box = (await page.locator('.u-over').boundingBox())!;
  const before = page.url();
  await page.mouse.move(box.x + 200, box.y + 100);
  await page.mouse.down();
  await page.mouse.move(box.x + 500, box.y + 100, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL(/end_input/);
  expect(page.url()).not.toBe(before);
  await page.waitForSelector('.panel-result:not(.stale) .graph-host[data-drawn]');
  await page.mouse.dblclick(box.x + 300, box.y + 100);
  await page.waitForURL(/^(?!.*end_input).*range_input=1h/);
  await page.context().close();
});

test('in a stack the cursor names the area that it is in', async () => {
  const page = await open('query?g0.expr=up&g0.tab=graph&g0.stacked=1');
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  const box = (await page.locator('.u-over').boundingBox())!;
  const bottom = await page.locator('.legend-name').first().getAttribute('title');
  await page.mouse.move(box.x + 300, box.y + box.height - 4);
  const series = page.locator('.tooltip-series');
  await series.waitFor();
  expect(await series.textContent()).toContain(/mode="\w+"/.exec(bottom!)![0]);
  // Above the topmost there is none.
  await page.mouse.move(box.x + 300, box.y + 3);
  await series.waitFor({ state: 'detached' });
  await page.locator('.tooltip').waitFor();
  await page.context().close();
});

test('a click in the legend shows only that series, Ctrl adds another', async () => {
  const page = await open('query?g0.expr=up&g0.tab=graph');
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  await page.locator('.legend-name').nth(0).click();
  await page.waitForSelector('.graph-host[data-drawn="1"]');
  await page
    .locator('.legend-name')
    .nth(1)
    .click({ modifiers: ['Control'] });
  await page.waitForSelector('.graph-host[data-drawn="2"]');
  await page.getByRole('button', { name: 'Show all again' }).click();
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  await page.context().close();
});

test('an address gives the same view again, and Prometheus\u2019 old addresses work', async () => {
  const page = await open(
    'graph?g0.expr=up&g0.tab=0&g0.stacked=1&g0.range_input=2h&g1.expr=node_memory_bytes&g1.tab=1',
  );
  await page.waitForURL(/\/query\?/);
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  await page.locator('.result-table tbody tr').first().waitFor();
  expect(await page.locator('section.panel').count()).toBe(2);
  expect(await page.getByRole('button', { name: 'Stacked' }).getAttribute('aria-pressed')).toBe('true');
  await page.getByRole('button', { name: '15m' }).click();
  await page.waitForURL(/range_input=15m/);
  const text = () => page.locator('.panel-bar').first().textContent();
  await page.waitForFunction(() => document.querySelector('.facts')?.textContent?.includes('183'));
  const before = await text();
  await page.reload();
  await page.waitForSelector('.graph-host[data-drawn="3"]');
  expect((await text())!.replace(/[\d.]+ m?s/, '')).toBe(before!.replace(/[\d.]+ m?s/, ''));
  await page.goBack();
  await page.waitForURL(/range_input=2h/);
  await page.context().close();
});

test('a slow query can be stopped and leaves the old result', async () => {
  const page = await open('query?g0.expr=up&g0.tab=graph');
  await page.waitForSelector('.graph-host[data-drawn]');
  await page.route('**/query_range', () => {});
  await page.getByRole('button', { name: '6h' }).click();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('The query was stopped.').waitFor();
  expect(await page.locator('.graph-host').count()).toBe(1);
  await page.context().close();
});

test('a result is saved as CSV and as a picture, and copied as curl', async () => {
  const page = await open('query?g0.expr=up&g0.tab=graph&g0.end_input=2026-11-21+10:00:00');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.waitForSelector('.graph-host[data-drawn]');
  for (const [button, name, start] of [
    ['Save CSV', 'query.csv', 'time,job,mode,value'],
    ['Save PNG', 'query.png', '\u0089PNG'],
  ] as const) {
    await page.getByRole('button', { name: 'Copy or save' }).click();
    const saved = page.waitForEvent('download');
    await page.getByRole('button', { name: button }).click();
    const download = await saved;
    expect(download.suggestedFilename()).toBe(name);
    expect(readFileSync(await download.path(), 'latin1').slice(0, start.length)).toBe(start);
  }
  await page.getByRole('button', { name: 'Copy or save' }).click();
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  await page.getByText('Copied').waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain("--data-urlencode 'query=up'");
  await page.context().close();
});

test('the page fits a phone', async () => {
  for (const path of [
    'query?g0.expr=up&g0.tab=graph',
    'targets',
    'service-discovery',
    'tsdb-status',
    'config',
    'status',
  ]) {
    const page = await open(path, { width: 390, height: 844, dark: true });
    await page.waitForLoadState('networkidle');
    expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(390);
    await page.context().close();
  }
});
