import { parser } from '@prometheus-io/lezer-promql';
import { quote } from '../format/labels';

export interface Matcher {
  /** As written, e.g. `job="node"`. */
  text: string;
  label: string;
  op: string;
  value: string;
}

export interface Selector {
  /** As written, without range and offset. */
  text: string;
  metric: string;
  matchers: Matcher[];
}

function unquote(text: string): string {
  if (!/^["'`]/.test(text)) return text;
  const inner = text.slice(1, -1);
  return text[0] === '`' ? inner : inner.replace(/\\(["'\\n])/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
}

/** The vector selectors of an expression. */
export function selectorsOf(expr: string): Selector[] {
  const out: Selector[] = [];
  parser.parse(expr).iterate({
    enter(node) {
      if (node.name !== 'VectorSelector') return;
      const text = expr.slice(node.from, node.to);
      const selector: Selector = { text, metric: '', matchers: [] };
      const cursor = node.node.cursor();
      while (cursor.next() && cursor.from < node.to) {
        const part = expr.slice(cursor.from, cursor.to);
        if (cursor.name === 'Identifier') selector.metric = part;
        else if (cursor.name === 'QuotedLabelName' && !cursor.node.parent?.name.endsWith('LabelMatcher'))
          selector.metric = unquote(part);
        else if (cursor.name === 'UnquotedLabelMatcher' || cursor.name === 'QuotedLabelMatcher') {
          const match = /^\s*("[^"]*"|'[^']*'|[\w:]+)\s*(=~|!~|!=|=)\s*([\s\S]*)$/.exec(part);
          if (match)
            selector.matchers.push({
              text: part,
              label: unquote(match[1]!),
              op: match[2]!,
              value: unquote(match[3]!.trim()),
            });
        }
      }
      out.push(selector);
      return false;
    },
  });
  return out;
}

/** A selector of the metric with some of its matchers. */
export function selectorText(metric: string, matchers: string[]): string {
  const parts = metric ? [`__name__=${quote(metric)}`, ...matchers] : matchers;
  return `{${parts.join(',')}}`;
}

/** How an expression writes it: the name in front. */
export function writtenSelector(metric: string, matchers: string[]): string {
  return matchers.length ? `${metric}{${matchers.join(', ')}}` : metric;
}
