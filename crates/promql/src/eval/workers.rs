//! Threads for queries: as many as the engine was given, shared by the queries that run at the moment.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Answers with fewer series than this are computed on one thread.
const SERIES_FOR_THREADS: usize = 32;

/// The same where nobody waits for the answer: a thread that is started costs more than it saves in time.
const UNHURRIED_SERIES_FOR_THREADS: usize = 4096;

/// The engine's threads, as one query sees them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workers<'e> {
    threads: usize,
    series_for_threads: usize,
    busy: &'e AtomicUsize,
}

/// Gives threads back.
struct Lease<'e> {
    count: usize,
    busy: &'e AtomicUsize,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.busy.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl<'e> Workers<'e> {
    pub(crate) fn new(threads: usize, busy: &'e AtomicUsize) -> Self {
        Workers { threads: threads.max(1), series_for_threads: SERIES_FOR_THREADS, busy }
    }

    /// The same for queries of which there are many and for whose answers nobody waits.
    pub(crate) fn unhurried(self) -> Self {
        Workers { series_for_threads: UNHURRIED_SERIES_FOR_THREADS, ..self }
    }

    /// Whether so many series are work for several threads.
    pub(crate) fn pay_for(&self, series: usize) -> bool {
        series >= self.series_for_threads
    }

    /// How many threads there are for all queries.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Takes up to `wanted` threads that are not at work for any query, besides the caller's own.
    fn lease(&self, wanted: usize) -> Lease<'e> {
        let mut count = 0;
        let limit = self.threads.saturating_sub(1);
        let _ = self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
            count = wanted.min(limit.saturating_sub(busy));
            Some(busy + count)
        });
        Lease { count, busy: self.busy }
    }

    /// Splits `items` into groups of neighbours and calls `work` on each group, on several threads if `heavy`.
    /// How the items are grouped depends on their number and the engine's options alone, and results come in
    /// order: what is computed from them does not depend on which thread was quicker.
    pub(crate) fn run<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        heavy: bool,
        work: impl Fn(Vec<T>) -> R + Sync,
    ) -> Vec<R> {
        self.run_in_groups(items, 2 * self.threads, heavy, work)
    }

    /// The same in at most so many groups; of what `work` returns there are as many.
    pub(crate) fn run_in_groups<T: Send, R: Send>(
        &self,
        items: Vec<T>,
        groups: usize,
        heavy: bool,
        work: impl Fn(Vec<T>) -> R + Sync,
    ) -> Vec<R> {
        let groups = items.len().min(groups).max(1);
        let mut queue: Vec<Mutex<Option<Vec<T>>>> = Vec::with_capacity(groups);
        let total = items.len();
        let mut rest = items.into_iter();
        for g in 0..groups {
            let share = total * (g + 1) / groups - total * g / groups;
            queue.push(Mutex::new(Some(rest.by_ref().take(share).collect())));
        }
        let results: Vec<Mutex<Option<R>>> = (0..groups).map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        let serve = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (Some(group), Some(result)) = (queue.get(at), results.get(at)) else { return };
                if let Some(group) = group.lock().take() {
                    *result.lock() = Some(work(group));
                }
            }
        };
        if heavy && groups > 1 {
            let lease = self.lease(groups - 1);
            std::thread::scope(|scope| {
                for _ in 0..lease.count {
                    scope.spawn(serve);
                }
                serve();
            });
        } else {
            serve();
        }
        results.into_iter().filter_map(Mutex::into_inner).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_thread_made_them() {
        let busy = AtomicUsize::new(0);
        let workers = Workers::new(4, &busy);
        let sums: Vec<Vec<u32>> = workers.run((0..100).collect(), true, |group| group);
        assert_eq!(sums.concat(), (0..100).collect::<Vec<u32>>());
        assert_eq!(sums.len(), 8);
        assert_eq!(busy.load(Ordering::Relaxed), 0);
    }
}
