import { useEffect, useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { pageUrl } from '../base';
import { Clock } from './clock';
import { keysShown } from './keys';
import { HOME, PAGES } from './pages';
import { setTheme, type Theme, theme } from './theme';

function Logo() {
  return (
    <svg viewBox="0 0 16 16" width="20" height="20" aria-hidden="true">
      <circle cx="8" cy="8" r="7" fill="none" stroke="currentColor" stroke-width="1.4" />
      <path d="M8 2.6 9.8 8H6.2z" fill="currentColor" />
      <path d="M8 13.4 6.2 8h3.6z" fill="none" stroke="currentColor" stroke-width="1" />
    </svg>
  );
}

export function Header() {
  const { path } = useLocation();
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    // On a narrow screen the navigation scrolls sideways: keep the current page in view.
    const link = nav.current?.querySelector<HTMLElement>('[aria-current]');
    if (nav.current && link)
      nav.current.scrollLeft = link.offsetLeft - nav.current.clientWidth / 2 + link.clientWidth / 2;
  }, [path]);
  return (
    <header class="top">
      <a class="brand" href={pageUrl(HOME)}>
        <Logo />
        <span>binnacle</span>
      </a>
      <nav aria-label="Pages" ref={nav}>
        {PAGES.map((page) => (
          <a
            key={page.path}
            href={pageUrl(page.path)}
            aria-current={path === pageUrl(page.path) ? 'page' : undefined}
            title={`Keys: g ${page.key}`}
          >
            {page.title}
          </a>
        ))}
      </nav>
      <div class="top-tools">
        <Clock />
        <select
          aria-label="Colours"
          class="quiet"
          value={theme.value}
          onChange={(event) => setTheme(event.currentTarget.value as Theme)}
        >
          <option value="system">System</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
        <button
          type="button"
          class="quiet"
          aria-label="Show all keys"
          title="All keys"
          onClick={() => (keysShown.value = true)}
        >
          ?
        </button>
      </div>
    </header>
  );
}
