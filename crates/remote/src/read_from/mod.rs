//! Remote read from others: what they have is read as one with what is stored here.
//!
//! Others are asked side by side, and taken whole or not at all: what goes wrong with one is a warning of the query's answer,
//! and nothing of that one is in it. What goes wrong here fails the query.

mod answer;
mod endpoint;
mod frames;
mod metrics;
mod options;

use std::collections::HashSet;
use std::sync::Arc;

use exposition::Registry;
use model::{Labels, Matcher};
use parking_lot::RwLock;
use storage::{Projection, QueryContext, Request, Select, SelectError, SeriesPart, merge};
use tokio::runtime::Handle;

#[doc(hidden)]
pub use self::answer::answer_read;
use self::answer::{Answer, Refused};
use self::endpoint::{Endpoint, Fetch};
use self::metrics::Metrics;
pub use self::options::ReadOptions;

/// From which time on, in milliseconds, all there is is here.
pub type LocalStart = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why servers cannot be read from.
#[derive(Debug, thiserror::Error)]
pub enum ReadSetupError {
    /// Two are the same.
    #[error("duplicate remote read configs are not allowed, found duplicate for URL: {0}")]
    Duplicate(String),
    /// A client cannot be made.
    #[error("remote_read {url}: {reason}")]
    Client {
        /// Of which one.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

/// Servers that can be read from.
pub struct ReadServers(Vec<Arc<Endpoint>>);

/// A store and the servers that have more.
pub struct RemoteRead {
    local: Arc<dyn Select>,
    local_start: LocalStart,
    endpoints: RwLock<Vec<Arc<Endpoint>>>,
    runtime: Handle,
    metrics: Metrics,
}

impl RemoteRead {
    /// Reads from `local` alone until others are [put in force](Self::apply). Requests are sent by `runtime`; selecting waits for
    /// their answers, so that no thread that drives futures may select.
    #[must_use]
    pub fn new(
        local: Arc<dyn Select>,
        local_start: LocalStart,
        runtime: Handle,
        registry: &Registry,
    ) -> Self {
        let metrics = Metrics::register(registry);
        RemoteRead { local, local_start, endpoints: RwLock::default(), runtime, metrics }
    }

    /// Makes clients for servers, of which [`apply`](Self::apply) makes use.
    ///
    /// # Errors
    /// When two are the same or one cannot be reached with its options.
    pub fn prepare(&self, all: Vec<ReadOptions>, external: &Labels) -> Result<ReadServers, ReadSetupError> {
        let mut hashes = HashSet::new();
        if let Some(twice) = all.iter().find(|options| !hashes.insert(options.hash.clone())) {
            return Err(ReadSetupError::Duplicate(twice.shown_url.clone()));
        }
        let endpoint = |options: ReadOptions| {
            let url = options.shown_url.clone();
            let metrics = self.metrics.of(&options.name, &url);
            Endpoint::new(options, external, metrics)
                .map(Arc::new)
                .map_err(|reason| ReadSetupError::Client { url, reason })
        };
        all.into_iter().map(endpoint).collect::<Result<_, _>>().map(ReadServers)
    }

    /// Reads from these from now on. Requests that are on their way are finished.
    pub fn apply(&self, ReadServers(endpoints): ReadServers) {
        self.metrics
            .keep(|name, url| endpoints.iter().any(|e| e.options.name == name && e.options.shown_url == url));
        *self.endpoints.write() = endpoints;
    }

    /// Those that may have something of a time, and up to when.
    fn holding(&self, min_time: i64, max_time: i64) -> Vec<(Arc<Endpoint>, i64)> {
        let endpoints = self.endpoints.read();
        if endpoints.is_empty() {
            return Vec::new();
        }
        let start = (self.local_start)();
        let until = |endpoint: &Arc<Endpoint>| {
            endpoint.until(min_time, max_time, start).map(|until| (Arc::clone(endpoint), until))
        };
        endpoints.iter().filter_map(until).collect()
    }

    /// What others answer; what they did not is a warning.
    fn ask(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
        names_only: bool,
    ) -> Result<Vec<Answer>, SelectError> {
        let holding = self.holding(request.min_time, request.max_time);
        let asked = holding.into_iter().filter(|(endpoint, _)| endpoint.accepts(request.matchers));
        let fetches: Vec<Fetch> = asked
            .map(|(endpoint, until)| {
                let asked = endpoint.asked(request.matchers, request.min_time, until, names_only);
                endpoint.fetch(asked, &self.runtime)
            })
            .collect();
        let mut answers = Vec::new();
        for fetch in fetches {
            match fetch.answer(ctx, &self.runtime) {
                Ok(answer) if answer.is_empty() => {}
                Ok(answer) => answers.push(answer),
                Err(Refused::Interrupted(why)) => return Err(why.into()),
                Err(Refused::Answer(why)) => ctx.warnings().add(format!("remote_read: {why}")),
            }
        }
        Ok(answers)
    }

    /// The protocol has no such question.
    fn warn_of_names(&self, ctx: &QueryContext, min_time: i64, max_time: i64) {
        if !self.holding(min_time, max_time).is_empty() {
            ctx.warnings().add("not implemented".to_owned());
        }
    }
}

impl Select for RemoteRead {
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        self.local.may_hold(min_time, max_time) || !self.holding(min_time, max_time).is_empty()
    }

    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        let answers = self.ask(ctx, request, false)?;
        if answers.is_empty() {
            return self.local.select(ctx, request);
        }
        let whole = Request { labels: Projection::All, ..request.clone() };
        let here = self.local.select(ctx, &whole)?;
        let mut parts = here;
        answers
            .into_iter()
            .for_each(|answer| parts.extend(answer.into_parts().into_iter().map(|part| part as _)));
        merge::joined(ctx, parts.into_iter(), request.labels)
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        let answers = self.ask(ctx, request, true)?;
        let mut all = self.local.series(ctx, request)?;
        if !answers.is_empty() {
            all.extend(answers.into_iter().flat_map(Answer::into_labels));
            all.sort_unstable();
            all.dedup();
        }
        Ok(all)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.warn_of_names(ctx, min_time, max_time);
        self.local.label_names(ctx, min_time, max_time, matchers)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        self.warn_of_names(ctx, min_time, max_time);
        self.local.label_values(ctx, name, min_time, max_time, matchers)
    }
}
