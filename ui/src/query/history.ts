const KEY = 'binnacle.history';
const LIMIT = 200;

/** Expressions that were run in this browser, the latest first. */
export function readHistory(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter((one) => typeof one === 'string') : [];
  } catch {
    return [];
  }
}

export function remember(expr: string): void {
  const trimmed = expr.trim();
  if (!trimmed) return;
  const next = [trimmed, ...readHistory().filter((one) => one !== trimmed)].slice(0, LIMIT);
  localStorage.setItem(KEY, JSON.stringify(next));
}

export function clearHistory(): void {
  localStorage.removeItem(KEY);
}
