export interface Page {
  path: string;
  title: string;
  /** Second key of `g` + key. */
  key: string;
}

/** The pages in the order of the navigation. */
export const PAGES: Page[] = [
  { path: 'query', title: 'Query', key: 'q' },
  { path: 'alerts', title: 'Alerts', key: 'a' },
  { path: 'rules', title: 'Rules', key: 'r' },
  { path: 'targets', title: 'Targets', key: 't' },
  { path: 'service-discovery', title: 'Service discovery', key: 'd' },
  { path: 'config', title: 'Configuration', key: 'c' },
  { path: 'tsdb-status', title: 'TSDB', key: 'b' },
  { path: 'status', title: 'Status', key: 's' },
  { path: 'flags', title: 'Flags', key: 'f' },
];
