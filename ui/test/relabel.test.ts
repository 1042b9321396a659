import { expect, test } from 'vitest';
import { explainSteps, ruleSentence } from '../src/format/relabel';

const keep = { action: 'keep', source_labels: ['scrape'], separator: ';', regex: 'true' };
const address = {
  action: 'replace',
  source_labels: ['__address__', 'port'],
  separator: ';',
  regex: '([^:]+)(?::\\d+)?;(\\d+)',
  target_label: '__address__',
  replacement: '$1:$2',
};

test('each step says what it met and what it changed', () => {
  const discovered = { __address__: 'h:1', port: '9', scrape: 'true' };
  const steps = explainSteps(discovered, [
    { rule: keep, output: discovered, keep: true },
    { rule: address, output: { ...discovered, __address__: 'h:9' }, keep: true },
    { rule: { action: 'labeldrop', regex: 'port' }, output: { __address__: 'h:9', scrape: 'true' }, keep: true },
  ]);
  expect(steps.map(({ source, matched }) => [source, matched])).toEqual([
    ['true', true],
    ['h:1;9', true],
    [undefined, undefined],
  ]);
  expect(steps[1]?.changes).toEqual([{ name: '__address__', before: 'h:1', after: 'h:9' }]);
  expect(steps[2]?.changes).toEqual([{ name: 'port', before: '9', after: undefined }]);
});

test('nothing is told of rules after the one that dropped the target', () => {
  const steps = explainSteps({ scrape: 'no' }, [
    { rule: keep, output: {}, keep: false },
    { rule: address, output: {}, keep: false },
  ]);
  expect(steps.length).toBe(1);
  expect(steps[0]).toMatchObject({ matched: false, keep: false, source: 'no', changes: [] });
});

test('an expression that means something else here gives no verdict', () => {
  const rule = { source_labels: ['a'], regex: '(?i)x', target_label: 'b', replacement: '1' };
  expect(explainSteps({ a: 'y' }, [{ rule, output: { a: 'y' }, keep: true }])[0]?.matched).toBeUndefined();
});

test('rules are sentences', () => {
  expect(ruleSentence(keep)).toBe('if [scrape] matches /true/');
  expect(ruleSentence({ action: 'replace', target_label: 'a', replacement: 'b' })).toBe('a = "b"');
  expect(ruleSentence({ action: 'labelmap', regex: 'x_(.+)', replacement: '$1' })).toBe(
    'copy labels named /x_(.+)/ to "$1"',
  );
});
