//! Requests that wait, the one that is carried out, and those that are over.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use exposition::registry::Registry;
use parking_lot::{Condvar, Mutex};
use storage::{MemoryBudget, MemoryStage, QueryContext};

use super::fill::{Ended, carry_out};
use super::metrics::Metrics;
use super::plan::{Plan, PlannedGroup};
use super::{Backfill, BackfillError, BackfillOptions, BackfillRequest, BackfillState, Progress};
use crate::group::Group;
use crate::rule::Rule;
use crate::time::Time;

/// So many of those that are over are remembered.
const REMEMBERED: usize = 20;
/// So many reasons of failures are, of each.
const MOST_ERRORS: usize = 10;
/// While memory is short it is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// See [the module](super).
pub struct Backfills {
    options: BackfillOptions,
    metrics: Metrics,
    /// Keeps the names of requests apart from those of before a restart.
    born: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    number: u64,
    waiting: VecDeque<Arc<Job>>,
    running: Option<Arc<Job>>,
    over: VecDeque<Arc<Job>>,
    /// Ends when nothing waits.
    thread: Option<JoinHandle<()>>,
    stopped: bool,
}

/// One request.
pub(super) struct Job {
    id: String,
    plan: Plan,
    status: Mutex<Status>,
    cancelled: AtomicBool,
    /// The query that runs.
    query: Mutex<Option<Arc<QueryContext>>>,
    woken: Condvar,
}

struct Status {
    state: BackfillState,
    requested: Time,
    began: Option<Time>,
    ended: Option<Time>,
    progress: Progress,
}

impl Backfills {
    /// Without any request.
    #[must_use]
    pub fn new(options: BackfillOptions, registry: &Registry) -> Arc<Self> {
        let metrics = Metrics::register(registry, options.max_waiting);
        Arc::new(Backfills { options, metrics, born: Time::now().seconds(), state: Mutex::default() })
    }

    /// Takes a request about these groups. They are evaluated as they are now, whatever is reloaded meanwhile.
    ///
    /// # Errors
    /// When it makes no sense, or too many wait.
    pub fn request(
        self: &Arc<Self>,
        groups: &[Arc<Group>],
        request: &BackfillRequest,
    ) -> Result<Backfill, BackfillError> {
        let now = Time::now();
        let plan = Plan::new(groups, request, self.options.history.oldest(), now)?;
        let mut state = self.state.lock();
        if state.stopped {
            return Err(BackfillError::Stopping);
        }
        if state.running.is_some() && state.waiting.len() >= self.options.max_waiting {
            return Err(BackfillError::TooMany(state.waiting.len()));
        }
        state.number += 1;
        let id = format!("{}-{}", self.born, state.number);
        let job = Arc::new(Job::new(id, plan, now));
        state.waiting.push_back(Arc::clone(&job));
        self.metrics.waiting.set(state.waiting.len() as f64);
        if state.running.is_none() {
            self.begin_next(&mut state);
            if let Some(last) = state.thread.take() {
                // It has nothing left to do.
                let _ = last.join();
            }
            let backfills = Arc::clone(self);
            let thread = std::thread::Builder::new().name("binnacle-backfill".to_owned());
            match thread.spawn(move || backfills.work()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => {
                    job.update(|progress| progress.errors.push(format!("cannot start a thread: {error}")));
                    self.end(&mut state, &job, BackfillState::Failed);
                    state.running = None;
                }
            }
        }
        drop(state);
        Ok(job.told())
    }

    /// Those that wait and run, then those that are over, the last ones first.
    #[must_use]
    pub fn list(&self) -> Vec<Backfill> {
        let state = self.state.lock();
        let all = state.running.iter().chain(&state.waiting).chain(state.over.iter().rev());
        all.map(|job| job.told()).collect()
    }

    /// Ends one; one that is over stays as it is. None: there is none of this name.
    pub fn cancel(&self, id: &str) -> Option<Backfill> {
        let mut state = self.state.lock();
        let mut all = state.running.iter().chain(&state.waiting).chain(&state.over);
        let job = all.find(|job| job.id == id).cloned()?;
        job.cancel();
        if let Some(at) = state.waiting.iter().position(|waiting| waiting.id == id) {
            state.waiting.remove(at);
            self.metrics.waiting.set(state.waiting.len() as f64);
            self.end(&mut state, &job, BackfillState::Cancelled);
        }
        drop(state);
        Some(job.told())
    }

