/** Where and how finely the shade of many series is computed. */
export interface DensityView {
  width: number;
  height: number;
  /** Values at the lower and the upper edge. */
  min: number;
  max: number;
}

/**
 * How many of the rows pass through each pixel, as opacity 0–255, row by row from the top. A vertical stroke costs two
 * additions whatever its length, so ten thousand noisy series cost no more than ten thousand flat ones.
 */
export function densityOf(rows: Float64Array[], view: DensityView): Uint8Array {
  const { width, height } = view;
  const stride = height + 1;
  // One column after the other: +1 where a stroke starts, -1 below where it ends.
  const edges = new Int32Array(width * stride);
  const scale = (height - 1) / (view.max - view.min || 1);
  for (const row of rows) addRow(edges, row, view, scale, stride);

  const opacity = new Uint8Array(width * height);
  let most = 1;
  for (let column = 0; column < width; column++) {
    let passing = 0;
    for (let y = 0; y < height; y++) {
      passing += edges[column * stride + y]!;
      edges[column * stride + y] = passing;
      if (passing > most) most = passing;
    }
  }
  const full = Math.log1p(most);
  for (let column = 0; column < width; column++) {
    for (let y = 0; y < height; y++) {
      const passing = edges[column * stride + y]!;
      if (passing > 0) opacity[y * width + column] = 30 + Math.round((190 * Math.log1p(passing)) / full);
    }
  }
  return opacity;
}

function addRow(edges: Int32Array, row: Float64Array, view: DensityView, scale: number, stride: number): void {
  const { width, height, max } = view;
  const bottom = height - 1;
  const columnsPerStep = row.length > 1 ? (width - 1) / (row.length - 1) : 0;
  let previousY = Number.NaN;
  let previousX = 0;
  for (let i = 0; i < row.length; i++) {
    const value = row[i]!;
    const x = Math.round(i * columnsPerStep);
    const y = (max - value) * scale;
    if (y - y !== 0) {
      previousY = Number.NaN;
      continue;
    }
    const startX = previousY - previousY === 0 ? previousX : x;
    const startY = startX === x && previousY - previousY !== 0 ? y : previousY;
    const slope = x > startX ? (y - startY) / (x - startX) : 0;
    let from = startY;
    for (let column = startX; column <= x; column++) {
      const to = column === x ? y : from + slope;
      let upper = Math.round(from < to ? from : to);
      let lower = Math.round(from < to ? to : from);
      from = to;
      if (column === startX && x > startX && startX === previousX) continue; // drawn by the stroke before
      if (lower < 0 || upper > bottom) continue;
      if (upper < 0) upper = 0;
      if (lower > bottom) lower = bottom;
      edges[column * stride + upper]!++;
      edges[column * stride + lower + 1]!--;
    }
    previousX = x;
    previousY = y;
  }
}
