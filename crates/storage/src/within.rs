//! A part of a store: the series that match certain matchers, and nothing of any other.

use std::sync::Arc;

use model::{Labels, Matcher};

use crate::{QueryContext, Request, Select, SelectError, SeriesPart};

/// The series of a store that match all of `matchers`. Whatever is asked, they are asked for as well: a query cannot
/// reach further, since this is all that it reads from.
pub struct Within {
    store: Arc<dyn Select>,
    matchers: Arc<[Matcher]>,
}

impl Within {
    /// At least one of the matchers must not match the empty string.
    #[must_use]
    pub fn new(store: Arc<dyn Select>, matchers: Arc<[Matcher]>) -> Self {
        Within { store, matchers }
    }

    fn narrowed(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        matchers.iter().chain(self.matchers.iter()).cloned().collect()
    }
}

impl Select for Within {
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        self.store.may_hold(min_time, max_time)
    }

    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        let matchers = self.narrowed(request.matchers);
        self.store.select(ctx, &Request { matchers: &matchers, ..request.clone() })
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        let matchers = self.narrowed(request.matchers);
        self.store.series(ctx, &Request { matchers: &matchers, ..request.clone() })
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_names(ctx, min_time, max_time, &self.narrowed(matchers))
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.store.label_values(ctx, name, min_time, max_time, &self.narrowed(matchers))
    }
}
