/** Answers of Prometheus' HTTP API v1, as far as the page reads them. */

export type Labels = Record<string, string>;

export interface Target {
  discoveredLabels: Labels;
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  globalUrl: string;
  lastError: string;
  /** RFC 3339; year 1 when the target was never scraped. */
  lastScrape: string;
  /** Seconds. */
  lastScrapeDuration: number;
  health: 'up' | 'down' | 'unknown';
  scrapeInterval: string;
  scrapeTimeout: string;
}

export interface DroppedTarget {
  discoveredLabels: Labels;
  scrapePool?: string;
}

export interface TargetsAnswer {
  activeTargets: Target[] | null;
  droppedTargets: DroppedTarget[] | null;
  droppedTargetCounts?: Record<string, number> | null;
}

export interface RelabelStep {
  rule: Record<string, unknown>;
  output: Labels;
  keep: boolean;
}

export interface NameValue {
  name: string;
  value: number;
}

export interface TsdbStatus {
  headStats: { numSeries: number; numLabelPairs?: number; chunkCount: number; minTime: number; maxTime: number };
  seriesCountByMetricName: NameValue[] | null;
  labelValueCountByLabelName: NameValue[] | null;
  memoryInBytesByLabelName: NameValue[] | null;
  seriesCountByLabelValuePair: NameValue[] | null;
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: 'inactive' | 'pending' | 'firing' | 'unknown';
  activeAt: string | null;
  /** Since when the condition holds no longer, while `keep_firing_for` lasts. */
  keepFiringSince?: string;
  value: string;
}

export interface Rule {
  type: 'alerting' | 'recording';
  name: string;
  query: string;
  labels?: Labels;
  health: string;
  lastError?: string;
  /** Seconds. */
  evaluationTime: number;
  lastEvaluation: string;
  state?: 'inactive' | 'pending' | 'firing' | 'unknown';
  /** Seconds. */
  duration?: number;
  keepFiringFor?: number;
  annotations?: Labels;
  alerts?: Alert[];
  /** Series that the last evaluation gave; not in Prometheus. */
  samples?: number;
}

export interface RuleGroup {
  name: string;
  file: string;
  /** Seconds. */
  interval: number;
  /** Most series that a rule may give; 0 for any number. */
  limit?: number;
  rules: Rule[];
  /** Seconds. */
  evaluationTime: number;
  lastEvaluation: string;
}

export interface AlertmanagersAnswer {
  activeAlertmanagers: { url: string }[] | null;
}

export interface MetricMetadata {
  type: string;
  help: string;
  unit: string;
}

/** `stats` of a query answer, sent when asked for with `stats=true`. */
export interface QueryStats {
  timings?: { evalTotalTime?: number; execQueueTime?: number; execTotalTime?: number };
  samples?: { totalQueryableSamples?: number; peakSamples?: number };
}

/** A node of a query's plan, with those that it works on. */
export interface PlanNode {
  node: string;
  detail: string;
  steps: number;
  series: number;
  /** Values in them. */
  samples: number;
  bytes: number;
  /** The nodes below included. */
  seconds: number;
  read?: { detail: string; series: number; samples: number; bytes: number };
  nodes: PlanNode[];
}

export interface ExplainAnswer {
  plan: PlanNode;
}
