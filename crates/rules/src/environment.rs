//! What all groups share.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::Labels;
use parking_lot::{Mutex, RwLock};
use promql::{Overrides, QueryResult, Value, VectorSample};
use storage::{MemoryAccount, QueryContext};

use crate::error::RuleError;
use crate::options::ManagerOptions;

/// Account of rules in the memory budget.
const ACCOUNT: &str = "rules";

/// What the configuration says for all groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// Labels of the server, which templates may use.
    pub external_labels: Labels,
    /// How far back rules look whose groups do not say.
    pub query_offset: Duration,
}

/// See the module.
pub(crate) struct Environment {
    pub(crate) options: ManagerOptions,
    settings: RwLock<Arc<Settings>>,
    /// How often the settings changed.
    changes: AtomicU64,
    /// Queries are to end.
    stopping: AtomicBool,
    /// How many rules are evaluated on threads of their own.
    beside: AtomicUsize,
    account: MemoryAccount,
    /// The queries that run.
    running: Mutex<Vec<Arc<QueryContext>>>,
}

/// A query that runs, for as long as this is there.
pub(crate) struct Running<'a> {
    environment: &'a Environment,
    context: Arc<QueryContext>,
}

impl Deref for Running<'_> {
    type Target = QueryContext;

    fn deref(&self) -> &QueryContext {
        &self.context
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.environment.running.lock();
        if let Some(at) = running.iter().position(|context| Arc::ptr_eq(context, &self.context)) {
            running.swap_remove(at);
        }
    }
}

impl Environment {
    pub(crate) fn new(options: ManagerOptions) -> Self {
        Environment {
            account: options.memory.account(ACCOUNT),
            options,
            settings: RwLock::default(),
            changes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            beside: AtomicUsize::new(0),
            running: Mutex::default(),
        }
    }

    pub(crate) fn settings(&self) -> (Arc<Settings>, u64) {
        let settings = self.settings.read();
        (Arc::clone(&settings), self.changes.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, new: Settings) {
        let mut settings = self.settings.write();
        if **settings != new {
            *settings = Arc::new(new);
            self.changes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Evaluations are to end at the rule that they are at.
    pub(crate) fn stop(&self) {
        let running = self.running.lock();
        self.stopping.store(true, Ordering::Relaxed);
        running.iter().for_each(|context| context.cancel());
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Sets aside up to `wanted` further threads for rules of one group.
    pub(crate) fn lease(&self, wanted: usize) -> usize {
        let mut count = 0;
        let _ = self.beside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
            count = wanted.min(self.options.concurrent_rules.saturating_sub(busy));
            Some(busy + count)
        });
        count
    }

    pub(crate) fn give_back(&self, threads: usize) {
        self.beside.fetch_sub(threads, Ordering::Relaxed);
    }

    /// For one evaluation of one expression.
    pub(crate) fn context(&self) -> Running<'_> {
        let deadline = Instant::now() + self.options.query_timeout;
        let context = QueryContext::new(Some(deadline), self.options.engine.options().max_samples)
            .with_memory(self.account.clone());
        let context = Arc::new(context);
        let mut running = self.running.lock();
        if self.is_stopping() {
            context.cancel();
        }
        running.push(Arc::clone(&context));
        Running { environment: self, context }
    }

    /// For what the expressions of a group read in common.
    pub(crate) fn common_context(&self) -> QueryContext {
        QueryContext::new(None, self.options.engine.options().max_samples).with_memory(self.account.clone())
    }

    /// The samples that `query` gives.
    pub(crate) fn query(&self, query: &str, at_ms: i64) -> Result<Vec<VectorSample>, RuleError> {
        let ManagerOptions { engine, reader, .. } = &self.options;
        samples_of(engine.instant(&**reader, &self.context(), query, at_ms, &Overrides::default())?)
    }
}

/// A scalar is a sample without labels.
pub(crate) fn samples_of(result: QueryResult) -> Result<Vec<VectorSample>, RuleError> {
    match result.value {
        Value::Vector(samples) => Ok(samples),
        Value::Scalar { t, v } => Ok(vec![VectorSample { labels: Labels::empty(), t, v, histogram: None }]),
        Value::String { .. } | Value::Matrix(_) => Err(RuleError::NotAVector),
    }
}
