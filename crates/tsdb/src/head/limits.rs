//! How many series there may be: in all, new ones a minute, and as memory allows.

use std::sync::atomic::Ordering;
use std::time::Instant;

use model::Labels;
use parking_lot::Mutex;
use storage::{AppendError, MemoryAccount, MemoryBudget, MemoryStage};

use super::Head;

/// A label set longer than this is refused: a series notes the number of its labels in a byte.
const MAX_LABELS: usize = 255;

/// What a new series is taken to cost until memory is measured again.
const BYTES_PER_SERIES: u64 = 300;

/// Account of the head in the budget.
const ACCOUNT: &str = "head";

/// What new series are measured against.
pub(super) struct SeriesLimits {
    /// 0 = any number.
    max_series: usize,
    rate: Option<CreationRate>,
    memory: MemoryAccount,
}

/// What is known about a series that may have to be created.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// There is none with these labels.
    New,
    /// The log, which is not read yet, may have it.
    PerhapsKnown,
}

/// Which limits hold for a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Limits,
    /// What a target's scrapes report about themselves, and what was created before.
    LabelsOnly,
}

/// Why a series is not created; the label of the metric that counts it.
#[derive(Clone, Copy)]
pub(super) enum Refusal {
    MaxSeries,
    PerMinute(u32),
    Memory,
    Labels(usize),
}

impl SeriesLimits {
    pub(super) fn new(max_series: usize, per_minute: u32, budget: &MemoryBudget) -> Self {
        SeriesLimits {
            max_series,
            rate: (per_minute > 0).then(|| CreationRate::new(per_minute, Instant::now())),
            memory: budget.account(ACCOUNT),
        }
    }

    pub(super) fn stage(&self) -> MemoryStage {
        self.memory.budget().stage()
    }

    /// A series was created.
    pub(super) fn note_created(&self) {
        self.memory.add(BYTES_PER_SERIES);
    }

    /// What the head holds was measured.
    pub(super) fn note_memory(&self, bytes: usize) {
        self.memory.set(bytes as u64);
    }

    fn check(&self, series: usize, labels: &Labels, bound: Bound, how: Check) -> Result<(), Refusal> {
        let count = labels.len();
        if count > MAX_LABELS {
            return Err(Refusal::Labels(count));
        }
        if bound == Bound::LabelsOnly {
            return Ok(());
        }
        if self.max_series > 0 && series >= self.max_series {
            return Err(Refusal::MaxSeries);
        }
        if self.stage() >= MemoryStage::RefuseSeries {
            return Err(Refusal::Memory);
        }
        // Last, since it counts.
        match &self.rate {
            Some(rate) if how == Check::New && !rate.admit(Instant::now()) => {
                Err(Refusal::PerMinute(rate.most))
            }
            _ => Ok(()),
        }
    }
}

impl Head {
    /// Whether a series may be created. If it is known to be new, it counts as created then.
    pub(super) fn check_limits(&self, labels: &Labels, bound: Bound, how: Check) -> Result<(), AppendError> {
        let series = self.series.load(Ordering::Relaxed);
        self.limits.check(series, labels, bound, how).map_err(|refusal| self.refuse(refusal))
    }

    /// Counts a series that is not created, and says why it is not.
    pub(super) fn refuse(&self, refusal: Refusal) -> AppendError {
        let (reason, text) = match refusal {
            Refusal::MaxSeries => (
                "max_series",
                format!(
                    "the limit of {} series in memory (--storage.tsdb.max-series) is reached",
                    self.limits.max_series
                ),
            ),
            Refusal::PerMinute(most) => (
                "max_series_per_minute",
                format!(
                    "the limit of {most} new series a minute (--storage.tsdb.max-series-per-minute) is reached"
                ),
            ),
            Refusal::Memory => (
                "memory",
                format!(
                    "the memory limit of {} (--memory.limit) is nearly reached: no series are created",
                    model::size::format(
                        i64::try_from(self.limits.memory.budget().limit()).unwrap_or(i64::MAX)
                    )
                ),
            ),
            Refusal::Labels(count) => {
                ("labels", format!("a series of {count} labels: more than {MAX_LABELS} are not stored"))
            }
        };
        self.metrics.refuse_series(reason);
        AppendError::SeriesLimit(text)
    }
}

/// At most so many series in any minute, to the second.
struct CreationRate {
    most: u32,
    began: Instant,
    window: Mutex<Window>,
}

struct Window {
    /// Seconds since `began` of the newest count.
    newest: u64,
    /// Created in each of the last seconds, by second modulo their number.
    counts: [u32; SECONDS as usize],
    total: u32,
}

const SECONDS: u64 = 60;

impl CreationRate {
    fn new(most: u32, now: Instant) -> Self {
        let window = Window { newest: 0, counts: [0; SECONDS as usize], total: 0 };
        CreationRate { most, began: now, window: Mutex::new(window) }
    }

    /// Counts one more, if there may be one.
    fn admit(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.began).as_secs();
        let mut window = self.window.lock();
        window.advance(second);
        if window.total >= self.most {
            return false;
        }
        window.total += 1;
        let at = window.newest % SECONDS;
        if let Some(count) = window.counts.get_mut(at as usize) {
            *count += 1;
        }
        true
    }
}

impl Window {
    /// Forgets what is a minute old.
    fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.newest).min(SECONDS);
        self.newest = self.newest.max(second);
        for at in (0..passed).map(|ago| self.newest.saturating_sub(ago) % SECONDS) {
            if let Some(count) = self.counts.get_mut(at as usize) {
                self.total -= std::mem::take(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_minute_sees_more_new_series_than_allowed() {
        let began = Instant::now();
        let rate = CreationRate::new(10, began);
        let admit = |second: u64, asked: usize| {
            (0..asked).filter(|_| rate.admit(began + Duration::from_secs(second))).count()
        };
        assert_eq!(admit(0, 7), 7);
        assert_eq!(admit(30, 7), 3);
        assert_eq!(admit(59, 7), 0);
        assert_eq!(admit(60, 20), 7);
        assert_eq!(admit(89, 20), 0);
        assert_eq!(admit(90, 20), 3);
        assert_eq!(admit(10_000, 20), 10);
        assert_eq!(admit(10_059, 1), 0);
        assert_eq!(admit(10_060, 1), 1);
        // A clock that some thread read earlier.
        assert_eq!(admit(10_000, 20), 9);
    }
}
