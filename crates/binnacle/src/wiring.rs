//! Puts the parts together, in the order in which a sample passes them, and takes them apart again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use exposition::registry::Registry;
use exposition::{Family, MetricKind};
use model::{Labels, Regex};
use tokio_util::sync::CancellationToken;

use crate::alerting::Alerting;
use crate::features::Features;
use crate::load::{ConfigSource, Loaded, load};
use crate::runtime::{Runtime, now_millis};
use crate::storage_flags::StorageOptions;
use crate::store::Store;
use crate::{auto_reload, build, open_files, past, signals, storage};

/// What the flags say, checked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) listen: Vec<String>,
    pub(crate) external_host: Option<String>,
    pub(crate) external_path: String,
    pub(crate) route_prefix: String,
    pub(crate) limits: httpserver::Limits,
    pub(crate) web_config: Option<PathBuf>,
    /// Where the process reads its own metrics, if not at the address that others use.
    pub(crate) own_socket: Option<PathBuf>,
    pub(crate) enable_lifecycle: bool,
    pub(crate) enable_admin: bool,
    /// The messages that the receiver of remote write takes; none: it is off.
    pub(crate) write_messages: Option<Vec<remote::MessageType>>,
    pub(crate) enable_otlp: bool,
    pub(crate) max_request_memory: u64,
    pub(crate) remote_flush_deadline: Duration,
    pub(crate) remote_backlog_size: u64,
    pub(crate) remote_read: remote::ReadServerOptions,
    pub(crate) remote_read_concurrent_limit: usize,
    pub(crate) page_title: Option<String>,
    pub(crate) user_assets: Option<PathBuf>,
    /// Without a slash at the end; none: the machine's name and port.
    pub(crate) external_url: Option<String>,
    pub(crate) console_templates: PathBuf,
    pub(crate) console_libraries: PathBuf,
    pub(crate) max_notifications_subscribers: usize,
    pub(crate) search_max_limit: Option<usize>,
    pub(crate) cors_origin: Regex,
    pub(crate) storage: StorageOptions,
    pub(crate) notifier: notifier::ManagerOptions,
    /// How the log is kept, in an agent; it is in the directory of `storage`.
    pub(crate) agent: Option<tsdb::AgentOptions>,
    /// How often the files of the configuration are looked at for changes.
    pub(crate) auto_reload: Option<std::time::Duration>,
    pub(crate) lookback_delta: Duration,
    pub(crate) query_timeout: Duration,
    pub(crate) query_max_concurrency: usize,
    pub(crate) memory: ::storage::MemoryBudget,
    pub(crate) query_max_samples: u64,
    pub(crate) query_max_memory: u64,
    pub(crate) rules: RuleLimits,
    pub(crate) features: Features,
    pub(crate) timestamp_tolerance: Duration,
    pub(crate) discovery_interval: Duration,
    pub(crate) flags: Vec<(String, String)>,
}

/// How rules are evaluated.
#[derive(Debug, Clone)]
pub(crate) struct RuleLimits {
    pub(crate) outage_tolerance: Duration,
    pub(crate) grace_period: Duration,
    pub(crate) resend_delay: Duration,
    /// Zero: those of a group take turns.
    pub(crate) concurrent_rules: usize,
    pub(crate) concurrent_groups: usize,
    pub(crate) max_waiting_backfills: usize,
}

/// Runs until a signal or `/-/quit` ends it.
pub(crate) fn run(mut options: Options, source: ConfigSource) -> anyhow::Result<()> {
    let registry = Registry::new();
    exposition::process_metrics(&registry);
    let info = build::info();
    registry.info(
        "prometheus_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which prometheus was built, and the goos and goarch for the build.",
        &[
            ("version", &info.version),
            ("revision", &info.revision),
            ("branch", &info.branch),
            ("goversion", &info.compiler),
            ("goos", std::env::consts::OS),
            ("goarch", build::go_arch()),
            ("tags", ""),
        ],
    );
    // A wrong configuration is refused before anything is touched.
    let first = load(&source, &options.storage, options.features, options.agent.is_some())
        .map_err(|e| anyhow::anyhow!("the configuration is refused\n{}", e.report))?;
    storage::complete(&mut options, &first.config);
    let tokio = runtime("binnacle-io")?;
    // Scraping computes and may wait for the storage where its pages arrive; whoever asks must not wait for that.
    let scraping = runtime("binnacle-scrape")?;
    // What is sent on is encoded there: requests must not wait for that either.
    let sending = sending_runtime()?;
    register_tasks(&registry, tokio.handle(), scraping.handle());
    open_files::raise_limit();
    let outcome =
        tokio.block_on(serve(&options, source, first, registry, scraping.handle(), sending.handle()));
    // Threads that are stuck in a system call must not keep the process from ending.
    scraping.shutdown_timeout(Duration::from_secs(1));
    sending.shutdown_timeout(Duration::from_secs(1));
    tokio.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn runtime(name: &str) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name(name)
        .build()
        .context("cannot start the runtime")
}

