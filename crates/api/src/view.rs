//! What a caller may see of what is stored (`tenancy` of `web.config.file`).
//!
//! Handlers read through [`View`] alone: the [`Api`]'s store is not theirs to reach. It is the store itself that is
//! narrowed, not the query, so that no expression leads around it.

use std::sync::Arc;

use httpserver::Access;
use model::{Labels, METRIC_NAME, Matcher};
use storage::{Select, Within};

use crate::Api;

/// What a route shows, and so to whom it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// More than some may see: only those who may see everything are answered. What a route is, unless it says otherwise.
    Everything,
    /// What the caller may see: its handler reads through [`View`].
    View,
    /// Nothing of what is stored or configured.
    Nothing,
}

impl Seen {
    /// Whether a caller of this access is answered.
    pub(crate) fn is_for(self, access: &Access) -> bool {
        match (self, access) {
            (Seen::Nothing, _) | (_, Access::Everything) => true,
            (Seen::View, Access::Within(_)) => true,
            (Seen::View, Access::Nothing) | (Seen::Everything, _) => false,
        }
    }
}

/// The series that a caller may see.
#[derive(Clone)]
pub(crate) struct View {
    store: Arc<dyn Select>,
    /// Of it, what is stored here.
    local: Arc<dyn Select>,
    db: Option<Arc<tsdb::Db>>,
    /// None: all.
    matchers: Option<Arc<[Matcher]>>,
}

impl View {
    pub(crate) fn new(api: &Api, access: &Access) -> View {
        let matchers = match access {
            Access::Everything => None,
            Access::Within(matchers) => Some(Arc::clone(matchers)),
            // Nothing has this name.
            Access::Nothing => Some([Matcher::equal(METRIC_NAME, "\0")].into()),
        };
        let within = |all: Arc<dyn Select>| match &matchers {
            None => all,
            Some(matchers) => Arc::new(Within::new(all, Arc::clone(matchers))),
        };
        let stored: Arc<dyn Select> = match &api.db {
            Some(db) => Arc::clone(db) as _,
            None => Arc::new(storage::Unreadable),
        };
        let local = within(stored);
        let store = api.options.queried.clone().map_or_else(|| Arc::clone(&local), within);
        View { store, local, db: api.db.clone(), matchers }
    }

    /// What may be read.
    pub(crate) fn store(&self) -> &dyn Select {
        self.store.as_ref()
    }

    /// What of that is stored here.
    pub(crate) fn local_store(&self) -> &dyn Select {
        self.local.as_ref()
    }

    pub(crate) fn shared_store(&self) -> Arc<dyn Select> {
        Arc::clone(&self.store)
    }

    pub(crate) fn exemplars(
        &self,
        mut selectors: Vec<Vec<Matcher>>,
        min_time: i64,
        max_time: i64,
    ) -> Vec<tsdb::SeriesExemplars> {
        for matchers in &mut selectors {
            matchers.extend(self.matchers.iter().flat_map(|own| own.iter().cloned()));
        }
        self.db.as_ref().map_or_else(Vec::new, |db| db.head().exemplars(&selectors, min_time, max_time))
    }

    /// Whether this is not all there is.
    pub(crate) fn is_narrow(&self) -> bool {
        self.matchers.is_some()
    }

    /// Whether something of these labels may be seen: of rules and alerts, which are no series.
    pub(crate) fn shows(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|own| own.iter().all(|matcher| matcher.matches_labels(labels)))
    }
}
