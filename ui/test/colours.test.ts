import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { strokeOf } from '../src/graph/palette';

const css = readFileSync('src/style/base.css', 'utf8');

/** The colours that one rule defines. */
function palette(selector: string): Record<string, string> {
  const from = css.indexOf(`${selector} {`);
  const body = css.slice(from, css.indexOf('}', from));
  return Object.fromEntries(
    [...body.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name!, value!]),
  );
}

const light = palette(':root');
const dark = palette(':root[data-theme="dark"]');

/** WCAG 2.2, relative luminance. */
function luminance(color: string): number {
  const [r, g, b] = [1, 3, 5]
    .map((at) => Number.parseInt(color.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

test('contrast is computed as WCAG defines it', () => {
  expect(contrast('#000000', '#ffffff')).toBeCloseTo(21, 5);
  expect(contrast('#777777', '#ffffff')).toBeCloseTo(4.48, 2);
});

test('the dark colours are the same, chosen or from the system', () => {
  expect(palette(':root:not([data-theme="light"])')).toEqual(dark);
  expect(Object.keys(dark).sort()).toEqual(Object.keys(light).sort());
});

const TEXT: [string, string[]][] = [
  ['text', ['background', 'surface', 'selected', 'bad-ground', 'warn-ground']],
  ['muted', ['background', 'surface', 'bad-ground', 'warn-ground']],
  ['accent', ['background', 'surface', 'bad-ground']],
  ['on-accent', ['accent']],
  ['good', ['background', 'surface']],
  ['bad', ['background', 'surface', 'bad-ground']],
  ['warn', ['background', 'surface', 'warn-ground']],
  // the word in a filled state
  ['background', ['bad']],
  ['tok-string', ['background']],
  ['tok-number', ['background']],
  ['tok-keyword', ['background']],
];

describe.each([
  ['light', light],
  ['dark', dark],
])('in the %s colours', (name, colors) => {
  test.each(TEXT.flatMap(([ink, grounds]) => grounds.map((ground) => [ink, ground])))(
    '%s can be read on %s',
    (ink, ground) => expect(contrast(colors[ink!]!, colors[ground!]!)).toBeGreaterThanOrEqual(4.5),
  );

  test.each(['field', 'accent'])('the edge of a field (%s) can be seen', (edge) => {
    expect(contrast(colors[edge]!, colors.background!)).toBeGreaterThanOrEqual(3);
  });

  test('every line of a graph can be seen', () => {
    for (let i = 0; i < 24; i++) {
      const { color } = strokeOf(i, name === 'dark');
      expect(contrast(color, colors.background!), color).toBeGreaterThanOrEqual(3);
    }
  });
});
