//! The threads that evaluate groups when they are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::group::Group;
use crate::metrics::Metrics;
use crate::schedule;
use crate::time::Time;

/// What a thread is to do when it is due.
pub(crate) enum Task {
    /// Evaluate a group that was last evaluated for this time, or would have been.
    Evaluate(Arc<Group>, Time),
    /// Mark the series of a group that is no more as ended, at the time when it ended.
    EndSeries(Arc<Group>, Time),
}

struct Entry {
    due: Instant,
    /// Keeps entries apart that are due at once.
    number: u64,
    task: Task,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// Threads come into being as they are needed, up to a limit.
pub(crate) struct Threads {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct State {
    queue: BinaryHeap<Reverse<Entry>>,
    number: u64,
    threads: Vec<JoinHandle<()>>,
    /// How many wait.
    idle: usize,
    /// One of them waits until something is due, the others until they are told.
    watched: bool,
    running: bool,
    stopped: bool,
}

impl Threads {
    pub(crate) fn new(limit: usize, metrics: Metrics) -> Arc<Self> {
        let limit = limit.max(1);
        metrics.threads.set(limit as f64);
        Arc::new(Threads { state: Mutex::default(), changed: Condvar::new(), limit, metrics })
    }

    /// The first evaluation is at the end of the interval that has begun.
    pub(crate) fn begin(self: &Arc<Self>, group: Arc<Group>) {
        let last = group.slot(Time::now());
        self.evaluate_next(group, last);
    }

    fn evaluate_next(self: &Arc<Self>, group: Arc<Group>, last: Time) {
        let interval = group.interval();
        // Not for longer than the interval, also if the clock was set back.
        let wait = u64::try_from(last.after(interval).since(Time::now())).unwrap_or(0);
        self.schedule(Duration::from_nanos(wait).min(interval), Task::Evaluate(group, last));
    }

    /// What is to be done after `wait`.
    pub(crate) fn schedule(self: &Arc<Self>, wait: Duration, task: Task) {
        let mut state = self.state.lock();
        if state.stopped {
            return;
        }
        state.number += 1;
        let entry = Entry { due: Instant::now() + wait, number: state.number, task };
        let first = state.queue.peek().is_none_or(|Reverse(earliest)| entry < *earliest);
        state.queue.push(Reverse(entry));
        if first {
            self.changed.notify_all();
        }
        if state.running && state.threads.is_empty() {
            self.add(&mut state);
        }
    }

    /// Begins to work.
    pub(crate) fn run(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.running = !state.stopped;
        if state.running && state.threads.is_empty() {
            self.add(&mut state);
        }
    }

    fn add(self: &Arc<Self>, state: &mut State) {
        let threads = Arc::clone(self);
        let name = format!("binnacle-rules-{}", state.threads.len());
        match std::thread::Builder::new().name(name).spawn(move || threads.work()) {
            Ok(thread) => state.threads.push(thread),
            Err(error) => tracing::error!(
                component = "rule manager",
                err = %error,
                "Cannot start a thread; rules may be evaluated late"
            ),
        }
    }

    fn work(self: &Arc<Self>) {
        while let Some(task) = self.take() {
            self.metrics.busy.inc();
            // A flaw in one group is not to end all alerts.
            let done = catch_unwind(AssertUnwindSafe(|| carry_out(&task)));
            self.metrics.busy.dec();
            match (task, done) {
                (Task::Evaluate(group, _), Ok(last)) if !group.is_replaced() => {
                    self.evaluate_next(group, last);
                }
                (Task::Evaluate(group, last), Err(_)) => {
                    tracing::error!(
                        component = "rule manager",
                        file = group.file(),
                        group = group.name(),
                        "Evaluating the group panicked"
                    );
                    self.evaluate_next(group, last);
                }
                _ => {}
            }
        }
    }

    /// Waits for something that is due; none when it is time to end.
    fn take(self: &Arc<Self>) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if state.stopped {
                return None;
            }
            let due = state.queue.peek().map(|Reverse(entry)| entry.due);
            match due {
                Some(due) if due <= Instant::now() => break,
                Some(due) if !state.watched => {
                    state.watched = true;
                    state.idle += 1;
                    self.changed.wait_until(&mut state, due);
                    state.idle -= 1;
                    state.watched = false;
                }
                _ => {
                    state.idle += 1;
                    self.changed.wait(&mut state);
                    state.idle -= 1;
                }
            }
        }
        let task = state.queue.pop().map(|Reverse(entry)| entry.task);
        if state.idle > 0 {
            self.changed.notify_one();
        } else if !state.queue.is_empty() && state.threads.len() < self.limit {
            self.add(&mut state);
        }
        task
    }

    /// Ends all threads; waits for what they are at.
    pub(crate) fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        state.queue.clear();
        self.changed.notify_all();
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        for thread in threads {
            let _ = thread.join();
        }
    }
}

/// The time for which was evaluated.
fn carry_out(task: &Task) -> Time {
    match task {
        Task::EndSeries(group, at) => {
            group.end_series(*at);
            *at
        }
        Task::Evaluate(group, last) => {
            let (at, missed) = schedule::next(*last, Time::now(), group.interval());
            group.note_missed(missed);
            group.evaluate(at);
            at
        }
    }
}
