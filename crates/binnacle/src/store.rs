//! What the program writes to: the whole database, or the log of an agent.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use config::Config;
use exposition::Registry;
use tokio_util::sync::CancellationToken;

use crate::runtime::now_millis;
use crate::wiring::Options;
use crate::{replay_progress, storage};

/// How often what an agent's series hold is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Clone)]
pub(crate) enum Store {
    Server(Arc<tsdb::Db>),
    Agent(Arc<tsdb::Agent>),
}

/// What looks after a store while it runs.
pub(crate) enum Upkeep {
    Thread(std::thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl Store {
    /// Opens the directory. Samples can be appended from now on.
    pub(crate) async fn open(options: &Options, registry: &Registry) -> anyhow::Result<Store> {
        let (path, db) = (options.storage.path.clone(), options.storage.db.clone());
        let (agent, registry) = (options.agent.clone(), registry.clone());
        let shown = path.display().to_string();
        let opened = tokio::task::spawn_blocking(move || match agent {
            Some(agent) => tsdb::Agent::open(&path, agent, &registry).map(|store| Store::Agent(store.into())),
            None => tsdb::Db::open_replaying(&path, db, &registry).map(|store| Store::Server(store.into())),
        });
        opened.await?.with_context(|| format!("opening the data directory {shown}"))
    }

    /// Replays the log, if that was not done yet; `false` when the server was stopped meanwhile.
    pub(crate) async fn replay(&self, stop: &CancellationToken) -> anyhow::Result<bool> {
        let Store::Server(db) = self else { return Ok(!stop.is_cancelled()) };
        let replaying = Arc::clone(db);
        let mut replay = tokio::task::spawn_blocking(move || replaying.replay());
        let outcome = tokio::select! {
            outcome = &mut replay => outcome?,
            never = replay_progress::show(db.head().replay_progress()) => match never {},
            () = stop.cancelled() => {
                // Closing it ends the replay; what was appended meanwhile is in the log.
                let closing = Arc::clone(db);
                tokio::task::spawn_blocking(move || closing.close()).await?.context("closing the storage")?;
                replay.await?
            }
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(tsdb::OpenError::Closed) => Ok(false),
            Err(error) => Err(error).context("replaying the log"),
        }
    }

    pub(crate) fn appender(&self) -> Arc<dyn ::storage::Append> {
        match self {
            Store::Server(db) => Arc::clone(db) as _,
            Store::Agent(agent) => Arc::clone(agent) as _,
        }
    }

    pub(crate) fn reader(&self) -> Arc<dyn ::storage::Select> {
        match self {
            Store::Server(db) => Arc::clone(db) as _,
            Store::Agent(_) => Arc::new(::storage::Unreadable),
        }
    }

    pub(crate) fn logs(&self) -> Arc<dyn tsdb::Followed> {
        match self {
            Store::Server(db) => Arc::clone(db.head()) as _,
            Store::Agent(agent) => Arc::clone(agent) as _,
        }
    }

    /// The database, if there is one.
    pub(crate) fn db(&self) -> Option<Arc<tsdb::Db>> {
        match self {
            Store::Server(db) => Some(Arc::clone(db)),
            Store::Agent(_) => None,
        }
    }

    /// Repairs of the log so far.
    pub(crate) fn corruptions(&self) -> u64 {
        match self {
            Store::Server(db) => db.head().corruptions(),
            Store::Agent(agent) => agent.corruptions(),
        }
    }

    /// Puts the section `storage` in force.
    pub(crate) fn apply(&self, options: &Options, config: &Config) {
        match self {
            Store::Server(db) => storage::apply(db, &options.storage, config),
            Store::Agent(agent) => agent.set_out_of_order_window(storage::out_of_order_window(config)),
        }
    }

    /// Begins to keep memory and disk bounded.
    pub(crate) fn begin_upkeep(
        &self,
        sent: &Arc<remote::RemoteWrite>,
        stop: &CancellationToken,
    ) -> std::io::Result<Upkeep> {
        match self {
            Store::Server(db) => {
                let db = Arc::clone(db);
                let thread = std::thread::Builder::new().name("binnacle-upkeep".to_owned());
                thread.spawn(move || db.run_upkeep()).map(Upkeep::Thread)
            }
            Store::Agent(agent) => {
                let keeping = keep_bounded(Arc::clone(agent), Arc::clone(sent), stop.clone());
                Ok(Upkeep::Task(tokio::spawn(keeping)))
            }
        }
    }

    /// Tells upkeep to end.
    pub(crate) fn stop_upkeep(&self) {
        if let Store::Server(db) = self {
            db.stop_upkeep();
        }
    }

    pub(crate) fn close(&self) -> std::io::Result<()> {
        match self {
            Store::Server(db) => db.close(),
            Store::Agent(agent) => agent.close(),
        }
    }
}

impl Upkeep {
    /// Waits until it has ended. A panic there was logged; what is in the store must be saved all the same.
    pub(crate) async fn ended(self) {
        match self {
            Upkeep::Thread(thread) => {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            Upkeep::Task(task) => {
                let _ = task.await;
            }
        }
    }
}

/// Truncates an agent's log from time to time, by what was sent, until `stop`.
async fn keep_bounded(agent: Arc<tsdb::Agent>, sent: Arc<remote::RemoteWrite>, stop: CancellationToken) {
    let every = agent.options().truncate_frequency;
    let mut truncating = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let mut measuring = tokio::time::interval(MEASURE_EVERY);
    truncating.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let (truncate, agent, sent) = tokio::select! {
            () = stop.cancelled() => return,
            _ = truncating.tick() => (true, Arc::clone(&agent), Arc::clone(&sent)),
            _ = measuring.tick() => (false, Arc::clone(&agent), Arc::clone(&sent)),
        };
        let work = move || match truncate {
            true => agent.truncate(sent.lowest_sent(), now_millis()),
            false => {
                agent.note_memory();
                Ok(())
            }
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
            tracing::warn!(err = %error, "failed to truncate WAL");
        }
    }
}
