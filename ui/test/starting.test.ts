import { expect, test } from 'vitest';
import { shareRead } from '../src/shell/starting';

test.each([
  [0, 0, 0, undefined],
  [3, 3, 3, undefined],
  [0, 4, 0, 0],
  [2, 6, 4, 0.5],
  [2, 6, 6, 1],
  [2, 6, 9, 1],
])('of the segments %d to %d, at %d, %s are read', (min, max, current, share) =>
  expect(shareRead({ min, max, current })).toBe(share),
);
