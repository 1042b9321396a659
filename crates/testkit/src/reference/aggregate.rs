//! Aggregations at one step.

use model::Labels;
use promql::ast::{Aggregate, AggregateOp};

use super::{Reference, StepVector, window};

impl Reference<'_> {
    pub(super) fn aggregate(&self, e: &Aggregate, t: i64) -> Result<StepVector, String> {
        let param = match &e.param {
            Some(p) => self.scalar(p, t)?,
            None => f64::NAN,
        };
        let named = |name: &str| e.grouping.iter().any(|g| g == name);
        let mut groups: Vec<(Labels, StepVector)> = Vec::new();
        for (labels, v) in self.vector(&e.expr, t)? {
            let group = labels.filter(|n| if e.without { n != "__name__" && !named(n) } else { named(n) });
            match groups.iter_mut().find(|(g, _)| *g == group) {
                Some((_, members)) => members.push((labels, v)),
                None => groups.push((group, vec![(labels, v)])),
            }
        }
        let mut out = Vec::new();
        for (labels, mut members) in groups {
            let values: Vec<f64> = members.iter().map(|m| m.1).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = || values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            let numbers = || values.iter().copied().filter(|v| !v.is_nan());
            out.push((
                labels,
                match e.op {
                    AggregateOp::Sum => values.iter().sum(),
                    AggregateOp::Avg => mean,
                    AggregateOp::Count => n,
                    AggregateOp::Group => 1.0,
                    AggregateOp::Min => numbers().reduce(f64::min).unwrap_or(f64::NAN),
                    AggregateOp::Max => numbers().reduce(f64::max).unwrap_or(f64::NAN),
                    AggregateOp::Stdvar => variance(),
                    AggregateOp::Stddev => variance().sqrt(),
                    AggregateOp::Quantile => window::quantile(param, &values),
                    AggregateOp::Topk | AggregateOp::Bottomk => {
                        let top = e.op == AggregateOp::Topk;
                        members.sort_by(|(_, a), (_, b)| match (a.is_nan(), b.is_nan()) {
                            (false, false) if top => b.total_cmp(a),
                            (false, false) => a.total_cmp(b),
                            (a, b) => a.cmp(&b),
                        });
                        members.truncate(if param >= 1.0 { param as usize } else { 0 });
                        out.extend(members);
                        continue;
                    }
                    op => return Err(format!("aggregation {op:?}")),
                },
            ));
        }
        Ok(out)
    }
}
