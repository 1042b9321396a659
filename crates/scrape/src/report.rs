//! The series that a scrape writes about itself.

use model::Labels;
use storage::{Affinity, Append, AppendError, BatchSample, SeriesRef};

use crate::sample_labels::report_labels;

/// Names in the order in which they are written; the last three only with `extra_scrape_metrics`.
const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];
const BASIC: usize = 5;

/// Handles of a target's own series.
#[derive(Debug, Default)]
pub(crate) struct ReportSeries {
    handles: Vec<SeriesRef>,
}

/// What is reported, in the order of [`NAMES`].
pub(crate) type ReportValues = [f64; NAMES.len()];

impl ReportSeries {
    /// Looks up the series of `target` that are not known yet. `extra`: all of [`NAMES`], otherwise the basic ones.
    pub(crate) fn resolve(
        &mut self,
        store: &dyn Append,
        affinity: Affinity,
        target: &Labels,
        extra: bool,
    ) -> Result<(), AppendError> {
        for name in NAMES.iter().take(count(extra)).skip(self.handles.len()) {
            self.handles.push(store.resolve_report(affinity, &report_labels(name, target))?.series);
        }
        Ok(())
    }

    /// Adds the report's samples.
    pub(crate) fn push(&self, values: &ReportValues, extra: bool, t: i64, batch: &mut Vec<BatchSample>) {
        let reported = self.handles.iter().zip(values).take(count(extra));
        batch.extend(reported.map(|(&series, &v)| BatchSample { series, t, v }));
    }

    /// Handles of series that exist, for their staleness markers.
    pub(crate) fn handles(&self) -> &[SeriesRef] {
        &self.handles
    }

    /// Looks the series up again next time: the store does not know a handle any more.
    pub(crate) fn forget(&mut self) {
        self.handles.clear();
    }
}

fn count(extra: bool) -> usize {
    if extra { NAMES.len() } else { BASIC }
}
