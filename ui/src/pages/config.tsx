import { useMemo } from 'preact/hooks';
import { CopyButton } from '../parts/copy';
import { Failure, FilterBox, Page } from '../parts/page';
import { useApi } from '../parts/use-api';
import { useParam } from '../parts/use-param';
import { yamlTokens } from './yaml';

export default function ConfigPage() {
  const { data, error, loading } = useApi<{ yaml: string }>('status/config');
  const [filter, setFilter] = useParam('filter');
  const lines = useMemo(() => (data?.yaml ?? '').trimEnd().split('\n').map(yamlTokens), [data]);
  const wanted = filter.toLowerCase();
  const hits = wanted ? lines.filter((tokens) => hasWord(tokens, wanted)).length : 0;
  return (
    <Page
      title="Configuration"
      loading={loading}
      tools={
        <>
          <FilterBox value={filter} onInput={setFilter} label="Find in the configuration" />
          {wanted && (
            <span class="muted numeric" role="status">
              {hits} {hits === 1 ? 'line' : 'lines'}
            </span>
          )}
          {data && <CopyButton text={() => data.yaml}>Copy</CopyButton>}
        </>
      }
    >
      {error && <Failure error={error} what="The configuration" />}
      {data && (
        <pre class="yaml">
          {lines.map((tokens, i) => (
            <span key={i} class={wanted && hasWord(tokens, wanted) ? 'line hit' : 'line'}>
              <span class="line-number" aria-hidden="true">
                {i + 1}
              </span>
              <span class="line-text">
                {tokens.map(({ kind, text }, j) => (
                  <span key={j} class={`yaml-${kind}`}>
                    {text}
                  </span>
                ))}
              </span>
            </span>
          ))}
        </pre>
      )}
    </Page>
  );
}

function hasWord(tokens: { text: string }[], wanted: string): boolean {
  return tokens
    .map(({ text }) => text)
    .join('')
    .toLowerCase()
    .includes(wanted);
}
