import { spokenDuration } from './duration';
import { utcTime } from './time';
import type { Unit } from './units';

const SI = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
const SI_SMALL = ['', 'm', 'µ', 'n', 'p'];
const IEC = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

function significant(value: number, digits = 4): string {
  // Number() drops the trailing zeros that toPrecision leaves.
  return String(Number(value.toPrecision(digits)));
}

/** Hundredths, so that percentages below each other line up; more digits only where hundredths would say nothing. */
function percent(value: number): string {
  return value === 0 || Math.abs(value) >= 0.01 ? value.toFixed(2) : significant(value, 2);
}

function withSi(value: number, suffix = ''): string {
  const size = Math.abs(value);
  if (size >= 1000) {
    const power = Math.min(Math.floor(Math.log10(size) / 3), SI.length - 1);
    return `${significant(value / 1000 ** power)} ${SI[power]}${suffix}`.trimEnd();
  }
  if (size > 0 && size < 0.01) {
    const power = Math.ceil(-Math.log10(size) / 3);
    if (power >= SI_SMALL.length) return `${value.toExponential(2)}${suffix ? ` ${suffix}` : ''}`;
    return `${significant(value * 1000 ** power)} ${SI_SMALL[power]}${suffix}`;
  }
  return `${significant(value)}${suffix ? ` ${suffix}` : ''}`;
}

function withIec(value: number, suffix = ''): string {
  const size = Math.abs(value);
  const power = size < 1024 ? 0 : Math.min(Math.floor(Math.log2(size) / 10), IEC.length - 1);
  return `${significant(value / 1024 ** power)} ${IEC[power]}${suffix}`;
}

function seconds(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0 s';
  if (size < 60)
    return size < 1
      ? withSi(value < 0 ? value : value, 's').replace(
          /^(-?[\d.]+) s$/,
          (_, n) => `${significant(Number(n) * 1000)} ms`,
        )
      : `${significant(value)} s`;
  return `${value < 0 ? '-' : ''}${spokenDuration(size * 1000)}`;
}

/** A value for people: at most four digits, with the prefix that fits its unit. */
export function formatValue(value: number, unit: Unit = 'none'): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  switch (unit) {
    case 'bytes':
      return withIec(value);
    case 'bytes/s':
      return withIec(value, '/s');
    case 'seconds':
      return seconds(value);
    case 'ratio':
      return `${percent(value * 100)} %`;
    case 'percent':
      return `${percent(value)} %`;
    case 'per second':
      return `${withSi(value)}/s`;
    case 'timestamp':
      return value > 1e8 ? utcTime(value * 1000) : significant(value);
    case 'celsius':
      return `${significant(value)} °C`;
    case 'volts':
      return withSi(value, 'V');
    case 'hertz':
      return withSi(value, 'Hz');
    default:
      return withSi(value);
  }
}

/** A value beside an axis: without the zeros that line up a table. */
export function formatTick(value: number, unit: Unit): string {
  return formatValue(value, unit).replace(/\.0+(?= %)|(\.\d*[1-9])0+(?= %)/, '$1');
}

/** The value as Prometheus writes it. */
export function rawValue(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-GB').replaceAll(',', '\u202f');
}
