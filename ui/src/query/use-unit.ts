import { useEffect, useMemo, useState } from 'preact/hooks';
import type { MetricMetadata } from '../api/answers';
import { apiGet } from '../api/client';
import { metricNames, type Unit, unitOfExpression } from '../format/units';

const declaredUnits = new Map<string, Promise<string>>();

function declaredUnit(metric: string): Promise<string> {
  let unit = declaredUnits.get(metric);
  if (!unit) {
    const family = metric.replace(/_(bucket|sum|count)$/, '');
    unit = apiGet<Record<string, MetricMetadata[]>>('metadata', { metric: family, limit: 1 }).then(
      (metadata) => metadata[family]?.[0]?.unit ?? '',
      () => '',
    );
    declaredUnits.set(metric, unit);
  }
  return unit;
}

/** The unit of an expression's values: from its metrics' names, or from their metadata when the names do not say. */
export function useUnit(expr: string): Unit {
  const byName = useMemo(() => unitOfExpression(expr), [expr]);
  const [declared, setDeclared] = useState<{ expr: string; unit: Unit }>();
  useEffect(() => {
    const names = metricNames(expr);
    if ((byName !== 'none' && byName !== 'per second') || names.length === 0 || names.length > 4) return;
    let current = true;
    Promise.all(names.map(async (name) => [name, await declaredUnit(name)] as const)).then((pairs) => {
      if (current) setDeclared({ expr, unit: unitOfExpression(expr, Object.fromEntries(pairs)) });
    });
    return () => {
      current = false;
    };
  }, [expr, byName]);
  return declared?.expr === expr ? declared.unit : byName;
}
