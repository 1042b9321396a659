import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { LocationProvider, lazy, Route, Router, useLocation } from 'preact-iso';
import { basePath, isAgent, pageUrl } from './base';
import { Header } from './shell/header';
import { useGlobalKeys } from './shell/keys';
import { KeysHelp } from './shell/keys-help';
import { HOME, PAGES } from './shell/pages';
import { Starting, useStart } from './shell/starting';

/** What the server calls the page (--web.page-title). */
const NAME = document.title;

const Agent = lazy(() => import('./pages/agent'));
const Query = lazy(() => import('./query/page'));
const Alerts = lazy(() => import('./pages/alerts'));
const Rules = lazy(() => import('./pages/rules'));
const Targets = lazy(() => import('./pages/targets'));
const Discovery = lazy(() => import('./pages/service-discovery'));
const Config = lazy(() => import('./pages/config'));
const Tsdb = lazy(() => import('./pages/tsdb-status'));
const Status = lazy(() => import('./pages/status'));
const Flags = lazy(() => import('./pages/flags'));

/** What draws the page at a path. */
const COMPONENTS: Record<string, typeof Query> = {
  agent: Agent,
  query: Query,
  alerts: Alerts,
  rules: Rules,
  targets: Targets,
  'service-discovery': Discovery,
  config: Config,
  'tsdb-status': Tsdb,
  status: Status,
  flags: Flags,
};

/** `/` and the address that Prometheus used up to version 2; alerts still link to the latter. */
function ToHome() {
  const { url, route } = useLocation();
  useEffect(() => route(pageUrl(HOME) + new URL(url, location.origin).search, true), [url]);
  return null;
}

function NotFound() {
  return (
    <div class="page">
      <h1>No such page</h1>
      <p>
        Nothing is served under this address.{' '}
        <a href={pageUrl(HOME)}>{isAgent ? 'What the agent does' : 'Ask a question'}</a> or press <kbd>?</kbd> for the
        keys.
      </p>
    </div>
  );
}

function Shell() {
  const { path } = useLocation();
  const main = useRef<HTMLElement>(null);
  const shownPath = useRef(path);
  const start = useStart();
  useGlobalKeys();
  // Tab goes on from the new page's start, not from where something of the old one was. Before the pages' own effects,
  // so that a field that asks for the focus gets it.
  useLayoutEffect(() => {
    if (shownPath.current === path) return;
    shownPath.current = path;
    if (!document.activeElement?.closest('header')) main.current?.focus({ preventScroll: true });
  }, [path]);
  useEffect(() => {
    const page = PAGES.find((one) => path === pageUrl(one.path));
    document.title = page ? `${page.title} · ${NAME}` : NAME;
  }, [path]);
  return (
    <>
      <a
        class="skip-link"
        href={`${path}#main`}
        onClick={(event) => {
          event.preventDefault();
          event.stopPropagation();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <Header />
      <main id="main" ref={main} tabIndex={-1}>
        {start ? (
          <Starting replay={start} />
        ) : (
          <Router>
            {PAGES.map(({ path }) => (
              <Route key={path} path={pageUrl(path)} component={COMPONENTS[path]!} />
            ))}
            <Route path={pageUrl('graph')} component={ToHome} />
            <Route path={basePath} component={ToHome} />
            <Route default component={NotFound} />
          </Router>
        )}
      </main>
      <KeysHelp />
    </>
  );
}

export function App() {
  return (
    <LocationProvider scope={new RegExp(`^(?!${basePath}(api|metrics|-|federate)(/|$|\\?))`)}>
      <Shell />
    </LocationProvider>
  );
}
