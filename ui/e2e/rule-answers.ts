import { madeUpApi, send } from './answers';
import type { ApiHandler } from './page-server';

/** Made-up rules and alerts, at times before now. */

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();

export interface MadeUpAlert {
  state: 'firing' | 'pending';
  labels: Record<string, string>;
  annotations?: Record<string, string>;
  /** Seconds. */
  active: number;
  over?: number;
  value?: string;
}

export interface MadeUpRule {
  name: string;
  query: string;
  record?: boolean;
  for?: number;
  keep?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  error?: string;
  never?: boolean;
  samples?: number;
  alerts?: MadeUpAlert[];
}

export interface MadeUpGroup {
  file: string;
  name: string;
  interval: number;
  took: number;
  rules: MadeUpRule[];
}

function ruleAnswer(rule: MadeUpRule, excludeAlerts: boolean) {
  const alerts = rule.alerts ?? [];
  const evaluated = {
    name: rule.name,
    query: rule.query,
    labels: rule.labels,
    health: rule.error ? 'err' : rule.never ? 'unknown' : 'ok',
    lastError: rule.error,
    evaluationTime: 0.0012,
    lastEvaluation: rule.never ? '0001-01-01T00:00:00Z' : ago(4),
    samples: rule.samples,
  };
  if (rule.record) return { ...evaluated, type: 'recording' };
  return {
    ...evaluated,
    type: 'alerting',
    state: alerts.some(({ state }) => state === 'firing') ? 'firing' : alerts.length ? 'pending' : 'inactive',
    duration: rule.for ?? 0,
    keepFiringFor: rule.keep ?? 0,
    annotations: rule.annotations ?? {},
    alerts: excludeAlerts
      ? undefined
      : alerts.map(({ active, over, state, labels, annotations = {}, value = '1e+00' }) => ({
          state,
          labels: { alertname: rule.name, ...rule.labels, ...labels },
          annotations,
          activeAt: ago(active),
          keepFiringSince: over === undefined ? undefined : ago(over),
          value,
        })),
  };
}

/** The API of a server with these rules; `groups` and `alertmanagers` are asked at each request. */
export function apiWithRules(groups: () => MadeUpGroup[], alertmanagers: () => string[] = () => []): ApiHandler {
  return (path, params, response) => {
    if (path === 'alertmanagers')
      return send(response, { activeAlertmanagers: alertmanagers().map((url) => ({ url })), droppedAlertmanagers: [] });
    if (path !== 'rules') return madeUpApi(path, params, response);
    send(response, {
      groups: groups().map(({ file, name, interval, took, rules }) => ({
        file,
        name,
        interval,
        limit: 0,
        evaluationTime: took,
        lastEvaluation: rules.every(({ never }) => never) ? '0001-01-01T00:00:00Z' : ago(4),
        rules: rules
          .filter(({ record }) => params.get('type') !== 'alert' || !record)
          .map((rule) => ruleAnswer(rule, params.get('exclude_alerts') === 'true')),
      })),
    });
  };
}

export const GROUPS: MadeUpGroup[] = [
  {
    file: '/etc/rules/a.yml',
    name: 'calm',
    interval: 30,
    took: 0.003,
    rules: [
      { name: 'Quiet', query: 'up == 0', for: 300, annotations: { summary: '{{ $labels.job }} is down' } },
      { name: 'job:up:sum', query: 'sum by (job) (up)', record: true, samples: 1234 },
      { name: 'job:new', query: 'sum(new)', record: true, never: true },
    ],
  },
  {
    file: '/etc/rules/b.yml',
    name: 'loud',
    interval: 10,
    took: 14.5,
    rules: [
      {
        name: 'LoadHigh',
        query: 'node_load1{job="node"} > 0.5 and on (job) up == 1',
        keep: 600,
        labels: { severity: 'critical' },
        alerts: [
          {
            state: 'firing',
            labels: { mode: 'idle', job: 'node' },
            active: 840,
            value: '7.25e-01',
            annotations: {
              description: 'Look at http://wiki.example/load, or javascript:alert(1).',
              runbook_url: 'https://runbooks.example/load',
              summary: 'The load is high',
            },
          },
          { state: 'firing', labels: { mode: 'user', job: 'node' }, active: 60, over: 300 },
        ],
      },
      {
        name: 'DiskFull',
        query: 'disk_free_bytes < 1000',
        for: 3600,
        labels: { severity: 'warning' },
        alerts: [{ state: 'pending', labels: { disk: 'sda' }, active: 1800 }],
      },
      {
        name: 'Unusual',
        query: 'value > on (mode) group_left () upper * 2',
        labels: { severity: 'info' },
        alerts: [{ state: 'pending', labels: { mode: 'idle', job: 'node' }, active: 60 }],
      },
      { name: 'Broken', query: 'a * b', error: 'found duplicate series for the match group {}' },
    ],
  },
];
