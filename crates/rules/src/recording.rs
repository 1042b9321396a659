//! Recording: what an expression gives becomes series.

use std::collections::BTreeMap;

use model::{Labels, LabelsBuilder, METRIC_NAME};
use promql::VectorSample;

use crate::error::RuleError;
use crate::outputs::{LabelsMap, Output, Outputs, ToWrite};

/// Which series becomes which.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    by_source: LabelsMap<Output>,
}

impl Recorded {
    /// The samples under the name and the labels of the rule.
    pub(crate) fn record(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
        limit: i64,
        samples: Vec<VectorSample>,
        outputs: &mut Outputs,
    ) -> Result<Vec<ToWrite>, RuleError> {
        let found = samples.len();
        let mut all = Vec::with_capacity(found);
        for sample in samples {
            let known = self.by_source.get(&sample.labels).copied().filter(|output| outputs.knows(*output));
            let output = known.unwrap_or_else(|| {
                let output = outputs.of(&labelled(&sample.labels, name, labels));
                self.by_source.insert(sample.labels, output);
                output
            });
            if !outputs.give(output) {
                return Err(RuleError::SameSeries);
            }
            all.push(ToWrite { output, v: sample.v, histogram: sample.histogram });
        }
        if limit > 0 && i64::try_from(found).unwrap_or(i64::MAX) > limit {
            return Err(RuleError::TooManySeries { limit, found });
        }
        // Sources that come and go must not pile up.
        if self.by_source.len() > 2 * outputs.len() + 16 {
            self.by_source.retain(|_, output| outputs.knows(*output));
        }
        Ok(all)
    }
}

pub(crate) fn labelled(labels: &Labels, name: &str, own: &BTreeMap<String, String>) -> Labels {
    let mut builder = LabelsBuilder::new(labels);
    builder.set(METRIC_NAME, name);
    for (name, value) in own {
        builder.set(name, value);
    }
    builder.build()
}
