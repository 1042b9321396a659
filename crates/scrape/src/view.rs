//! Targets as the API shows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Labels, duration};

use crate::metadata::PageMetadata;
use crate::pool::Pool;
use crate::target::Health;
use crate::url::{self, ExternalAddress};

/// A target that is scraped.
#[derive(Debug, Clone)]
pub struct ActiveTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// Labels that its series carry.
    pub labels: Labels,
    /// The job.
    pub scrape_pool: String,
    /// What is asked for.
    pub scrape_url: String,
    /// Why the last scrape failed, or empty.
    pub last_error: String,
    /// When it was scraped last, in nanoseconds since the Unix epoch; none: not yet.
    pub last_scrape: Option<i64>,
    /// How long that took.
    pub last_scrape_duration: Duration,
    /// How that went.
    pub health: Health,
    /// As Prometheus writes durations.
    pub scrape_interval: String,
    /// As Prometheus writes durations.
    pub scrape_timeout: String,
    /// What its last page said about its metrics.
    pub metadata: Arc<PageMetadata>,
}

impl ActiveTarget {
    /// The URL by which others reach the target.
    #[must_use]
    pub fn global_url(&self, external: &ExternalAddress) -> String {
        url::global(&self.scrape_url, external)
    }
}

/// A target that relabelling dropped.
#[derive(Debug, Clone)]
pub struct DroppedTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// The job.
    pub scrape_pool: String,
}

/// Targets by job, then as Prometheus orders them: by labels.
#[derive(Debug, Clone, Default)]
pub struct TargetsView {
    /// Targets that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Targets that were dropped, as many as are kept.
    pub dropped: Vec<DroppedTarget>,
    /// How many were dropped, for each job, whichever job was asked for.
    pub dropped_counts: BTreeMap<String, usize>,
}

pub(crate) fn of<'a>(pools: impl Iterator<Item = &'a Pool>, only: Option<&str>) -> TargetsView {
    let mut view = TargetsView::default();
    for pool in pools {
        let options = &pool.job.options;
        view.dropped_counts.insert(options.name.clone(), pool.dropped_count);
        if only.is_some_and(|only| only != options.name) {
            continue;
        }
        let first = view.active.len();
        for target in pool.active() {
            let status = target.status.lock().clone();
            view.active.push(ActiveTarget {
                discovered_labels: target.discovered.lock().labels(options),
                labels: target.public.clone(),
                scrape_pool: options.name.clone(),
                scrape_url: target.url.clone(),
                last_error: status.last_error,
                last_scrape: status.last_scrape,
                last_scrape_duration: status.last_duration,
                health: status.health,
                scrape_interval: duration::format(millis(target.interval)),
                scrape_timeout: duration::format(millis(target.timeout)),
                metadata: target.metadata.lock().clone(),
            });
        }
        if let Some(own) = view.active.get_mut(first..) {
            own.sort_by(|a, b| a.labels.cmp(&b.labels).then_with(|| a.scrape_url.cmp(&b.scrape_url)));
        }
        let dropped = pool.dropped.iter();
        view.dropped.extend(dropped.map(|discovered| DroppedTarget {
            discovered_labels: discovered.labels(options),
            scrape_pool: options.name.clone(),
        }));
    }
    view
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
