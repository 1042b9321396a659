import type { PlanNode } from '../api/answers';

/** A node of a plan as a line of a table. */
export interface PlanRow {
  node: PlanNode;
  depth: number;
  /** Seconds in this node alone. */
  own: number;
  /** Of the seconds of the whole. */
  share: number;
}

/** The nodes below the root, each before those that it works on. */
export function planRows(root: PlanNode): PlanRow[] {
  const rows: PlanRow[] = [];
  const add = (node: PlanNode, depth: number) => {
    const inner = node.nodes.reduce((sum, { seconds }) => sum + seconds, 0);
    const own = Math.max(0, node.seconds - inner);
    rows.push({ node, depth, own, share: root.seconds > 0 ? own / root.seconds : 0 });
    for (const child of node.nodes) add(child, depth + 1);
  };
  for (const node of root.nodes) add(node, 0);
  return rows;
}