fn sending_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .thread_name("binnacle-remote")
        .build()
        .context("cannot start the runtime")
}

/// Shows how many tasks there are: each target has one.
fn register_tasks(registry: &Registry, io: &tokio::runtime::Handle, scraping: &tokio::runtime::Handle) {
    let runtimes = [("io", io.clone()), ("scrape", scraping.clone())];
    registry.collector(move |out| {
        let mut tasks =
            Family::new("binnacle_tasks", "Tasks that have begun and not ended.", MetricKind::Gauge);
        for (name, runtime) in &runtimes {
            let labels = Labels::from_pairs([("runtime", *name)]);
            tasks.push(labels, runtime.metrics().num_alive_tasks() as f64);
        }
        out.push(tasks);
    });
}

async fn serve(
    options: &Options,
    source: ConfigSource,
    first: Loaded,
    registry: Registry,
    scraping: &tokio::runtime::Handle,
    sending: &tokio::runtime::Handle,
) -> anyhow::Result<()> {
    let started = std::time::SystemTime::now();
    let stop = CancellationToken::new();

    // The addresses first: one that is taken is worth knowing before a long replay.
    let opened = CancellationToken::new();
    let web = options.web_config.as_deref().map(|path| (path, Arc::new(config::read_web_options) as _));
    let server = httpserver::Server::new(options.limits.clone(), web, &registry).with_context(|| {
        format!("--web.config.file={:?}", options.web_config.as_deref().unwrap_or(Path::new("")))
    })?;
    let mut waiting = Vec::new();
    for address in &options.listen {
        let listener = httpserver::listen(address).await?;
        tracing::info!(
            address = listener.local_addr()?.to_string(),
            tls = server.speaks_tls(),
            http2 = server.speaks_http2(),
            "Listening on"
        );
        let (server, prefix, opened) = (server.clone(), options.route_prefix.clone(), opened.clone());
        let agent = options.agent.is_some();
        waiting.push(tokio::spawn(async move {
            api::serve_starting(server, listener, &prefix, agent, opened).await
        }));
    }

    crate::memory::register(&options.memory, &registry);
    tokio::spawn(crate::memory::watch(options.memory.clone(), stop.clone()));
    let store = Store::open(options, &registry).await?;
    // From here on requests wait the moment until they can be answered in full.
    opened.cancel();
    let mut listeners = Vec::new();
    for listener in waiting {
        listeners.push(listener.await?);
    }
    let discovery_metrics = discovery::Metrics::register(&registry);
    let discovery = discovery::Manager::new("scrape", &discovery_metrics, options.discovery_interval);
    let alerting = Alerting::new(options, &discovery_metrics, &registry);
    let scrape = Arc::new(scrape::Manager::new(
        scrape::ManagerOptions {
            timestamp_tolerance: options.timestamp_tolerance,
            // An agent has no ring of them, and sends on all there are.
            exemplars: options.features.exemplar_storage || options.agent.is_some(),
            start_times: options.features.scraped_start_times(),
            synthesize_start_times: options.features.start_synthesis,
            type_and_unit_labels: options.features.type_and_unit_labels,
            metadata_records: options.features.metadata_wal_records,
            memory: options.memory.clone(),
            runtime: Some(scraping.clone()),
            ..Default::default()
        },
        store.appender(),
        &registry,
    ));
    let follow = tokio::spawn({
        let (scrape, sets) = (Arc::clone(&scrape), discovery.subscribe());
        async move { scrape.run(sets).await }
    });

    let remote_write = remote_write(options, &store, &scrape, &registry, sending);
    let remote_read = remote_read(options, &store, &registry, sending);
    let otlp = options.enable_otlp.then(|| otlp_receiver(options, &store, &registry));
    let engine = Arc::new(engine(options));
    let rules = store.db().map(|_| {
        let queried = Arc::clone(&remote_read) as Arc<dyn ::storage::Select>;
        rule_manager(options, &engine, queried, &store, alerting.sink(), &registry)
    });
    let backfills = store.db().map(|db| {
        let queried = Arc::clone(&remote_read) as Arc<dyn ::storage::Select>;
        past::backfills(options, &engine, queried, db, &registry)
    });
    let runtime = Arc::new(Runtime::new(
        source,
        options.clone(),
        started,
        Arc::clone(&scrape),
        discovery,
        alerting.clone(),
        store.clone(),
        Arc::clone(&remote_write),
        Arc::clone(&remote_read),
        otlp.clone(),
        rules.clone(),
        backfills.clone(),
        &registry,
        stop.clone(),
    ));
    runtime.apply(first).context("the configuration cannot be put in force")?;
    tokio::spawn(Arc::clone(&remote_write).run(stop.clone()));
    signals::handle(Arc::clone(&runtime), stop.clone())?;
    if let Some(interval) = options.auto_reload {
        tokio::spawn(auto_reload::follow(Arc::clone(&runtime), interval, stop.clone()));
    }
    let api = build_api(options, engine, &store, remote_read, &scrape, &runtime, otlp, &registry)?;
    let closing = CancellationToken::new();
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(api::serve(Arc::clone(&api), server.clone(), listener, closing.clone())))
        .collect();
    if let Some(path) = &options.own_socket {
        let socket = httpserver::PrivateSocket::bind(path)
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        tokio::spawn(api::serve_own_metrics(Arc::clone(&api), socket, stop.clone()));
    }
    // Scraping runs already: what it brings is in the log, and can be read when the rest of the log is.
    let replayed = store.replay(&stop).await;
    let upkeep = replayed.as_ref().is_ok_and(|replayed| *replayed).then(|| {
        runtime.set_ready();
        rules.iter().for_each(|rules| rules.start());
        announce(options, server.speaks_tls());
        store.begin_upkeep(&remote_write, &stop)
    });
    let upkeep = upkeep.transpose().context("starting the upkeep of the storage")?;
    if replayed.is_err() {
        stop.cancel();
    }

    stop.cancelled().await;
    // From here on requests are refused, and who asks is told why; those that run go on until the servers stop.
    runtime.set_stopping();
    store.stop_upkeep();
    if let Some(backfills) = backfills {
        let _ = tokio::task::spawn_blocking(move || backfills.stop()).await;
    }
    if let Some(rules) = rules {
        let _ = tokio::task::spawn_blocking(move || rules.stop()).await;
    }
    scrape.stop().await;
    follow.abort();
    alerting.stop().await;
    // A panic there was logged; what is in the head must be saved all the same.
    let sending = Arc::clone(&remote_write);
    let _ = tokio::task::spawn_blocking(move || sending.stop()).await;
    runtime.notifications().shut_down();
    closing.cancel();
    for server in servers {
        let _ = server.await;
    }
    if let Some(upkeep) = upkeep {
        upkeep.ended().await;
    }
    let closed = tokio::task::spawn_blocking(move || store.close()).await;
    closed.context("closing the storage")?.context("closing the storage")?;
    remote_write.logs_are_closed();
    replayed?;
    tracing::info!("See you next time!");
    Ok(())
}

