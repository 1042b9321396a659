import { describe, expect, test } from 'vitest';
import { externalLabelsOf } from '../src/alerts/external-labels';
import {
  countsOf,
  isOf,
  orderedAnnotations,
  outlookOf,
  rulesWithAlerts,
  sectionsOf,
  severityRank,
} from '../src/alerts/facts';
import { alertmanagersOf, matchersOf, silenceLink } from '../src/alerts/silence';
import type { Alert, Rule, RuleGroup } from '../src/api/answers';
import { linked, webAddress } from '../src/format/links';

const NOON = Date.parse('2026-01-01T12:00:00Z');
const ago = (seconds: number) => new Date(NOON - seconds * 1000).toISOString();

function alert(state: Alert['state'], labels: Record<string, string>, part: Partial<Alert> = {}): Alert {
  return { state, labels, annotations: {}, activeAt: ago(60), value: '1e+00', ...part };
}

function rule(name: string, part: Partial<Rule> = {}): Rule {
  const alerts = part.alerts ?? [];
  const state = alerts.some((one) => one.state === 'firing') ? 'firing' : alerts.length ? 'pending' : 'inactive';
  return {
    type: 'alerting',
    name,
    query: `${name}_query > 1`,
    health: 'ok',
    evaluationTime: 0.001,
    lastEvaluation: ago(5),
    state,
    duration: 300,
    keepFiringFor: 600,
    ...part,
  };
}

function group(name: string, rules: Rule[]): RuleGroup {
  return { name, file: 'rules.yml', interval: 30, rules, evaluationTime: 0.1, lastEvaluation: ago(5) };
}

const GROUPS = [
  group('first', [
    rule('Calm'),
    rule('Info', { alerts: [alert('firing', { severity: 'info', instance: 'i' })] }),
    rule('Mixed', {
      alerts: [
        alert('pending', { instance: 'c' }, { activeAt: ago(10) }),
        alert('firing', { instance: 'a' }, { activeAt: ago(900) }),
        alert('firing', { instance: 'b', severity: 'critical' }, { activeAt: ago(300) }),
      ],
    }),
  ]),
  group('second', [
    rule('Waiting', { alerts: [alert('pending', { instance: 'w' }, { annotations: { summary: 'Disk is low' } })] }),
    rule('Broken', { health: 'err', lastError: 'no' }),
    rule('Waiting', { query: 'other' }),
    { ...rule('recorded'), type: 'recording' },
  ]),
];

describe('alerts by state and rule', () => {
  const rules = rulesWithAlerts(GROUPS);
  const outline = (...args: [state: 'all' | 'firing' | 'pending' | 'inactive', filter: string]) =>
    sectionsOf(rules, ...args).map(({ state, rules }) => [
      state,
      ...rules.map(({ rule, alerts }) => [rule.name, ...alerts.map(({ alert }) => alert.labels.instance)].join(' ')),
    ]);

  test('the worst comes first, and of a rule the firing and the latest', () => {
    expect(outline('all', '')).toEqual([
      ['firing', 'Mixed b a c', 'Info i'],
      ['pending', 'Waiting w'],
      ['inactive', 'Broken', 'Calm', 'Waiting'],
    ]);
  });

  test('a state shows its alerts alone', () => {
    expect(outline('firing', '')).toEqual([['firing', 'Mixed b a', 'Info i']]);
    expect(outline('pending', '')).toEqual([['pending', 'Mixed c', 'Waiting w']]);
    expect(outline('inactive', '')).toEqual([['inactive', 'Broken', 'Calm', 'Waiting']]);
  });

  test('every word has to occur in the rule or in the alert', () => {
    expect(outline('all', 'mixed instance="b"')).toEqual([['firing', 'Mixed b']]);
    expect(outline('all', 'LOW disk')).toEqual([['pending', 'Waiting w']]);
    expect(outline('all', 'calm_query')).toEqual([['inactive', 'Calm']]);
    expect(outline('all', 'mixed nothing')).toEqual([]);
  });

  test('alerts are counted, and the rules that rest or fail', () => {
    expect(countsOf(rules)).toEqual({ firing: 3, pending: 2, inactive: 3, failing: 1 });
  });

  test('rules of the same name have keys of their own', () => {
    expect(new Set(rules.map(({ key }) => key)).size).toBe(rules.length);
  });
});

test('severities have an order, unknown ones in the middle', () => {
  const order = ['info', '', 'critical', 'none', 'warning', 'Page'].sort(
    (a, b) => severityRank({ severity: a }) - severityRank({ severity: b }),
  );
  expect(order).toEqual(['critical', 'Page', 'warning', '', 'info', 'none']);
});

test('what becomes of an alert', () => {
  const waits = rule('A');
  expect(outlookOf(alert('pending', {}), waits, NOON)).toEqual({ fires: 240_000 });
  expect(outlookOf(alert('pending', {}, { activeAt: ago(301) }), waits, NOON)).toEqual({ fires: 0 });
  expect(outlookOf(alert('pending', {}, { activeAt: null }), waits, NOON)).toEqual({ fires: undefined });
  expect(outlookOf(alert('firing', {}), waits, NOON)).toEqual({});
  expect(outlookOf(alert('firing', {}, { keepFiringSince: ago(100) }), waits, NOON)).toEqual({ ends: 500_000 });
});

