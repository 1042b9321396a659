import type { ServerResponse } from 'node:http';
import type { ApiHandler } from './page-server';

/** Made-up answers of the HTTP API, so that what the tests expect does not depend on a server's data. */

export function send(response: ServerResponse, data: unknown, status = 200): void {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(status === 200 ? { status: 'success', data } : data));
}

function refuse(response: ServerResponse, error: string): void {
  send(response, { status: 'error', errorType: 'bad_data', error }, 400);
}

const MODES = ['idle', 'user', 'system'];

function target(pool: string, port: number, health: string, lastError = '') {
  return {
    discoveredLabels: { __address__: `host:${port}`, __meta_role: 'web', job: pool },
    labels: { instance: `host:${port}`, job: pool },
    scrapePool: pool,
    scrapeUrl: `http://host:${port}/metrics`,
    globalUrl: `http://host:${port}/metrics`,
    lastError,
    lastScrape: new Date().toISOString(),
    lastScrapeDuration: 0.012,
    health,
    scrapeInterval: '15s',
    scrapeTimeout: '10s',
  };
}

function rangeResult(params: URLSearchParams) {
  const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(params.get(name)));
  return MODES.map((mode, i) => {
    const values: [number, string][] = [];
    for (let time = start!; time <= end!; time += step!)
      values.push([time, String(0.2 + i * 0.2 + 0.1 * Math.sin(time / 300 + i))]);
    return { metric: { mode, job: 'node' }, values };
  });
}

const STATS = { timings: { execTotalTime: 0.003 }, samples: { totalQueryableSamples: 1234, peakSamples: 56 } };

function query(params: URLSearchParams, response: ServerResponse, ranged: boolean): void {
  const expr = params.get('query') ?? '';
  if (expr.includes('sum(rate(up[5m])') && !expr.includes('))')) {
    return refuse(response, 'invalid parameter "query": 1:17: parse error: unclosed left parenthesis');
  }
  if (expr.includes('missing'))
    return send(response, { resultType: ranged ? 'matrix' : 'vector', result: [], stats: STATS });
  if (ranged) return send(response, { resultType: 'matrix', result: rangeResult(params), stats: STATS });
  const time = Number(params.get('time'));
  const result = MODES.map((mode, i) => ({
    metric: { __name__: 'node_memory_bytes', mode, job: 'node' },
    value: [time, String(1024 ** (i + 1))],
  }));
  send(response, { resultType: 'vector', result, stats: STATS });
}

export const madeUpApi: ApiHandler = (path, params, response) => {
  switch (path) {
    case 'query':
      return query(params, response, false);
    case 'query_range':
      return query(params, response, true);
    case 'series':
      return send(response, (params.get('match[]') ?? '').includes('missing') ? [] : [{ __name__: 'up' }]);
    case 'label/__name__/values':
      return send(response, ['mission_total', 'up', 'node_memory_bytes']);
    case 'labels':
      return send(response, ['__name__', 'job', 'mode']);
    case 'metadata':
      return send(response, { node_memory_bytes: [{ type: 'gauge', help: 'Memory.', unit: '' }] });
    case 'targets':
      return send(response, {
        activeTargets: [
          target('node', 1, 'up'),
          target('node', 2, 'down', 'connection refused'),
          target('web', 3, 'up'),
        ],
        droppedTargets: [{ discoveredLabels: { __address__: 'host:9', job: 'web' }, scrapePool: 'web' }],
        droppedTargetCounts: { node: 0, web: 3 },
      });
    case 'targets/relabel_steps':
      return send(response, {
        steps: [
          {
            rule: { action: 'replace', source_labels: ['job'], regex: '(.*)', target_label: 'team', replacement: '$1' },
            output: { __address__: 'host:9', job: 'web', team: 'web' },
            keep: true,
          },
          { rule: { action: 'keep', source_labels: ['team'], regex: 'db' }, output: {}, keep: false },
          { rule: { action: 'labeldrop', regex: 'x' }, output: {}, keep: false },
        ],
      });
    case 'status/config':
      return send(response, { yaml: 'global:\n  scrape_interval: 15s\nscrape_configs:\n- job_name: node\n' });
    case 'status/flags':
      return send(response, { 'config.file': 'prometheus.yml', 'web.listen-address': ':9090' });
    case 'status/runtimeinfo':
      return send(response, {
        startTime: '2026-01-01T00:00:00Z',
        CWD: '/',
        reloadConfigSuccess: true,
        storageRetention: '15d',
      });
    case 'status/buildinfo':
      return send(response, { version: '1.2.3', revision: 'abc' });
    case 'status/tsdb':
      return send(response, {
        headStats: { numSeries: 1500, numLabelPairs: 40, chunkCount: 3000, minTime: 1, maxTime: 2 },
        seriesCountByMetricName: [{ name: 'node_cpu_seconds_total', value: 800 }],
        labelValueCountByLabelName: [{ name: 'le', value: 30 }],
        memoryInBytesByLabelName: [{ name: 'le', value: 4096 }],
        seriesCountByLabelValuePair: [{ name: 'job=node', value: 1500 }],
      });
    default:
      response.writeHead(404, { 'Content-Type': 'text/plain' }).end('404 page not found');
  }
};