/// Sends on what is stored.
fn remote_write(
    options: &Options,
    store: &Store,
    scrape: &Arc<scrape::Manager>,
    registry: &Registry,
    runtime: &tokio::runtime::Handle,
) -> Arc<remote::RemoteWrite> {
    let scrape = Arc::clone(scrape);
    let options = remote::SenderOptions {
        data: options.storage.path.clone(),
        flush_deadline: options.remote_flush_deadline,
        backlog_size: options.remote_backlog_size,
        type_and_unit_labels: options.features.type_and_unit_labels,
        memory: options.memory.clone(),
        metadata: Arc::new(move || families(&scrape)),
        runtime: runtime.clone(),
    };
    remote::RemoteWrite::new(options, store.logs(), registry)
}

/// What is stored here, and what other servers have.
fn remote_read(
    options: &Options,
    store: &Store,
    registry: &Registry,
    runtime: &tokio::runtime::Handle,
) -> Arc<remote::RemoteRead> {
    let margin = 2 * i64::try_from(options.storage.db.head.chunk_range.as_millis()).unwrap_or(0);
    let stored = store.db();
    // Of the first blocks' time there may be more elsewhere: a server that starts is not scraped from at once.
    let start = move || {
        let blocks = stored.as_ref().map(|db| db.blocks().current()).unwrap_or_default();
        blocks.iter().map(|block| block.meta().min_time).min().unwrap_or_else(now_millis) + margin
    };
    Arc::new(remote::RemoteRead::new(store.reader(), Arc::new(start), runtime.clone(), registry))
}

