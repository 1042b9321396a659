/** Facts of `/api/v1/status/runtimeinfo` and `/buildinfo`, in the names of Prometheus' API. */
export type Facts = Record<string, string | number | boolean>;

const TITLES: Record<string, string> = {
  startTime: 'Started',
  CWD: 'Working directory',
  hostname: 'Host',
  serverTime: 'Time of the server',
  reloadConfigSuccess: 'Last reload of the configuration',
  lastConfigTime: 'Configuration loaded',
  corruptionCount: 'WAL corruptions',
  goroutineCount: 'Goroutines',
  GOMAXPROCS: 'Processors used at once',
  GOMEMLIMIT: 'Memory limit',
  storageRetention: 'Retention',
  version: 'Version',
  revision: 'Revision',
  branch: 'Branch',
  buildUser: 'Built by',
  buildDate: 'Built',
  goVersion: 'Go version',
};

/** The API's names are Go's; what a program in another language says under them has another name, or no meaning. */
const NOT_GO: Record<string, string> = { goroutineCount: 'Threads', goVersion: 'Compiler' };
const ONLY_GO = new Set(['GOGC', 'GODEBUG']);
/** How "no limit" is written. */
const UNLIMITED = 2 ** 63;

export interface Fact {
  name: string;
  title: string;
  value: Facts[string];
}

/** The facts that say something, with a title for people. */
export function factsOf(facts: Facts, isGo: boolean): Fact[] {
  return Object.entries(facts)
    .filter(([name, value]) => value !== '' && (isGo || !ONLY_GO.has(name)))
    .filter(([name, value]) => !(name === 'GOMEMLIMIT' && Number(value) >= UNLIMITED))
    .map(([name, value]) => ({ name, title: (!isGo && NOT_GO[name]) || TITLES[name] || name, value }));
}
