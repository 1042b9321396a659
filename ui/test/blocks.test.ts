import { expect, test } from 'vitest';
import { blockAt, startsOf } from '../src/parts/blocks';
import { shortName } from '../src/parts/use-marks';

test('blocks follow each other with the heights that were measured, and estimates for the rest', () => {
  const starts = startsOf(['a', 'b', 'c'], new Map([['b', 100]]), (index) => 10 * (index + 1));
  expect([...starts]).toEqual([0, 10, 110, 140]);
});

test('the block at a place is found, the nearest one outside', () => {
  const starts = Float64Array.from([0, 10, 110, 140]);
  const found = [-50, 0, 9.9, 10, 109, 110, 139, 140, 9999].map((offset) => blockAt(starts, offset));
  expect(found).toEqual([0, 0, 0, 1, 1, 2, 2, 2, 2]);
  expect(blockAt(new Float64Array(1), 5)).toBe(0);
});

test('short names are letters that an address leaves alone', () => {
  expect(shortName('')).toMatch(/^[a-z0-9]+$/);
  expect(shortName('rules.yml group A')).toMatch(/^[a-z0-9]{1,7}$/);
  expect(shortName('a')).not.toBe(shortName('b'));
});