/// What targets say about their metrics, each saying once.
fn families(scrape: &scrape::Manager) -> Vec<remote::FamilyMetadata> {
    let view = scrape.targets(None);
    let mut seen = std::collections::HashSet::new();
    let all = view.active.iter().flat_map(|target| &target.metadata.families);
    let all = all.map(|family| remote::FamilyMetadata {
        name: family.metric.to_string(),
        kind: family.kind.as_str().to_owned(),
        help: family.help.to_string(),
        unit: family.unit.to_string(),
    });
    all.filter(|family| seen.insert(family.clone())).collect()
}

/// Evaluates queries and rules.
fn engine(options: &Options) -> promql::Engine {
    let features = options.features;
    promql::Engine::new(promql::EngineOptions {
        lookback_delta_ms: i64::try_from(options.lookback_delta.as_millis()).unwrap_or(i64::MAX),
        max_samples: options.query_max_samples,
        max_bytes: options.query_max_memory,
        parse: features.expressions(),
        delayed_name_removal: features.delayed_name_removal,
        use_start_timestamps: features.use_start_timestamps,
        type_and_unit_labels: features.type_and_unit_labels,
        per_step_stats: features.per_step_stats,
        ..Default::default()
    })
}

/// Evaluates rules, over what queries see.
fn rule_manager(
    options: &Options,
    engine: &Arc<promql::Engine>,
    queried: Arc<dyn ::storage::Select>,
    store: &Store,
    alerts: Arc<dyn rules::Notify>,
    registry: &Registry,
) -> Arc<rules::Manager> {
    let RuleLimits {
        outage_tolerance, grace_period, resend_delay, concurrent_rules, concurrent_groups, ..
    } = options.rules;
    let memory = options.memory.clone();
    let rules = rules::ManagerOptions {
        external_url: rules::ExternalUrl { url: options.external_url(), path: options.external_path.clone() },
        outage_tolerance,
        grace_period,
        resend_delay,
        concurrent_rules,
        concurrent_groups,
        query_timeout: options.query_timeout,
        ..rules::ManagerOptions::new(Arc::clone(engine), queried, store.appender(), alerts, memory)
    };
    Arc::new(rules::Manager::new(rules, registry))
}

impl Options {
    /// Host and port by which users reach the server.
    fn external_host(&self) -> String {
        let host = || format!("{}:{}", hostname(), self.first_port());
        self.external_host.clone().unwrap_or_else(host)
    }

    fn first_port(&self) -> &str {
        self.listen.first().and_then(|address| address.rsplit(':').next()).unwrap_or("9090")
    }

    /// The URL by which users reach the server, without a slash at the end.
    fn external_url(&self) -> String {
        self.external_url.clone().unwrap_or_else(|| format!("http://{}", self.external_host()))
    }
}

