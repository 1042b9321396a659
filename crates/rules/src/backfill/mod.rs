//! The past of a recording rule: what it would have recorded, had it been there. Evaluated over what is stored, and written
//! as blocks beside the others.
//!
//! [`Backfills`] takes requests, carries out one at a time on a thread of its own ([`queue`]), and tells how they go. What is
//! to be evaluated for which times is laid down in a [`plan`]; [`fill`] goes through it, block by block in time and rule by
//! rule in their order, so that a rule finds what those before it recorded; [`step`] makes series of what an expression gave.

mod fill;
mod metrics;
mod plan;
mod queue;
mod step;

use std::sync::Arc;
use std::time::Duration;

use promql::Engine;
use storage::{MemoryBudget, Select, SeriesSamples};

use crate::time::Time;

pub use queue::Backfills;

/// With what the past is evaluated, and how much of it at once.
#[derive(Clone)]
pub struct BackfillOptions {
    /// Evaluates expressions: one with few threads, since nobody waits for it.
    pub engine: Arc<Engine>,
    /// What expressions read.
    pub reader: Arc<dyn Select>,
    /// Where samples go.
    pub history: Arc<dyn History>,
    /// How long an expression may take for the time of one block.
    pub query_timeout: Duration,
    /// What is held in memory is accounted to it; while it is short nothing new is begun.
    pub memory: MemoryBudget,
    /// Requests that may wait for the one that is carried out.
    pub max_waiting: usize,
}

/// What is stored, and can be added to at any time.
pub trait History: Send + Sync {
    /// Length of the blocks that are written, in milliseconds.
    fn block_range(&self) -> i64;
    /// Time of the oldest sample, in milliseconds, about.
    fn oldest(&self) -> Option<i64>;
    /// The samples that there are already.
    fn stored(&self) -> Arc<dyn Select>;
    /// Blocks are about to be written, until what is returned is dropped.
    fn fill_in(&self) -> Box<dyn FillIn + '_>;
}

/// Writes blocks.
pub trait FillIn {
    /// Writes these series, in order of their labels, whose samples are from `min_time` to before `max_time`: whole or not at
    /// all. When it returns they can be read. Returns how many samples that were.
    ///
    /// # Errors
    /// When they cannot be written.
    fn write(
        &self,
        series: &[SeriesSamples],
        min_time: i64,
        max_time: i64,
    ) -> Result<u64, Box<dyn std::error::Error + Send + Sync>>;
}

/// Which rules are to be evaluated for which times. Of each list that is not empty something must match.
#[derive(Debug, Clone, Default)]
pub struct BackfillRequest {
    /// Names of rules.
    pub rules: Vec<String>,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Files of groups.
    pub files: Vec<String>,
    /// The first time, in milliseconds.
    pub start: i64,
    /// The last time, in milliseconds.
    pub end: i64,
    /// How far apart the times are, beginning with the first; by default they are those of the group's own evaluations.
    pub step: Option<Duration>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackfillError {
    /// No rules were named.
    #[error("name the recording rules to evaluate: by rule_group[], rule_name[] or file[]")]
    NothingNamed,
    /// No rules are named so.
    #[error("no recording rule of the running configuration is named so")]
    NoRules,
    /// Only alerting rules are.
    #[error("only alerting rules are named so, which have no past to record: {0}")]
    OnlyAlerting(String),
    /// The last time is before the first.
    #[error("the end is before the start")]
    EndBeforeStart,
    /// The times are too near to one another.
    #[error("the step must be at least 1s")]
    ShortStep,
    /// The groups have no evaluation in the time for which there is something stored.
    #[error("no evaluation of these groups is in the time for which samples are stored")]
    NoTimes,
    /// Too many wait.
    #[error("{0} requests to fill in the past of rules wait already (--rules.max-waiting-backfills)")]
    TooMany(usize),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillState {
    /// Others are before it.
    Waiting,
    /// It is being carried out.
    Running,
    /// Everything was evaluated.
    Done,
    /// Something was not, for a reason that is told; the rest was.
    Failed,
    /// It was ended by a user, or by the end of the server. Blocks that were written stay.
    Cancelled,
}

impl BackfillState {
    /// `running`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BackfillState::Waiting => "waiting",
            BackfillState::Running => "running",
            BackfillState::Done => "done",
            BackfillState::Failed => "failed",
            BackfillState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_over(self) -> bool {
        !matches!(self, BackfillState::Waiting | BackfillState::Running)
    }
}

/// Rules of a group that are evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfilledGroup {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// How far apart the times are.
    pub step: Duration,
    /// Names of its rules, in their order.
    pub rules: Vec<String>,
}

/// A request and what became of it so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Backfill {
    /// What it is called.
    pub id: String,
    /// How far it has come.
    pub state: BackfillState,
    /// In the order in which they are evaluated.
    pub groups: Vec<BackfilledGroup>,
    /// Alerting rules that are named so.
    pub left_out: Vec<String>,
    /// The first time, in milliseconds.
    pub start: i64,
    /// The last time, in milliseconds.
    pub end: i64,
    /// When it was asked for.
    pub requested: Time,
    /// When it began.
    pub began: Option<Time>,
    /// When it ended.
    pub ended: Option<Time>,
    /// Evaluations to be made: of each rule one for each time.
    pub evaluations: u64,
    /// Those that were.
    pub progress: Progress,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Evaluations that were made.
    pub evaluations: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Samples written.
    pub samples: u64,
    /// Blocks written.
    pub blocks: u64,
    /// What is before this time is written, in milliseconds.
    pub written_until: Option<i64>,
    /// Why evaluations failed: the first reasons.
    pub errors: Vec<String>,
}
