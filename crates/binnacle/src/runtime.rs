//! The running program as the API sees it: its configuration, reloading it, and what it says about itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use exposition::registry::{Gauge, Registry};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::alerting::Alerting;
use crate::load::{ConfigSource, Loaded, fingerprint, load};
use crate::storage;
use crate::store::Store;
use crate::wiring::{Options, hostname};

/// What holds the configuration and puts a new one in force.
pub(crate) struct Runtime {
    source: ConfigSource,
    options: Options,
    started: i64,
    ready: AtomicBool,
    /// Whether it was asked to end by way of the API.
    quitting: AtomicBool,
    /// The configuration in force; the lock also keeps reloads apart.
    running: Mutex<Running>,
    /// What is kept, for people.
    storage_retention: Mutex<String>,
    last_config_time: AtomicI64,
    /// Of the files of the configuration in force, if somebody follows them and they could be read.
    fingerprint: Mutex<Option<u64>>,
    last_reload_ok: AtomicBool,
    scrape: Arc<scrape::Manager>,
    discovery: discovery::Manager,
    alerting: Alerting,
    store: Store,
    remote_write: Arc<remote::RemoteWrite>,
    remote_read: Arc<remote::RemoteRead>,
    otlp: Option<Arc<otlp::Receiver>>,
    rules: Option<Arc<rules::Manager>>,
    backfills: Option<Arc<rules::Backfills>>,
    query_log: Arc<api::QueryLog>,
    notifications: Arc<api::Notifications>,
    metrics: Metrics,
    stop: CancellationToken,
    reactor: tokio::runtime::Handle,
}

/// What the API tells of the configuration.
#[derive(Default)]
struct Running {
    /// As YAML.
    all: String,
    /// Its scrape jobs, likewise.
    jobs: BTreeMap<String, String>,
    external_labels: BTreeMap<String, String>,
}

struct Metrics {
    reload_success: Gauge,
    reload_time: Gauge,
    ready: Gauge,
}

/// Milliseconds since the Unix epoch.
pub(crate) fn now_millis() -> i64 {
    millis_since_epoch(SystemTime::now())
}

/// Only who follows the files needs it: it reads them all.
fn fingerprint_of(source: &ConfigSource, options: &Options) -> Option<u64> {
    match source {
        ConfigSource::File(file) if options.auto_reload.is_some() => fingerprint(file).ok(),
        ConfigSource::File(_) | ConfigSource::Embedded { .. } => None,
    }
}

