import { expect, test } from 'vitest';
import type { PlanNode } from '../src/api/answers';
import { planRows } from '../src/query/plan';

function node(name: string, seconds: number, ...nodes: PlanNode[]): PlanNode {
  return { node: name, detail: '', steps: 1, series: 0, samples: 0, bytes: 0, seconds, nodes };
}

test('a plan is told from the outside to the inside, with the time of each node alone', () => {
  const rows = planRows(node('query', 10, node('join', 9, node('left', 3), node('right', 4, node('scan', 5)))));
  expect(rows.map(({ node, depth, own, share }) => [node.node, depth, own, share])).toEqual([
    ['join', 0, 2, 0.2],
    ['left', 1, 3, 0.3],
    ['right', 1, 0, 0],
    ['scan', 2, 5, 0.5],
  ]);
  expect(planRows(node('query', 0))).toEqual([]);
});
