const pad = (n: number, width = 2) => String(n).padStart(width, '0');

/** `2026-11-21 10:42:55` in the browser's time zone. */
export function localTime(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** `2026-11-21 10:42:55` in UTC; the form of `gN.end_input` in the address. */
export function utcTime(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

/** `UTC+2`, `UTC-3:30`; `UTC` when the browser's zone has no offset at that moment. */
export function zoneName(ms: number): string {
  const minutes = -new Date(ms).getTimezoneOffset();
  if (minutes === 0) return 'UTC';
  const hours = Math.trunc(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? '-' : '+'}${hours}${rest ? `:${pad(rest)}` : ''}`;
}

/** Local and UTC beside each other, or once when they are the same; a day that both share is said once. */
export function bothTimes(ms: number): string {
  if (zoneName(ms) === 'UTC') return `${utcTime(ms)} UTC`;
  const [local, utc] = [localTime(ms), utcTime(ms)];
  return `${local} (${utc.slice(0, 10) === local.slice(0, 10) ? utc.slice(11) : utc} UTC)`;
}

/** Milliseconds of an address' UTC time, an RFC 3339 time or a Unix time in seconds; undefined if it is none of them. */
export function parseUtc(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^-?\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  const iso = trimmed.replace(' ', 'T');
  const ms = Date.parse(/[zZ]$|[+-]\d\d:?\d\d$/.test(iso) ? iso : `${iso}${iso.length === 10 ? 'T00:00:00' : ''}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Value of an `<input type="datetime-local">`, to the second. */
export function inputTime(ms: number): string {
  return localTime(ms).replace(' ', 'T');
}
