//! The loop of one target: wait, fetch, take in, report.

use std::sync::Arc;
use std::time::Duration;

use httpclient::{BodyMemory, Connection, HeaderMap, Url};
use storage::{Append, MemoryAccount};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::clock::{AlignedTime, Clock};
use crate::job::Job;
use crate::layout::Keys;
use crate::metrics::{IntervalMetrics, Metrics};
use crate::options::{DEFAULT_MAX_BODY, StartTimes};
use crate::take_in::{Fetched, TakeIn, TargetState};
use crate::target::Target;
use crate::url::parse;
use crate::workers::Workers;

/// The longest page that `body_size_limit` can allow: lines are counted in 31 bits.
const MAX_PAGE: usize = (1 << 31) - 1;

/// What every loop works with.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) store: Arc<dyn Append>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) workers: Workers,
    pub(crate) bodies: BodyMemory,
    /// Account of pages that are taken in.
    pub(crate) pages: MemoryAccount,
    pub(crate) keys: Keys,
    pub(crate) offset_seed: u64,
    /// How far a scrape may start beside its time and still be stamped with it.
    pub(crate) timestamp_tolerance: Duration,
    pub(crate) exemplars: bool,
    pub(crate) start_times: StartTimes,
    pub(crate) synthesize_start_times: bool,
    pub(crate) type_and_unit_labels: bool,
    pub(crate) metadata_records: bool,
}

/// What a loop is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Run,
    /// Stop after the running scrape and hand over what is known to the next loop of the same target.
    HandOver,
    /// The target is gone: stop, and mark its series stale unless someone else writes them by then.
    Retire,
    /// The process ends: stop after the running scrape and leave the series as they are.
    Stop,
}

/// A loop that was started.
pub(crate) struct RunningLoop {
    pub(crate) command: watch::Sender<Command>,
    pub(crate) task: JoinHandle<TargetState>,
}

/// Starts scraping `target`, after the loop that has `previous` has handed over.
pub(crate) fn start(
    environment: Environment,
    job: Arc<Job>,
    target: Arc<Target>,
    previous: Option<JoinHandle<TargetState>>,
) -> RunningLoop {
    let (command, commands) = watch::channel(Command::Run);
    let workers = environment.workers.clone();
    let task = workers.spawn(async move {
        let state = match previous {
            Some(previous) => previous.await.unwrap_or_default(),
            None => TargetState::default(),
        };
        ScrapeLoop::new(environment, job, target, commands, state).run().await
    });
    RunningLoop { command, task }
}

struct ScrapeLoop {
    environment: Environment,
    job: Arc<Job>,
    target: Arc<Target>,
    commands: watch::Receiver<Command>,
    state: TargetState,
    connection: Connection,
    /// Why the URL cannot be asked for, if so.
    url: Result<Url, String>,
    headers: HeaderMap,
    interval_metrics: IntervalMetrics,
    last_start: Option<Instant>,
    last_size: usize,
}

impl ScrapeLoop {
    fn new(
        environment: Environment,
        job: Arc<Job>,
        target: Arc<Target>,
        commands: watch::Receiver<Command>,
        state: TargetState,
    ) -> Self {
        let interval = i64::try_from(target.interval.as_nanos()).unwrap_or(i64::MAX);
        ScrapeLoop {
            connection: match target.unix_socket() {
                Some(path) => job.client.clone().with_unix_socket(path).connection(),
                None => job.client.connection(),
            },
            url: parse(&target.url),
            headers: job.headers(&target),
            interval_metrics: environment.metrics.interval(&model::duration::format_go(interval)),
            environment,
            job,
            target,
            commands,
            state,
            last_start: None,
            last_size: 0,
        }
    }

