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
    /// Adds the report's samples. `extra`: all of [`NAMES`], otherwise the basic ones.
    pub(crate) fn push(
        &mut self,
        store: &dyn Append,
        affinity: Affinity,
        target: &Labels,
        values: &ReportValues,
        extra: bool,
        t: i64,
        batch: &mut Vec<BatchSample>,
    ) -> Result<(), AppendError> {
        let count = if extra { NAMES.len() } else { BASIC };
        for (i, name) in NAMES.iter().enumerate().take(count).skip(self.handles.len()) {
            debug_assert_eq!(i, self.handles.len());
            self.handles.push(store.resolve(affinity, &report_labels(name, target))?.series);
        }
        batch.extend(self.handles.iter().zip(values).take(count).map(|(&series, &v)| BatchSample {
            series,
            t,
            v,
        }));
        Ok(())
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
