import { signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'binnacle.theme';

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return value === 'light' || value === 'dark' ? value : 'system';
}

const system = matchMedia('(prefers-color-scheme: dark)');

export const theme = signal<Theme>(stored());
/** What is on the screen now; graphs redraw when it changes. */
export const dark = signal(isDark());

function isDark(): boolean {
  return theme.value === 'dark' || (theme.value === 'system' && system.matches);
}

export function applyTheme(): void {
  if (theme.value === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  dark.value = isDark();
}

export function setTheme(next: Theme): void {
  theme.value = next;
  if (next === 'system') localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  applyTheme();
}

system.addEventListener('change', applyTheme);
