//! One ceiling for the memory of everything that grows with data and queries, and what is given up as it nears.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// Measures against running out of memory, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryStage {
    /// There is enough.
    Enough,
    /// What can be read or computed again is dropped.
    ShrinkCaches,
    /// New queries wait, and fail if that lasts; series that have ended are moved to disk early. Both at once: what
    /// holds queries back must not be left to stay.
    HoldQueries,
    /// No series are created. Samples of those that there are go on being stored. Queries that need more memory end.
    RefuseSeries,
}

/// From which share of the limit on, in per cent, each is taken. The last tenth is for what cannot be refused: the
/// samples of known series, and writing to disk what makes room.
const STAGES: [(u64, MemoryStage); 3] =
    [(90, MemoryStage::RefuseSeries), (80, MemoryStage::HoldQueries), (75, MemoryStage::ShrinkCaches)];

/// The budget that components account to; cloned to share. Without a limit it only counts.
///
/// Accounts tell what is held by whom, at once. [`note_resident`](Self::note_resident) tells now and then what the
/// process has in all, with what nobody accounts for. What counts is the larger of both.
#[derive(Clone, Default)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// 0 = none.
    limit: u64,
    accounted: AtomicI64,
    resident: AtomicU64,
    /// `accounted` when `resident` was measured: what came since comes on top.
    accounted_then: AtomicI64,
    /// An account, and what is set aside for it.
    reserve: OnceLock<(Arc<AtomicI64>, u64)>,
    accounts: Mutex<Vec<(&'static str, Arc<AtomicI64>)>>,
}

impl MemoryBudget {
    /// A budget of `limit` bytes; 0 for no limit.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        MemoryBudget(Arc::new(Shared { limit, ..Shared::default() }))
    }

    /// The limit in bytes; 0 for none.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// The account of a component; the same one for the same name.
    #[must_use]
    pub fn account(&self, component: &'static str) -> MemoryAccount {
        let mut accounts = self.0.accounts.lock();
        let known = accounts.iter().find(|(name, _)| *name == component).map(|(_, bytes)| Arc::clone(bytes));
        let bytes = known.unwrap_or_else(|| {
            let bytes = Arc::default();
            accounts.push((component, Arc::clone(&bytes)));
            bytes
        });
        MemoryAccount { budget: self.clone(), bytes }
    }

    /// What every component accounts for, in bytes.
    #[must_use]
    pub fn components(&self) -> Vec<(&'static str, u64)> {
        let accounts = self.0.accounts.lock();
        accounts.iter().map(|(name, bytes)| (*name, unsigned(bytes.load(Ordering::Relaxed)))).collect()
    }

    /// Says how much memory, in bytes, the process has that no file stands behind.
    pub fn note_resident(&self, bytes: u64) {
        self.0.accounted_then.store(self.0.accounted.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.resident.store(bytes, Ordering::Relaxed);
    }

    /// Bytes in use.
    #[must_use]
    pub fn used(&self) -> u64 {
        let accounted = self.0.accounted.load(Ordering::Relaxed);
        let since = accounted.saturating_sub(self.0.accounted_then.load(Ordering::Relaxed));
        let resident = self.0.resident.load(Ordering::Relaxed).saturating_add_signed(since);
        resident.max(unsigned(accounted))
    }

    /// What has to be done now.
    #[must_use]
    pub fn stage(&self) -> MemoryStage {
        if self.0.limit == 0 {
            return MemoryStage::Enough;
        }
        let reserve = self.0.reserve.get();
        let unused = reserve
            .map_or(0, |(used, set_aside)| set_aside.saturating_sub(unsigned(used.load(Ordering::Relaxed))));
        let percent = u128::from(self.used().saturating_add(unused)) * 100 / u128::from(self.0.limit);
        let stage = STAGES.iter().find(|(from, _)| percent >= u128::from(*from));
        stage.map_or(MemoryStage::Enough, |(_, stage)| *stage)
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget").field("limit", &self.0.limit).field("used", &self.used()).finish()
    }
}

/// Where a component says how much memory it holds.
#[derive(Debug, Clone)]
pub struct MemoryAccount {
    budget: MemoryBudget,
    bytes: Arc<AtomicI64>,
}

impl MemoryAccount {
    /// Adds bytes.
    pub fn add(&self, bytes: u64) {
        self.change(signed(bytes));
    }

    /// Takes bytes off.
    pub fn sub(&self, bytes: u64) {
        self.change(-signed(bytes));
    }

    /// Replaces what was said before.
    pub fn set(&self, bytes: u64) {
        let before = self.bytes.swap(signed(bytes), Ordering::Relaxed);
        self.budget.0.accounted.fetch_add(signed(bytes) - before, Ordering::Relaxed);
    }

    /// Sets memory aside for what cannot be refused when its time comes: measures are taken as if it were used already.
    /// To be called once a budget; later calls do nothing.
    pub fn reserve(&self, bytes: u64) {
        let _first = self.budget.0.reserve.set((Arc::clone(&self.bytes), bytes));
    }

    /// The budget.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    fn change(&self, by: i64) {
        self.bytes.fetch_add(by, Ordering::Relaxed);
        self.budget.0.accounted.fetch_add(by, Ordering::Relaxed);
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_taken_one_after_the_other_as_the_limit_nears() {
        let budget = MemoryBudget::new(1000);
        let account = budget.account("head");
        let stages = [0, 749, 750, 800, 899, 900, 5000].map(|bytes| {
            account.set(bytes);
            budget.stage()
        });
        use MemoryStage::{Enough, HoldQueries, RefuseSeries, ShrinkCaches};
        assert_eq!(
            stages,
            [Enough, Enough, ShrinkCaches, HoldQueries, HoldQueries, RefuseSeries, RefuseSeries]
        );
    }

    #[test]
    fn without_a_limit_nothing_is_ever_given_up() {
        let budget = MemoryBudget::default();
        budget.account("head").set(u64::MAX);
        budget.note_resident(u64::MAX);
        assert_eq!(budget.stage(), MemoryStage::Enough);
    }

    #[test]
    fn what_nobody_accounts_for_counts_and_what_came_since_it_was_measured_too() {
        let budget = MemoryBudget::new(1000);
        let (head, queries) = (budget.account("head"), budget.account("queries"));
        head.add(300);
        budget.note_resident(500);
        assert_eq!(budget.used(), 500);
        queries.add(100);
        assert_eq!(budget.used(), 600);
        queries.sub(100);
        head.sub(50);
        assert_eq!(budget.used(), 450);
        budget.note_resident(100);
        assert_eq!(budget.used(), 250);
    }

    #[test]
    fn what_is_set_aside_counts_as_used_and_using_it_changes_nothing() {
        let budget = MemoryBudget::new(1000);
        let (pages, head) = (budget.account("pages"), budget.account("head"));
        pages.reserve(200);
        head.set(600);
        assert_eq!((budget.used(), budget.stage()), (600, MemoryStage::HoldQueries));
        pages.add(200);
        assert_eq!((budget.used(), budget.stage()), (800, MemoryStage::HoldQueries));
        pages.add(100);
        assert_eq!((budget.used(), budget.stage()), (900, MemoryStage::RefuseSeries));
    }

    #[test]
    fn a_component_has_one_account() {
        let budget = MemoryBudget::default();
        budget.account("queries").add(3);
        budget.account("queries").add(4);
        budget.account("head").add(1);
        assert_eq!(budget.components(), [("queries", 7), ("head", 1)]);
    }
}
