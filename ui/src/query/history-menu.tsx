import { useState } from 'preact/hooks';
import { Menu } from '../parts/menu';
import { FilterBox, matchesWords } from '../parts/page';
import { clearHistory, readHistory } from './history';

function HistoryList({ onPick }: { onPick: (expr: string) => void }) {
  const [filter, setFilter] = useState('');
  const [entries, setEntries] = useState(readHistory);
  const shown = entries.filter((expr) => matchesWords(expr, filter));
  if (entries.length === 0) return <p class="muted">Nothing was run in this browser yet.</p>;
  return (
    <>
      <div class="row">
        <FilterBox value={filter} onInput={setFilter} label="Filter the history" placeholder="Filter" />
        <button
          type="button"
          onClick={() => {
            clearHistory();
            setEntries([]);
          }}
        >
          Clear
        </button>
      </div>
      <ul class="menu-list">
        {shown.map((expr) => (
          <li key={expr}>
            <button type="button" onClick={() => onPick(expr)}>
              <code>{expr}</code>
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}

export function HistoryMenu({ onPick }: { onPick: (expr: string) => void }) {
  return (
    <Menu text="History" class="wide">
      {(close) => (
        <HistoryList
          onPick={(expr) => {
            close();
            onPick(expr);
          }}
        />
      )}
    </Menu>
  );
}
