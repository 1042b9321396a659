//! Puts the parts together, in the order in which a sample passes them, and takes them apart again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use exposition::registry::Registry;
use model::Regex;
use tokio_util::sync::CancellationToken;

use crate::features::Features;
use crate::load::{ConfigSource, Loaded, load};
use crate::runtime::Runtime;
use crate::{build, signals};

/// How often data past its retention is looked for.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// What the flags say, checked.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) listen: Vec<String>,
    pub(crate) external_host: Option<String>,
    pub(crate) external_path: String,
    pub(crate) route_prefix: String,
    pub(crate) read_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) enable_lifecycle: bool,
    pub(crate) cors_origin: Regex,
    pub(crate) storage_path: PathBuf,
    pub(crate) retention: Duration,
    pub(crate) no_lockfile: bool,
    pub(crate) max_series: usize,
    pub(crate) lookback_delta: Duration,
    pub(crate) query_timeout: Duration,
    pub(crate) query_max_concurrency: usize,
    pub(crate) query_max_samples: u64,
    pub(crate) features: Features,
    pub(crate) timestamp_tolerance: Duration,
    pub(crate) discovery_interval: Duration,
    pub(crate) flags: Vec<(String, String)>,
}

/// Runs until a signal or `/-/quit` ends it.
pub(crate) fn run(options: &Options, source: ConfigSource) -> anyhow::Result<()> {
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
    let first = load(&source, options.retention)
        .map_err(|e| anyhow::anyhow!("the configuration is refused\n{}", e.report))?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("binnacle-io")
        .build()
        .context("cannot start the runtime")?;
    let outcome = tokio.block_on(serve(options, source, first, registry));
    // Threads that are stuck in a system call must not keep the process from ending.
    tokio.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn serve(
    options: &Options,
    source: ConfigSource,
    first: Loaded,
    registry: Registry,
) -> anyhow::Result<()> {
    let started = std::time::SystemTime::now();
    let stop = CancellationToken::new();

    // The addresses first: one that is taken is worth knowing before a long replay.
    let opened = CancellationToken::new();
    let mut waiting = Vec::new();
    for address in &options.listen {
        let listener = api::listen(address).await?;
        let (prefix, opened) = (options.route_prefix.clone(), opened.clone());
        waiting.push(tokio::spawn(async move { api::serve_starting(listener, &prefix, opened).await }));
    }

    let head = open_head(options, &registry).await?;
    let blocks = open_blocks(options, &registry).await?;
    // From here on requests wait the moment until they can be answered in full.
    opened.cancel();
    let mut listeners = Vec::new();
    for listener in waiting {
        listeners.push(listener.await?);
    }
    let discovery_metrics = discovery::Metrics::register(&registry);
    let discovery = discovery::Manager::new("scrape", &discovery_metrics, options.discovery_interval);
    let scrape = Arc::new(scrape::Manager::new(
        scrape::ManagerOptions { timestamp_tolerance: options.timestamp_tolerance, ..Default::default() },
        Arc::clone(&head) as Arc<dyn storage::Append>,
        &registry,
    ));
    let follow = tokio::spawn({
        let (scrape, sets) = (Arc::clone(&scrape), discovery.subscribe());
        async move { scrape.run(sets).await }
    });

    let runtime = Arc::new(Runtime::new(
        source,
        options.clone(),
        started,
        Arc::clone(&scrape),
        discovery,
        Arc::clone(&head),
        Arc::clone(&blocks),
        &registry,
        stop.clone(),
    ));
    runtime.apply(first).context("the configuration cannot be put in force")?;
    signals::handle(Arc::clone(&runtime), stop.clone())?;
    let maintenance = tokio::spawn(maintain(Arc::clone(&head), Arc::clone(&blocks), stop.clone()));

    let api = build_api(options, &head, &blocks, &scrape, &runtime, &registry)?;
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| tokio::spawn(api::serve(Arc::clone(&api), listener, stop.clone())))
        .collect();
    runtime.set_ready();
    announce(options);

    stop.cancelled().await;
    for server in servers {
        let _ = server.await;
    }
    scrape.stop().await;
    follow.abort();
    let _ = maintenance.await;
    tokio::task::spawn_blocking(move || head.close())
        .await
        .context("closing the storage")?
        .context("closing the storage")?;
    tracing::info!("See you next time!");
    Ok(())
}

