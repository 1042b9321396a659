//! `label_replace` and `label_join`.

use model::{LabelsBuilder, METRIC_NAME, Regex};

use super::Evaluator;
use super::rows::{Rows, has_equal, merge_equal};
use crate::engine::QueryError;

impl Evaluator<'_> {
    pub(super) fn label_replace<'e>(
        &'e self,
        mut rows: Rows<'e>,
        target: &str,
        replacement: &str,
        source: &str,
        regex: &Regex,
    ) -> Result<Rows<'e>, QueryError> {
        for series in &mut rows.series {
            if let Some(value) = regex.expand(series.labels.value(source), replacement) {
                series.labels = LabelsBuilder::new(&series.labels).set(target, &value).build();
                // A name that was set is meant to stay.
                series.drop_name &= target != METRIC_NAME;
            }
        }
        merged(rows)
    }

    pub(super) fn label_join<'e>(
        &'e self,
        mut rows: Rows<'e>,
        target: &str,
        separator: &str,
        sources: &[String],
    ) -> Result<Rows<'e>, QueryError> {
        for series in &mut rows.series {
            let values: Vec<&str> = sources.iter().map(|s| series.labels.value(s)).collect();
            let value = values.join(separator);
            series.labels = LabelsBuilder::new(&series.labels).set(target, &value).build();
            series.drop_name &= target != METRIC_NAME;
        }
        merged(rows)
    }
}

fn merged(mut rows: Rows<'_>) -> Result<Rows<'_>, QueryError> {
    if has_equal(&rows.series) {
        rows.series = merge_equal(std::mem::take(&mut rows.series))?;
    }
    Ok(rows)
}
