/** Path under which the server mounted the page: always starts and ends with a slash. */
export const basePath = new URL('.', document.baseURI).pathname;

/** Whether the server keeps nothing that could be queried, but scrapes and sends on. */
export const isAgent = document.documentElement.dataset.mode === 'agent';

/** Address of one of the page's own routes, with the mount prefix. */
export function pageUrl(path: string): string {
  return basePath + path.replace(/^\//, '');
}

/** Address of an HTTP API v1 endpoint, with the mount prefix and the given parameters. */
export function apiUrl(endpoint: string, params?: URLSearchParams): string {
  const query = params?.toString();
  return `${basePath}api/v1/${endpoint}${query ? `?${query}` : ''}`;
}