    async fn run(mut self) -> TargetState {
        let interval = self.target.interval;
        let (first, grid) = self.first_time();
        let mut ticks = interval_at(first, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut time = AlignedTime::start(grid, nanos(interval), nanos(self.environment.timestamp_tolerance));
        let last_command = loop {
            tokio::select! {
                biased;
                command = next_command(&mut self.commands) => break command,
                _ = ticks.tick() => {}
            }
            let now = self.environment.clock.now_nanos();
            let stamp = time.stamp(now);
            self.scrape(stamp).await;
            self.state.last_start = Some(now);
        };
        if last_command == Command::Retire && !self.state.is_empty() {
            self.retire(&mut ticks).await;
        }
        self.state
    }

    /// When the target's place in its interval comes round, and what the clock shows then. That is in the past if the loop before
    /// this one was to scrape then, and did not come to it.
    fn first_time(&self) -> (Instant, i64) {
        let interval = u64::try_from(self.target.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let (start, now) = (Instant::now(), self.environment.clock.now_nanos());
        let into_interval = u64::try_from(now).unwrap_or(0) % interval;
        let offset = self.target.offset(self.environment.offset_seed);
        let delay = (interval - into_interval + offset) % interval;
        let late = interval - delay;
        let since_last = self.state.last_start.and_then(|last| u64::try_from(now - last).ok());
        let signed = |nanos: u64| i64::try_from(nanos).unwrap_or(i64::MAX);
        match start.checked_sub(Duration::from_nanos(late)) {
            Some(missed) if since_last.is_some_and(|since| since > late + interval / 2) => {
                (missed, now - signed(late))
            }
            _ => (start + Duration::from_nanos(delay), now.saturating_add(signed(delay))),
        }
    }

    async fn scrape(&mut self, stamp: i64) {
        let _running = self.environment.metrics.scrape_begins();
        let start = Instant::now();
        if let Some(last) = self.last_start.replace(start) {
            let length = (start - last).as_secs_f64();
            self.interval_metrics.length.observe(length);
            self.interval_metrics.histogram.observe(length);
        }
        let forced = self.job.forced_error.read().clone();
        let fetched = match forced {
            Some(reason) => Fetched::NotAsked(reason),
            None => self.fetch(start + self.target.timeout).await,
        };
        let work = TakeIn {
            state: std::mem::take(&mut self.state),
            fetched,
            environment: self.environment.clone(),
            job: self.job.clone(),
            target: self.target.clone(),
            stamp,
            start,
            last_size: self.last_size,
        };
        let page = work.page_size();
        match self.environment.workers.run(page, move |scratch| work.run(scratch)).await {
            Some((state, size)) => {
                self.state = state;
                // Of a scrape that failed nothing is known.
                self.last_size = size.unwrap_or(self.last_size);
            }
            None => self.state = TargetState::default(),
        }
        self.environment.metrics.scrape_duration.observe(start.elapsed().as_secs_f64());
    }

    async fn fetch(&mut self, deadline: Instant) -> Fetched {
        let url = match &self.url {
            Ok(url) => url,
            Err(reason) => return Fetched::failed(reason.clone()),
        };
        let expected = self.last_size + self.last_size / 8;
        let mut share = self.environment.bodies.share(expected);
        let mut body = self.environment.workers.buffer(expected);
        let max = max_body(&self.job);
        let outcome = self.connection.get(url, &self.headers, max, deadline, &mut body, &mut share).await;
        if self.target.interval > httpclient::IDLE_TIMEOUT {
            // It would be too old the next time.
            self.connection.close();
        }
        match outcome {
            Ok(head) if head.status.as_u16() == 200 => Fetched::Page {
                body,
                share,
                gzip: head.header("content-encoding") == "gzip",
                content_type: head.header("content-type").to_owned(),
            },
            Ok(head) => {
                self.environment.workers.give_back(body);
                Fetched::failed(format!("server returned HTTP status {}", head.status_text()))
            }
            Err(httpclient::Error::BodyTooLarge) => Fetched::TooLarge,
            Err(httpclient::Error::NoMemory { needed, total }) => {
                // The next attempt waits for as much as it may come to.
                self.last_size = needed.saturating_mul(2).min(max);
                Fetched::NoMemory { total }
            }
            Err(err) => Fetched::failed(err.to_string()),
        }
    }

    /// Waits for two more of the target's times, so that a scraper elsewhere which took the target over can be the
    /// one whose samples count, and then marks all series stale as of the first of them.
    async fn retire(&mut self, ticks: &mut tokio::time::Interval) {
        ticks.tick().await;
        let stamp = self.environment.clock.now_nanos();
        ticks.tick().await;
        tokio::time::sleep(self.target.interval / 10).await;
        let (state, store) = (std::mem::take(&mut self.state), self.environment.store.clone());
        let track_timestamps = self.job.options.track_timestamps_staleness;
        let end = move |scratch: &mut _| state.end(store.as_ref(), track_timestamps, stamp, scratch);
        let wrote = self.environment.workers.run(self.last_size, end).await;
        if let Some(Err(err)) = wrote {
            tracing::warn!(component = "scrape manager", target = %self.target.url, %err, "Stale append failed");
        }
    }
}

/// Waits for anything but [`Command::Run`].
async fn next_command(commands: &mut watch::Receiver<Command>) -> Command {
    match commands.wait_for(|command| *command != Command::Run).await {
        Ok(command) => *command,
        // The pool is gone without a word: that is the end of the process.
        Err(_) => Command::Stop,
    }
}

/// The longest body that is taken; Prometheus' limit is the first length that is refused.
pub(crate) fn max_body(job: &Job) -> usize {
    match job.options.limits.body_size {
        0 => DEFAULT_MAX_BODY,
        limit => usize::try_from(limit - 1).unwrap_or(MAX_PAGE).min(MAX_PAGE),
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
