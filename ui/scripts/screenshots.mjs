// Pictures of every page over a running server: `BASE_URL=http://localhost:9090 node scripts/screenshots.mjs DIR [NAME…]`.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [dir = 'screenshots', ...only] = process.argv.slice(2);
const base = process.env.BASE_URL ?? 'http://localhost:9090';
const range = process.env.RANGE ?? '15m';
const graph = (expr) => `query?g0.expr=${encodeURIComponent(expr)}&g0.tab=graph&g0.range_input=${range}`;
const table = (expr) => `query?g0.expr=${encodeURIComponent(expr)}&g0.tab=table`;

const PAGES = {
  welcome: 'query',
  graph: graph('sum by (mode) (rate(node_cpu_seconds_total[1m]))'),
  'graph-bytes': graph('node_memory_MemAvailable_bytes'),
  table: table('node_filesystem_avail_bytes'),
  error: graph('sum by (mode) (rate(node_cpu_seconds_total[1m])'),
  empty: graph('node_cpu_second_total'),
  'empty-matcher': table('node_cpu_seconds_total{mode="usr"}'),
  alerts: 'alerts',
  rules: 'rules',
  targets: 'targets',
  'service-discovery': 'service-discovery',
  config: 'config',
  'tsdb-status': 'tsdb-status',
  status: 'status',
  flags: 'flags',
  missing: 'nothing-here',
};
const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };

mkdirSync(dir, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
});
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ['light', 'dark']) {
    const context = await browser.newContext({ viewport, colorScheme, timezoneId: process.env.TZ ?? 'Europe/Berlin' });
    const page = await context.newPage();
    for (const [name, path] of Object.entries(PAGES)) {
      if (only.length > 0 && !only.includes(name)) continue;
      await page.goto(new URL(path, base).href, { waitUntil: 'networkidle' });
      await page.screenshot({ path: `${dir}/${name}-${size}-${colorScheme}.png`, animations: 'disabled' });
    }
    await context.close();
  }
}
await browser.close();