test('annotations stand in the order of reading', () => {
  const names = orderedAnnotations({ runbook_url: '', description: '', b: '', summary: '' }).map(([name]) => name);
  expect(names).toEqual(['summary', 'description', 'b', 'runbook_url']);
});

test('a series belongs to the alert that has its labels', () => {
  const labels = { alertname: 'A', job: 'x', severity: 'info' };
  expect(isOf(labels, { __name__: 'up', job: 'x' })).toBe(true);
  expect(isOf(labels, { job: 'y' })).toBe(false);
  expect(isOf(labels, { job: 'x', instance: 'i' })).toBe(false);
});

describe('silences', () => {
  test('Alertmanagers are found by where alerts are posted to', () => {
    const of = (...urls: string[]) => alertmanagersOf(urls.map((url) => ({ url }))).map(({ url }) => url);
    expect(of('http://b:9093/api/v2/alerts', 'https://a/prefix/api/v2/alerts')).toEqual([
      'https://a/prefix',
      'http://b:9093',
    ]);
    expect(of('http://a//api/v2/alerts', 'javascript:alert(1)//api/v2/alerts', 'nonsense')).toEqual(['http://a']);
    expect(of('http://user:secret@a/api/v2/alerts')).toEqual(['http://a']);
  });

  test('the link asks for exactly the alert', () => {
    const labels = { job: 'a"b\\c\nd', alertname: 'Some Alert', 'dotted.name': 'ü&=#', empty: '' };
    expect(matchersOf(labels)).toBe('{alertname="Some Alert","dotted.name"="ü&=#",job="a\\"b\\\\c\\nd"}');
    const link = silenceLink({ name: 'a', url: 'http://a/am' }, labels);
    expect(link.startsWith('http://a/am/#/silences/new?filter=%7Balertname%3D%22Some%20Alert%22%2C')).toBe(true);
    expect(decodeURIComponent(link.split('filter=')[1]!)).toBe(matchersOf(labels));
  });
});

describe('labels that are added to alerts when they are sent', () => {
  const config = (labels: string, rest = '') =>
    `global:\n  scrape_interval: 15s\n  external_labels:\n${labels}  evaluation_interval: 1m\n${rest}scrape_configs:\n- job_name: a\n`;

  test('are read from the configuration', () => {
    const labels = externalLabelsOf(
      config('    cluster: eu-1\n    "dotted.name": "a\\"b: c"\n    port: "1"\n    q: \'it\'\'s\'\n'),
    );
    expect(labels).toEqual({ cluster: 'eu-1', 'dotted.name': 'a"b: c', port: '1', q: "it's" });
  });

  test.each<[string, string]>([
    ['there are none', 'global:\n  scrape_interval: 15s\nscrape_configs: []\n'],
    ['there is no configuration', ''],
    ['one is written over several lines', config('    cluster: |-\n      a\n      b\n')],
    ['they are those of something else', 'remote_write:\n- external_labels:\n    a: b\n'],
    [
      'alerts are relabelled',
      config('    a: b\n', 'alerting:\n  alert_relabel_configs:\n  - regex: a\n    action: labeldrop\n'),
    ],
    [
      'alerts are relabelled for one Alertmanager',
      config(
        '    a: b\n',
        'alerting:\n  alertmanagers:\n  - alert_relabel_configs:\n    - regex: a\n      action: labeldrop\n',
      ),
    ],
  ])('are not guessed: %s', (_, yaml) => {
    expect(externalLabelsOf(yaml)).toEqual({});
  });
});

describe('links in texts', () => {
  test.each<[string, (string | [string, string])[]]>([
    ['nothing here', ['nothing here']],
    ['', []],
    ['https://a.example/b', [['https://a.example/b', 'https://a.example/b']]],
    ['See http://a/b?c=d#e, then wait.', ['See ', ['http://a/b?c=d#e', 'http://a/b?c=d#e'], ', then wait.']],
    [
      '(at http://a/b) or http://a/c_(d)',
      ['(at ', ['http://a/b', 'http://a/b'], ') or ', ['http://a/c_(d)', 'http://a/c_(d)']],
    ],
    ['javascript:alert(1)', ['javascript:alert(1)']],
    ['data:text/html,x file:///etc/passwd //a/b', ['data:text/html,x file:///etc/passwd //a/b']],
    ['http://', ['http://']],
  ])('%s', (text, expected) => {
    expect(linked(text).map(({ text, href }) => (href ? [text, href] : text))).toEqual(expected);
  });

  test('only addresses of the web are links', () => {
    expect(webAddress('HTTPS://A/')).toBe('https://a/');
    for (const text of ['javascript:alert(1)', ' java\nscript:x', 'data:text/html,x', 'ftp://a', '/relative', ''])
      expect(webAddress(text), text).toBeUndefined();
  });
});
