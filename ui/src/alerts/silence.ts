import type { Labels } from '../api/answers';
import { quote } from '../format/labels';

/** An Alertmanager as people reach it. */
export interface Alertmanager {
  /** Host and path prefix, to tell several apart. */
  name: string;
  /** Address of its page, without a slash at the end. */
  url: string;
}

/** What is known from the addresses that alerts are posted to. Others than of HTTP are left out. */
export function alertmanagersOf(active: { url: string }[]): Alertmanager[] {
  const out: Alertmanager[] = [];
  for (const { url } of active) {
    if (!URL.canParse(url)) continue;
    const { protocol, origin, host, pathname } = new URL(url);
    if (protocol !== 'http:' && protocol !== 'https:') continue;
    const path = pathname.replace(/\/+api\/v\d+\/alerts\/*$/, '').replace(/\/+$/, '');
    out.push({ name: host + path, url: origin + path });
  }
  return out.sort((a, b) => (a.name < b.name ? -1 : 1));
}

const PLAIN = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Matchers for exactly these labels, in the Alertmanager's own syntax. */
export function matchersOf(labels: Labels): string {
  const names = Object.keys(labels).filter((name) => labels[name] !== '');
  names.sort((a, b) => Number(b === 'alertname') - Number(a === 'alertname') || (a < b ? -1 : 1));
  return `{${names.map((name) => `${PLAIN.test(name) ? name : quote(name)}=${quote(labels[name]!)}`).join(',')}}`;
}

/** The page of an Alertmanager that asks for a new silence of exactly this alert. */
export function silenceLink(alertmanager: Alertmanager, labels: Labels): string {
  return `${alertmanager.url}/#/silences/new?filter=${encodeURIComponent(matchersOf(labels))}`;
}