async fn open_head(options: &Options, registry: &Registry) -> anyhow::Result<Arc<tsdb::Head>> {
    let head_options = tsdb::HeadOptions {
        retention: options.retention,
        max_series: options.max_series,
        lock_file: !options.no_lockfile,
        ..Default::default()
    };
    let (dir, registry) = (options.storage_path.clone(), registry.clone());
    let shown = dir.display().to_string();
    let opened = tokio::task::spawn_blocking(move || tsdb::Head::open(&dir, head_options, &registry)).await?;
    Ok(Arc::new(opened.with_context(|| format!("opening the data directory {shown}"))?))
}

/// After the head, which locks the directory.
async fn open_blocks(options: &Options, registry: &Registry) -> anyhow::Result<Arc<block::Blocks>> {
    let (dir, registry) = (options.storage_path.clone(), registry.clone());
    let opened = tokio::task::spawn_blocking(move || block::Blocks::open(&dir, &registry)).await?;
    Ok(Arc::new(opened.context("opening the blocks")?))
}

/// Drops what is past its retention and looks for new blocks, until `stop`.
async fn maintain(head: Arc<tsdb::Head>, blocks: Arc<block::Blocks>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(MAINTENANCE_INTERVAL) => {}
        }
        let (head, blocks) = (Arc::clone(&head), Arc::clone(&blocks));
        let now = crate::runtime::now_millis();
        let outcome = tokio::task::spawn_blocking(move || {
            let of_head = head.maintain(now);
            // Neither a clock that is ahead nor a sample from the future may cost blocks.
            let newest = head.time_range().map(|(_, newest)| newest.min(now));
            blocks.maintain(newest)?;
            anyhow::Ok(of_head?)
        })
        .await;
        let failure = match outcome {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(err = failure, "Dropping old data has failed; trying again in a minute");
    }
}

fn build_api(
    options: &Options,
    head: &Arc<tsdb::Head>,
    blocks: &Arc<block::Blocks>,
    scrape: &Arc<scrape::Manager>,
    runtime: &Arc<Runtime>,
    registry: &Registry,
) -> anyhow::Result<Arc<api::Api>> {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let features = options.features;
    let engine = Arc::new(promql::Engine::new(promql::EngineOptions {
        lookback_delta_ms: millis(options.lookback_delta),
        max_samples: options.query_max_samples,
        parse: promql::ParseOptions {
            experimental_functions: features.experimental_functions,
            extended_range_selectors: features.extended_range_selectors,
            binop_fill_modifiers: features.binop_fill_modifiers,
            ..Default::default()
        },
        delayed_name_removal: features.delayed_name_removal,
        ..Default::default()
    }));
    let store = storage::Merged::new(vec![Arc::clone(head) as _, Arc::clone(blocks) as _]);
    let own = registry.clone();
    let build = nodestats::BuildInfo { version: build::VERSION.to_owned(), revision: build::info().revision };
    let node = nodestats::NodeStats::new(&nodestats::Options { build, ..Default::default() })?;
    let pages = vec![
        api::MetricsPage { path: "/metrics".to_owned(), gather: Arc::new(move || own.gather()) },
        api::MetricsPage { path: "/metrics/node".to_owned(), gather: Arc::new(move || node.collect()) },
    ];
    let first_port = options.listen.first().and_then(|a| a.rsplit(':').next()).unwrap_or("9090");
    let host = options.external_host.clone().unwrap_or_else(|| format!("{}:{first_port}", hostname()));
    Ok(api::Api::new(
        api::Options {
            route_prefix: options.route_prefix.clone(),
            external_path: options.external_path.clone(),
            external_address: scrape::ExternalAddress { host, listen_port: first_port.to_owned() },
            max_connections: options.max_connections,
            read_timeout: options.read_timeout,
            max_concurrency: options.query_max_concurrency,
            query_timeout: options.query_timeout,
            max_samples: options.query_max_samples,
            enable_lifecycle: options.enable_lifecycle,
            cors_origin: options.cors_origin.clone(),
        },
        engine,
        Arc::new(store),
        Arc::clone(head),
        Arc::clone(blocks),
        Arc::clone(scrape),
        Arc::clone(runtime) as Arc<dyn api::Runtime>,
        registry.clone(),
        pages,
    ))
}

/// The machine's name.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Tells the user where to look.
fn announce(options: &Options) {
    for address in &options.listen {
        let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
        let host = if matches!(host, "" | "0.0.0.0" | "[::]") { "localhost" } else { host };
        tracing::info!(
            url = format!("http://{host}:{port}{}/", options.external_path),
            data = options.storage_path.display().to_string(),
            "Server is ready to receive web requests. Ctrl-C stops it."
        );
    }
}