    /// Ends all, for good; waits for what is being written.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        for job in std::mem::take(&mut state.waiting) {
            self.end(&mut state, &job, BackfillState::Cancelled);
        }
        state.running.iter().for_each(|job| job.cancel());
        let thread = state.thread.take();
        drop(state);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn begin_next(&self, state: &mut State) -> Option<Arc<Job>> {
        state.running = state.waiting.pop_front();
        self.metrics.waiting.set(state.waiting.len() as f64);
        self.metrics.running.set(f64::from(u8::from(state.running.is_some())));
        state.running.clone()
    }

    fn end(&self, state: &mut State, job: &Arc<Job>, how: BackfillState) {
        let mut status = job.status.lock();
        (status.state, status.ended) = (how, Some(Time::now()));
        drop(status);
        self.metrics.ended(how);
        state.over.push_back(Arc::clone(job));
        while state.over.len() > REMEMBERED {
            state.over.pop_front();
        }
    }

    fn work(&self) {
        let mut next = self.state.lock().running.clone();
        while let Some(job) = next {
            let how = self.carry_out(&job);
            job.tell_end(how);
            let mut state = self.state.lock();
            self.end(&mut state, &job, how);
            next = self.begin_next(&mut state);
        }
    }

    fn carry_out(&self, job: &Arc<Job>) -> BackfillState {
        {
            let mut status = job.status.lock();
            (status.state, status.began) = (BackfillState::Running, Some(Time::now()));
        }
        let Plan { start, end, .. } = job.plan;
        tracing::info!(
            component = "backfill",
            id = job.id,
            start,
            end,
            evaluations = job.plan.evaluations(),
            "The past of recording rules is being filled in"
        );
        // A flaw in the evaluation is not to end later requests.
        let work = || carry_out(&job.plan, &self.options, job, &self.metrics);
        let how = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) if job.status.lock().progress.failures == 0 => BackfillState::Done,
            Ok(Ok(())) => BackfillState::Failed,
            Ok(Err(Ended::Cancelled)) => BackfillState::Cancelled,
            Ok(Err(Ended::Broken(why))) => job.fail(why),
            Err(_) => job.fail("the evaluation panicked".to_owned()),
        };
        // What the last query held is accounted until it is gone.
        *job.query.lock() = None;
        how
    }
}

impl Job {
    fn new(id: String, plan: Plan, requested: Time) -> Self {
        let state = BackfillState::Waiting;
        let status = Status { state, requested, began: None, ended: None, progress: Progress::default() };
        Job {
            id,
            plan,
            status: Mutex::new(status),
            cancelled: AtomicBool::new(false),
            query: Mutex::new(None),
            woken: Condvar::new(),
        }
    }

    fn cancel(&self) {
        let query = self.query.lock();
        self.cancelled.store(true, Ordering::Relaxed);
        query.iter().for_each(|context| context.cancel());
        self.woken.notify_all();
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// A query runs with this context, which is cancelled if the request is.
    pub(super) fn run(&self, context: &Arc<QueryContext>) -> Arc<QueryContext> {
        let mut query = self.query.lock();
        if self.is_cancelled() {
            context.cancel();
        }
        *query = Some(Arc::clone(context));
        Arc::clone(context)
    }

    /// Waits as long as queries are held back for want of memory; an error once it is cancelled.
    pub(super) fn wait_for_memory(&self, memory: &MemoryBudget) -> Result<(), ()> {
        let mut query = self.query.lock();
        *query = None;
        while !self.is_cancelled() && memory.stage() >= MemoryStage::HoldQueries {
            self.woken.wait_for(&mut query, LOOK_AGAIN);
        }
        if self.is_cancelled() { Err(()) } else { Ok(()) }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.status.lock().progress);
    }

    pub(super) fn note_error(&self, group: &PlannedGroup, rule: &Rule, error: &str) {
        let text = format!("{}: {}: {error}", group.group.name(), rule.name());
        self.update(|progress| {
            if progress.errors.len() < MOST_ERRORS && !progress.errors.contains(&text) {
                progress.errors.push(text);
            }
        });
    }

    fn fail(&self, why: String) -> BackfillState {
        self.update(|progress| progress.errors.insert(0, why));
        BackfillState::Failed
    }

    fn tell_end(&self, how: BackfillState) {
        let Progress { samples, blocks, failures, errors, .. } = &self.status.lock().progress;
        let (component, id) = ("backfill", &self.id);
        match (how, errors.first()) {
            (BackfillState::Failed, err) => {
                let err = err.map_or("", String::as_str);
                let message = "Not all of the past of recording rules was filled in";
                tracing::warn!(component, id, samples, blocks, failures, err, "{message}");
            }
            _ => {
                let (state, message) = (how.as_str(), "Filling in the past of recording rules has ended");
                tracing::info!(component, id, state, samples, blocks, "{message}");
            }
        }
    }

    fn told(&self) -> Backfill {
        let status = self.status.lock();
        Backfill {
            id: self.id.clone(),
            state: status.state,
            groups: self.plan.described(),
            left_out: self.plan.left_out.clone(),
            start: self.plan.start,
            end: self.plan.end,
            requested: status.requested,
            began: status.began,
            ended: status.ended,
            evaluations: self.plan.evaluations(),
            progress: status.progress.clone(),
        }
    }
}
