//! What goes wrong, in Prometheus' words.

use promql::{ParseErrors, QueryError};

/// Why the evaluation of a rule failed: a rule's last error.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The expression could not be evaluated.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// It is a text or a range.
    #[error("rule result is not a vector or scalar")]
    NotAVector,
    /// Series that differ only in labels that the rule sets.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameSeries,
    /// Alerts that differ only in labels that the rule sets.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlerts,
    /// More series than the group's limit.
    #[error("exceeded limit of {limit} with {found} series")]
    TooManySeries {
        /// The limit.
        limit: i64,
        /// How many there were.
        found: usize,
    },
    /// More alerts than the group's limit.
    #[error("exceeded limit of {limit} with {found} alerts")]
    TooManyAlerts {
        /// The limit.
        limit: i64,
        /// How many there were.
        found: usize,
    },
    /// The samples could not be stored.
    #[error("{0}")]
    Append(String),
}

impl RuleError {
    /// Whether the evaluation was ended on purpose.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, RuleError::Query(QueryError::Cancelled(_)))
    }
}

/// Why groups cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// An expression is none.
    #[error("{file}: {error}")]
    Expression {
        /// The group's file.
        file: String,
        /// What is wrong with the expression.
        error: ParseErrors,
    },
    /// A group is never due.
    #[error("{file}: group {group:?} has no evaluation interval")]
    NoInterval {
        /// The group's file.
        file: String,
        /// The group's name.
        group: String,
    },
}
