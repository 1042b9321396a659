import type { RefObject } from 'preact';
import { searchParams } from '../api/client';
import { apiUrl } from '../base';
import { CopyButton, saveFile } from '../parts/copy';
import { Menu } from '../parts/menu';
import type { ResultClient } from '../result/client';
import type { Question } from './use-query';

function apiAddress(question: Question): string {
  return new URL(apiUrl(question.endpoint, searchParams(question.params)), location.origin).href;
}

export function curlCommand(question: Question): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const address = new URL(apiUrl(question.endpoint), location.origin).href;
  const fields = Object.entries(question.params).map(
    ([name, value]) => `--data-urlencode ${quoted(`${name}=${value}`)}`,
  );
  return ['curl', quoted(address), ...fields].join(' ');
}

/** The graph as a picture, its expression written above it. */
function drawPicture(plot: HTMLElement, expr: string): Promise<Blob | null> {
  const graph = plot.querySelector('canvas')!;
  const style = getComputedStyle(document.documentElement);
  const scale = devicePixelRatio;
  const canvas = document.createElement('canvas');
  canvas.width = graph.width;
  canvas.height = graph.height + 28 * scale;
  const context = canvas.getContext('2d')!;
  context.fillStyle = style.getPropertyValue('--background');
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = style.getPropertyValue('--text');
  context.font = `${13 * scale}px ${getComputedStyle(document.body).fontFamily}`;
  context.fillText(expr.replace(/\s+/g, ' '), 8 * scale, 18 * scale, canvas.width - 16 * scale);
  context.drawImage(graph, 0, 28 * scale);
  return new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
}

export function ShareMenu(props: {
  question: Question;
  client: () => ResultClient;
  plot: RefObject<HTMLElement | null>;
  hasAnswer: boolean;
}) {
  const { question } = props;
  return (
    <Menu text="Copy or save" class="right">
      {(close) => (
        <div class="menu-actions">
          <CopyButton text={() => location.href}>Copy address</CopyButton>
          <CopyButton text={() => question.expr}>Copy PromQL</CopyButton>
          <CopyButton text={() => curlCommand(question)}>Copy as curl</CopyButton>
          <CopyButton text={async () => (await fetch(apiAddress(question))).text()}>Copy JSON</CopyButton>
          {props.hasAnswer && (
            <button
              type="button"
              onClick={async () => {
                close();
                saveFile('query.csv', new Blob([await props.client().csv()], { type: 'text/csv' }));
              }}
            >
              Save CSV
            </button>
          )}
          {props.hasAnswer && question.tab === 'graph' && (
            <button
              type="button"
              onClick={async () => {
                close();
                const picture = props.plot.current && (await drawPicture(props.plot.current, question.expr));
                if (picture) saveFile('query.png', picture);
              }}
            >
              Save PNG
            </button>
          )}
          <a href={apiAddress(question)} target="_blank" rel="noopener">
            Open the API's answer
          </a>
        </div>
      )}
    </Menu>
  );
}