#[allow(clippy::too_many_arguments)] // wiring: each part is named once, here
fn build_api(
    options: &Options,
    engine: Arc<promql::Engine>,
    store: &Store,
    queried: Arc<dyn ::storage::Select>,
    scrape: &Arc<scrape::Manager>,
    runtime: &Arc<Runtime>,
    otlp_receiver: Option<Arc<otlp::Receiver>>,
    registry: &Registry,
) -> anyhow::Result<Arc<api::Api>> {
    let features = options.features;
    let own = registry.clone();
    let build = nodestats::BuildInfo { version: build::VERSION.to_owned(), revision: build::info().revision };
    let node = nodestats::NodeStats::new(&nodestats::Options { build, ..Default::default() })?;
    let pages = vec![
        api::MetricsPage { path: "/metrics".to_owned(), gather: Arc::new(move || own.gather()) },
        api::MetricsPage { path: "/metrics/node".to_owned(), gather: Arc::new(move || node.collect()) },
    ];
    Ok(api::Api::new(
        api::Options {
            route_prefix: options.route_prefix.clone(),
            external_path: options.external_path.clone(),
            external_address: scrape::ExternalAddress {
                host: options.external_host(),
                listen_port: options.first_port().to_owned(),
            },
            read_timeout: options.limits.read_timeout,
            max_concurrency: options.query_max_concurrency,
            query_timeout: options.query_timeout,
            max_samples: options.query_max_samples,
            memory: options.memory.clone(),
            enable_lifecycle: options.enable_lifecycle,
            enable_admin: options.enable_admin,
            search_max_limit: options.search_max_limit,
            page_title: options.page_title.clone(),
            user_assets: options.user_assets.clone(),
            consoles: api::Consoles {
                templates: options.console_templates.clone(),
                libraries: options.console_libraries.clone(),
                external_url: options.external_url(),
            },
            features: features.listed(options.agent.is_some()),
            notifications: runtime.notifications(),
            cors_origin: options.cors_origin.clone(),
            write_receiver: options
                .write_messages
                .clone()
                .map(|accepted| receiver(options, accepted, store, registry)),
            otlp_receiver,
            max_request_memory: options.max_request_memory,
            queried: Some(Arc::clone(&queried)),
            read_server: Arc::new(remote::ReadServer::new(queried, options.remote_read.clone(), registry)),
            max_reads: match options.remote_read_concurrent_limit {
                0 => tokio::sync::Semaphore::MAX_PERMITS,
                limit => limit,
            },
            query_log: runtime.query_log(),
            active_queries: store.db().and_then(|_| active_queries(options)),
        },
        engine,
        store.db(),
        Arc::clone(scrape),
        Arc::clone(runtime) as Arc<dyn api::Runtime>,
        registry.clone(),
        pages,
    ))
}

/// Takes what others write.
fn receiver(
    options: &Options,
    accepted: Vec<remote::MessageType>,
    store: &Store,
    registry: &Registry,
) -> Arc<remote::Receiver> {
    let features = options.features;
    let receiver = remote::ReceiverOptions {
        accepted,
        start_zeros: features.start_zeros,
        type_and_unit_labels: features.type_and_unit_labels,
        metadata: features.metadata_wal_records,
    };
    Arc::new(remote::Receiver::new(store.appender(), receiver, &options.memory, registry))
}

/// Takes metrics by OTLP, translated as the configuration says that is put in force.
fn otlp_receiver(options: &Options, store: &Store, registry: &Registry) -> Arc<otlp::Receiver> {
    let features = &options.features;
    let receiver = otlp::ReceiverOptions {
        deltas: features.otlp_deltas,
        lookback_delta: i64::try_from(options.lookback_delta.as_millis()).unwrap_or(i64::MAX),
        type_and_unit_labels: features.type_and_unit_labels,
        start_zeros: features.start_zeros,
        start_times: features.start_times,
        metadata: features.metadata_wal_records,
    };
    Arc::new(otlp::Receiver::new(store.appender(), receiver, &options.memory, registry))
}

/// The file that says which queries run. Without it they run as well.
fn active_queries(options: &Options) -> Option<Arc<api::ActiveQueries>> {
    let path = options.storage.path.join("queries.active");
    match api::ActiveQueries::open(&path, options.query_max_concurrency) {
        Ok((active, unfinished)) => {
            if let Some(queries) = unfinished {
                tracing::info!(
                    component = "activeQueryTracker",
                    queries,
                    "These queries didn't finish in prometheus' last run:"
                );
            }
            Some(active)
        }
        Err(error) => {
            tracing::error!(file = path.display().to_string(), %error, "cannot note which queries run");
            None
        }
    }
}

/// The machine's name.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Tells the user where to look.
fn announce(options: &Options, tls: bool) {
    let scheme = if tls { "https" } else { "http" };
    for address in &options.listen {
        let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
        let host = if matches!(host, "" | "0.0.0.0" | "[::]") { "localhost" } else { host };
        tracing::info!(
            url = format!("{scheme}://{host}:{port}{}/", options.external_path),
            data = options.storage.path.display().to_string(),
            "Server is ready to receive web requests. Ctrl-C stops it."
        );
    }
}
