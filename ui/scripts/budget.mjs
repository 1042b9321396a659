// Fails when what the browser has to load before the first paint is over budget. Sizes are gzipped bytes.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
if (!existsSync(dist)) {
  console.error('dist is missing: run "npm run build" first.');
  process.exit(1);
}

const gzipped = (path) => gzipSync(readFileSync(new URL(path, dist)), { level: 9 }).length;
const html = readFileSync(new URL('index.html', dist), 'utf8');
const assets = readdirSync(new URL('assets/', dist)).filter((name) => /\.(js|css)$/.test(name));
const find = (pattern) => `assets/${assets.find((name) => pattern.test(name))}`;

/** A chunk and the chunks that it imports at once, without those it loads when they are needed. */
function withImports(path, seen = new Set()) {
  if (seen.has(path)) return seen;
  seen.add(path);
  if (!path.endsWith('.js')) return seen;
  for (const [, name] of readFileSync(new URL(path, dist), 'utf8').matchAll(
    /(?:from|import)\s*["']\.\/([^"']+\.js)["']/g,
  )) {
    withImports(`assets/${name}`, seen);
  }
  return seen;
}

/** What a page loads besides the shell, its style sheets too: as it stands where the shell imports the page. */
function pageFiles(name) {
  const code = readFileSync(new URL(find(/^index-.*\.js$/), dist), 'utf8');
  const files = JSON.parse(`[${/m\.f=\[([^\]]*)\]/.exec(code)[1]}]`);
  const [, , indexes] = new RegExp(
    `import\\([\`"']\\./(${name}-[^\`"']+)[\`"']\\)[^[]*__vite__mapDeps\\(\\[([\\d,]*)\\]`,
  ).exec(code);
  return indexes.split(',').map((index) => files[index].replace('./', 'assets/'));
}

const shell = new Set();
for (const [, name] of html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)) withImports(name, shell);
const page = (name) => size(new Set([...shell, ...pageFiles(name)]));
const size = (paths) => [...paths].reduce((sum, path) => sum + gzipped(path), 0);

const checks = [
  ['shell', size(shell), 60_000],
  ['query page without its editor', page('page'), 80_000],
  ['alerts page without a graph', page('alerts'), 40_000],
  ['rules page', page('rules'), 40_000],
  ['editor', gzipped(find(/^editor-/)), 160_000],
];
let over = false;
for (const [name, bytes, budget] of checks) {
  const fits = bytes <= budget;
  over ||= !fits;
  console.log(`${fits ? 'ok  ' : 'OVER'} ${name}: ${(bytes / 1000).toFixed(1)} kB of ${budget / 1000} kB gzipped`);
}
process.exit(over ? 1 : 0);
