import { isAgent } from '../base';

export interface Page {
  path: string;
  title: string;
  /** Second key of `g` + key. */
  key: string;
  /** Whether it is there where nothing is stored, or only there; otherwise it is about what is stored. */
  agent?: 'too' | 'only';
}

/** In the order of the navigation. */
const ALL: Page[] = [
  { path: 'agent', title: 'Agent', key: 'a', agent: 'only' },
  { path: 'query', title: 'Query', key: 'q' },
  { path: 'alerts', title: 'Alerts', key: 'a' },
  { path: 'rules', title: 'Rules', key: 'r' },
  { path: 'targets', title: 'Targets', key: 't', agent: 'too' },
  { path: 'service-discovery', title: 'Service discovery', key: 'd', agent: 'too' },
  { path: 'config', title: 'Configuration', key: 'c', agent: 'too' },
  { path: 'tsdb-status', title: 'TSDB', key: 'b' },
  { path: 'status', title: 'Status', key: 's', agent: 'too' },
  { path: 'flags', title: 'Flags', key: 'f', agent: 'too' },
];

/** The pages of a server or of an agent. */
export function pagesOf(agent: boolean): Page[] {
  return ALL.filter((page) => (agent ? page.agent !== undefined : page.agent !== 'only'));
}

/** The pages that there are, in the order of the navigation. */
export const PAGES: Page[] = pagesOf(isAgent);

/** Where one begins. */
export const HOME = isAgent ? 'agent' : 'query';
