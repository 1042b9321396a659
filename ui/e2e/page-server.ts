import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const TYPES: Record<string, string> = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.html': 'text/html',
};
/** No inline script, nothing from elsewhere: the page has to work under it. */
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-ancestors 'none'";

/** Answers a request below `/api/v1/`; the path comes without it. */
export type ApiHandler = (path: string, params: URLSearchParams, response: ServerResponse) => void;

export interface PageServer {
  url: string;
  close: () => Promise<void>;
}

function parametersOf(incoming: IncomingMessage, url: URL): Promise<URLSearchParams> {
  if (incoming.method !== 'POST') return Promise.resolve(url.searchParams);
  return new Promise((resolve) => {
    let body = '';
    incoming.on('data', (chunk) => (body += chunk));
    incoming.on('end', () => resolve(new URLSearchParams(body)));
  });
}

function forward(incoming: IncomingMessage, response: ServerResponse, upstream: string, path: string): void {
  const passed = request(new URL(path, upstream), { method: incoming.method, headers: incoming.headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  passed.on('error', () => response.writeHead(502).end());
  incoming.pipe(passed);
}

function sendPage(response: ServerResponse, path: string, prefix: string, agent: boolean): void {
  const file = /^\/(assets\/|favicon)/.test(path) ? normalize(path) : '/index.html';
  let content = readFileSync(join(DIST, file));
  if (file === '/index.html') {
    const html = content.toString().replace('<base href="/" />', `<base href="${prefix}" />`);
    content = Buffer.from(agent ? html.replace('<html ', '<html data-mode="agent" ') : html);
  }
  response.writeHead(200, {
    'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
    'Content-Security-Policy': POLICY,
  });
  response.end(content);
}

/**
 * Serves the built page as binnacle does, or as its agent does, with answers made up by `api`, or with those of the server
 * at that address.
 */
export async function servePage(api: ApiHandler | string, prefix = '/', port = 0, agent = false): Promise<PageServer> {
  const server: Server = createServer(async (incoming, response) => {
    const url = new URL(incoming.url ?? '/', 'http://page');
    if (!url.pathname.startsWith(prefix)) {
      response.writeHead(404).end('outside of the prefix');
      return;
    }
    const path = `/${url.pathname.slice(prefix.length)}`;
    if (!path.startsWith('/api/v1/')) return sendPage(response, path, prefix, agent);
    if (typeof api === 'string') return forward(incoming, response, api, path + url.search);
    api(path.slice('/api/v1/'.length), await parametersOf(incoming, url), response);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${bound}${prefix}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