/// Threads of this process, by the kernel's count; 0 where it does not say.
fn own_threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn millis_since_epoch(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

impl Runtime {
    #[allow(clippy::too_many_arguments)] // wiring: each part is named once, here
    pub(crate) fn new(
        source: ConfigSource,
        options: Options,
        started: SystemTime,
        scrape: Arc<scrape::Manager>,
        discovery: discovery::Manager,
        alerting: Alerting,
        store: Store,
        remote_write: Arc<remote::RemoteWrite>,
        remote_read: Arc<remote::RemoteRead>,
        otlp: Option<Arc<otlp::Receiver>>,
        rules: Option<Arc<rules::Manager>>,
        backfills: Option<Arc<rules::Backfills>>,
        registry: &Registry,
        stop: CancellationToken,
    ) -> Runtime {
        let metrics = Metrics {
            reload_success: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            reload_time: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
            ready: registry.gauge(
                "prometheus_ready",
                "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
            ),
        };
        let notifications = api::Notifications::new(registry, options.max_notifications_subscribers);
        notifications.add(api::Notice::StartingUp);
        // What counts queries is not shown where there are none.
        let unseen = Registry::new();
        let of_queries = if options.agent.is_some() { &unseen } else { registry };
        Runtime {
            fingerprint: Mutex::new(fingerprint_of(&source, &options)),
            options,
            started: millis_since_epoch(started),
            ready: AtomicBool::new(false),
            quitting: AtomicBool::new(false),
            running: Mutex::default(),
            storage_retention: Mutex::default(),
            last_config_time: AtomicI64::new(0),
            source,
            last_reload_ok: AtomicBool::new(false),
            scrape,
            discovery,
            alerting,
            store,
            remote_write,
            remote_read,
            otlp,
            rules,
            backfills,
            query_log: Arc::new(api::QueryLog::new(of_queries)),
            notifications: Arc::new(notifications),
            metrics,
            stop,
            reactor: tokio::runtime::Handle::current(),
        }
    }

    /// Where the configuration comes from.
    pub(crate) fn source(&self) -> &ConfigSource {
        &self.source
    }

    /// Whether the configuration was taken when it was read last.
    pub(crate) fn last_reload_succeeded(&self) -> bool {
        self.last_reload_ok.load(Ordering::Relaxed)
    }

    /// What [`fingerprint`] said of the files of the configuration in force.
    pub(crate) fn fingerprint(&self) -> Option<u64> {
        *self.fingerprint.lock()
    }

    /// Puts a configuration in force, whole or not at all.
    pub(crate) fn apply(&self, loaded: Loaded) -> anyhow::Result<()> {
        let mut running = self.running.lock();
        // Loops and providers are started here: they need the reactor, whichever thread asks.
        let _reactor = self.reactor.enter();
        let Loaded { config, jobs, job_texts, remote_writes, remote_reads, alerting, rule_groups } = loaded;
        let query_log = api::QueryLog::open(config.query_log_file())
            .with_context(|| format!("opening the query log {:?}", config.query_log_file()))?;
        remote::RemoteWrite::check(&remote_writes)?;
        let external = model::Labels::from_pairs(&config.document().global.external_labels);
        let remote_reads = self.remote_read.prepare(remote_reads, &external)?;
        notifier::Manager::check(&alerting.sets)?;
        let groups = self.rules.as_ref().map(|rules| rules.prepare(rule_groups)).transpose()?;
        let scraped = jobs.iter().map(|job| job.scrape.clone()).collect();
        self.scrape.apply(scraped)?;
        self.alerting.apply(alerting, &external)?;
        self.query_log.switch_to(query_log);
        // Before anything is scraped: a new destination gets what comes from then on.
        self.remote_write.apply(remote_writes, &external)?;
        self.remote_read.apply(remote_reads);
        self.discovery.apply(jobs.into_iter().map(|job| (job.scrape.name, job.providers)));
        if let Some(otlp) = &self.otlp {
            otlp.apply(config.document().otlp.to_translation());
        }
        self.store.apply(&self.options, &config);
        if let (Some(rules), Some(groups)) = (&self.rules, groups) {
            rules.apply(groups, config.rule_settings());
        }
        *self.storage_retention.lock() = storage::shown_retention(&config.retention());
        *running = Running {
            all: config.effective_yaml(),
            jobs: job_texts,
            external_labels: config.external_labels().clone(),
        };
        let now = now_millis();
        self.last_config_time.store(now, Ordering::Relaxed);
        self.metrics.reload_time.set(now as f64 / 1000.0);
        self.note_reload(true);
        Ok(())
    }

    /// Where queries are written down.
    pub(crate) fn query_log(&self) -> Arc<api::QueryLog> {
        Arc::clone(&self.query_log)
    }

    /// What users are told about this server.
    pub(crate) fn notifications(&self) -> Arc<api::Notifications> {
        Arc::clone(&self.notifications)
    }

    fn note_reload(&self, succeeded: bool) {
        match succeeded {
            true => self.notifications.remove(api::Notice::ReloadFailed),
            false => self.notifications.add(api::Notice::ReloadFailed),
        }
        self.last_reload_ok.store(succeeded, Ordering::Relaxed);
        self.metrics.reload_success.set(f64::from(succeeded));
    }

    /// Start-up is over.
    pub(crate) fn set_ready(&self) {
        self.notifications.remove(api::Notice::StartingUp);
        self.ready.store(true, Ordering::Release);
        self.metrics.ready.set(1.0);
    }

    /// The end has begun: requests are refused from now on, and those that run go on.
    pub(crate) fn set_stopping(&self) {
        self.ready.store(false, Ordering::Release);
        self.metrics.ready.set(0.0);
        self.notifications.add(api::Notice::ShuttingDown);
    }
}

impl api::Runtime for Runtime {
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn config_yaml(&self) -> String {
        self.running.lock().all.clone()
    }

    fn scrape_pool_yaml(&self, job: &str) -> Option<String> {
        self.running.lock().jobs.get(job).cloned()
    }

    fn external_labels(&self) -> Vec<(String, String)> {
        self.running.lock().external_labels.clone().into_iter().collect()
    }

    fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        self.alerting.alertmanagers()
    }

    fn rules(&self) -> Option<Arc<rules::Manager>> {
        self.rules.clone()
    }

    fn backfills(&self) -> Option<Arc<rules::Backfills>> {
        self.backfills.clone()
    }

    fn flags(&self) -> Vec<(String, String)> {
        self.options.flags.clone()
    }

    fn build_info(&self) -> api::BuildInfo {
        crate::build::info()
    }

    fn runtime_info(&self) -> api::RuntimeInfo {
        api::RuntimeInfo {
            start_time: self.started,
            cwd: std::env::current_dir().map_or_else(|_| String::new(), |d| d.display().to_string()),
            hostname: hostname(),
            reload_config_success: self.last_reload_ok.load(Ordering::Relaxed),
            last_config_time: self.last_config_time.load(Ordering::Relaxed),
            corruption_count: self.store.corruptions(),
            threads: own_threads(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            storage_retention: self.storage_retention.lock().clone(),
        }
    }

    fn reload(&self) -> Result<(), String> {
        let began = std::time::Instant::now();
        // Before the files are read: a change in between is then seen as one.
        let fingerprint = fingerprint_of(&self.source, &self.options);
        let mut report = String::new();
        let reloaded =
            load(&self.source, &self.options.storage, self.options.features, self.options.agent.is_some())
                .map_err(|e| {
                    report.clone_from(&e.report);
                    e.to_string()
                })
                .and_then(|loaded| self.apply(loaded).map_err(|e| format!("{e:#}")));
        match &reloaded {
            Ok(()) => {
                *self.fingerprint.lock() = fingerprint;
                let took = began.elapsed();
                tracing::info!(duration = ?took, "Completed loading of configuration");
            }
            Err(error) => {
                self.note_reload(false);
                tracing::error!(
                    err = error.as_str(),
                    report = report.trim_end(),
                    "Error reloading config; the old one goes on running"
                );
            }
        }
        reloaded
    }

    fn profiler(&self) -> Option<Arc<dyn api::Profiler>> {
        Some(Arc::new(crate::profiles::Profiler))
    }

    fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    fn quit(&self) -> bool {
        let is_news = !self.quitting.swap(true, Ordering::Relaxed) && !self.stop.is_cancelled();
        if is_news {
            tracing::warn!("Received termination request via web service, exiting gracefully...");
            self.stop.cancel();
        }
        is_news
    }
}
