import type { Labels } from '../api/answers';
import { Menu } from '../parts/menu';
import { type Alertmanager, silenceLink } from './silence';

/** The way to a new silence of an alert: a link, or one for each of several Alertmanagers. */
export function SilenceMenu({ alertmanagers, labels }: { alertmanagers: Alertmanager[]; labels: Labels }) {
  const link = (alertmanager: Alertmanager, text: string, name?: string) => (
    <a
      key={alertmanager.url}
      class={name}
      href={silenceLink(alertmanager, labels)}
      target="_blank"
      rel="noopener noreferrer"
      title={`A new silence of this alert in ${alertmanager.name}`}
    >
      {text}
    </a>
  );
  const [first] = alertmanagers;
  if (!first) return null;
  if (alertmanagers.length === 1) return link(first, 'Silence', 'button');
  return (
    <Menu text="Silence ▾" label="Silence" class="right">
      {() => (
        <div class="menu-actions">{alertmanagers.map((alertmanager) => link(alertmanager, alertmanager.name))}</div>
      )}
    </Menu>
  );
}
