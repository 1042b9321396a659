//! What requests of the API server count.

use exposition::registry::{Counter, CounterVec, SummaryVec};

/// Metrics of the requests made; whoever uses the caches registers them under the names of the program that it stands in for.
#[derive(Clone)]
pub struct RequestMetrics {
    /// Answers by status code.
    pub by_status: CounterVec,
    /// How long lists took, by path.
    pub duration: SummaryVec,
    /// Lists and watches that failed.
    pub failures: Counter,
}
