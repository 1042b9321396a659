/** Lower and upper edge of a value axis that holds the given values with some air. */
export function axisBounds(min: number, max: number): [number, number] {
  if (!(min <= max)) return [0, 1];
  if (min === max) {
    const air = Math.abs(min) * 0.1 || 1;
    return min >= 0 && min - air <= 0 ? [0, max + air] : [min - air, max + air];
  }
  const air = (max - min) * 0.06;
  // Show zero when it is near: a curve that starts anywhere exaggerates.
  const low = min >= 0 && min < max * 0.6 ? 0 : min - air;
  const high = max <= 0 && max > min * 0.6 ? 0 : max + air;
  return [low, high];
}

/** Distances between ticks that suit binary prefixes. */
export const BINARY_TICKS = Array.from({ length: 63 }, (_, power) => 2 ** power);

/** Each row on top of those before it; a gap counts as nothing. */
export function stackRows(rows: Float64Array[]): Float64Array[] {
  let below: Float64Array | undefined;
  return rows.map((row) => {
    const under = below;
    below = row.map((value, i) => (Number.isFinite(value) ? value : 0) + (under?.[i] ?? 0));
    return below;
  });
}
