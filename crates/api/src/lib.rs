//! HTTP API v1 as Prometheus serves it, `/metrics`, lifecycle endpoints and the embedded page.
//!
//! The path of a request: [`httpserver`] accepts and lets in → [`server`](serve) reads forms → `routes` finds the handler →
//! the handler reads its parameters, asks engine, store or scraper, and writes JSON → `reply` compresses.

mod active_queries;
mod admin;
mod agent;
mod backfill;
mod bodies;
mod consoles;
mod debug;
mod explain;
mod features;
mod federate;
mod fuzzy;
mod json;
mod label_json;
mod lifecycle;
mod lookup;
mod metrics;
mod notifications;
mod openapi;
mod otlp_metrics;
mod pace;
mod page;
mod points;
mod query;
mod query_log;
mod remote_read;
mod remote_write;
mod reply;
mod request;
mod routes;
mod rule_groups;
mod search;
mod self_metrics;
mod series;
mod server;
mod starting;
mod status;
mod targets;
mod user_files;
mod view;

use std::sync::Arc;
use std::time::Duration;

use exposition::Family;
use exposition::registry::Registry;
use promql::Engine;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::reply::{ApiError, ErrorKind};

pub use active_queries::ActiveQueries;
pub use consoles::Consoles;
pub use debug::{CpuProfile, ProfileError, Profiler};
pub use features::Feature;
pub use notifications::{Notice, Notifications};
pub use query_log::QueryLog;
pub use server::{serve, serve_own_metrics};
pub use starting::serve_starting;

/// Bytes that forms may take together, unless less is allowed to all bodies.
const MAX_FORMS: u64 = 64 << 20;

/// What the server is told by flags.
#[derive(Clone)]
pub struct Options {
    /// Path under which everything is served, empty or like `/prom`.
    pub route_prefix: String,
    /// The path of the address that users type, when a proxy maps it to the prefix; used in redirects.
    pub external_path: String,
    /// How links to targets on this machine are to name it.
    pub external_address: scrape::ExternalAddress,
    /// How long a client may take to send a form.
    pub read_timeout: Duration,
    /// Queries evaluated at once; more wait.
    pub max_concurrency: usize,
    /// The longest a query may take, queueing included.
    pub query_timeout: Duration,
    /// Samples that a query may hold in memory; 0 for any number.
    pub max_samples: u64,
    /// What queries account their memory to; as its limit nears, new ones wait and then fail.
    pub memory: storage::MemoryBudget,
    /// Whether `/-/reload` and `/-/quit` are served.
    pub enable_lifecycle: bool,
    /// Whether `/api/v1/admin/tsdb` may be used.
    pub enable_admin: bool,
    /// Whether there is the search API, and if so the highest limit that a client may ask of it; 0 for any.
    pub search_max_limit: Option<usize>,
    /// What the tab of the browser says, instead of the program's name.
    pub page_title: Option<String>,
    /// The directory whose files are served under `/user`.
    pub user_assets: Option<std::path::PathBuf>,
    /// The templates served under `/consoles`.
    pub consoles: Consoles,
    /// What the parts of the program other than the API and the language can do.
    pub features: Vec<Feature>,
    /// What users are told about the server itself.
    pub notifications: Arc<Notifications>,
    /// Origins that browsers may call from.
    pub cors_origin: model::Regex,
    /// Takes what is written by remote write; none where that is not served.
    pub write_receiver: Option<Arc<remote::Receiver>>,
    /// What queries read where that is more than the database, which federation reads alone.
    pub queried: Option<Arc<dyn storage::Select>>,
    /// Takes what is written by OTLP; none where that is not served.
    pub otlp_receiver: Option<Arc<otlp::Receiver>>,
    /// Answers remote read.
    pub read_server: Arc<remote::ReadServer>,
    /// Requests of remote read that are answered at once; more wait.
    pub max_reads: usize,
    /// Bytes that bodies of requests may take together; more wait.
    pub max_request_memory: u64,
    /// Where every query is written down when it has run.
    pub query_log: Arc<QueryLog>,
    /// Where it stands while it runs.
    pub active_queries: Option<Arc<ActiveQueries>>,
}

/// What the endpoints about the process itself need to know or do.
pub trait Runtime: Send + Sync {
    /// Whether start-up is over, and the end has not begun.
    fn is_ready(&self) -> bool;
    /// Whether the end has begun.
    fn is_stopping(&self) -> bool;
    /// The configuration that runs, as YAML with secrets hidden.
    fn config_yaml(&self) -> String;
    /// A scrape job of it, likewise; none if there is no such job.
    fn scrape_pool_yaml(&self, job: &str) -> Option<String>;
    /// The labels that series get which leave for another server.
    fn external_labels(&self) -> Vec<(String, String)>;
    /// The URLs of Alertmanagers that are told of alerts, and of those that rules have left out.
    fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        Default::default()
    }
    /// The rules that are evaluated; none where there are no rules.
    fn rules(&self) -> Option<Arc<rules::Manager>> {
        None
    }
    /// Fills in the past of recording rules; none where there are no rules.
    fn backfills(&self) -> Option<Arc<rules::Backfills>> {
        None
    }
    /// Every flag and its value.
    fn flags(&self) -> Vec<(String, String)>;
    /// Version and build.
    fn build_info(&self) -> BuildInfo;
    /// When it started and how it goes.
    fn runtime_info(&self) -> RuntimeInfo;
    /// Reads the configuration again. Blocks until it runs or is refused.
    ///
    /// # Errors
    /// The text for the user when it is refused; the old one goes on running.
    fn reload(&self) -> Result<(), String>;
    /// What looks at the process itself; none where nothing may.
    fn profiler(&self) -> Option<Arc<dyn Profiler>> {
        None
    }
    /// Asks the process to stop. Whether this is news.
    fn quit(&self) -> bool;
}

/// Answer of `/api/v1/status/buildinfo`.
#[derive(Debug, Clone, Default)]
pub struct BuildInfo {
    /// Version of binnacle.
    pub version: String,
    /// Commit.
    pub revision: String,
    /// Branch.
    pub branch: String,
    /// The compiler, where Prometheus names Go's.
    pub compiler: String,
}

/// Answer of `/api/v1/status/runtimeinfo`.
#[derive(Debug, Clone, Default)]
pub struct RuntimeInfo {
    /// Milliseconds since the Unix epoch.
    pub start_time: i64,
    /// Working directory.
    pub cwd: String,
    /// Name of the machine.
    pub hostname: String,
    /// Whether the last reload was taken.
    pub reload_config_success: bool,
    /// When the running configuration was loaded, in milliseconds since the Unix epoch.
    pub last_config_time: i64,
    /// Repairs of the log so far.
    pub corruption_count: u64,
    /// Threads of the process.
    pub threads: usize,
    /// Cores that it may use.
    pub cores: usize,
    /// How long samples are kept, as a Prometheus duration.
    pub storage_retention: String,
}

/// A page of metrics: where, and what is on it.
pub struct MetricsPage {
    /// Like `/metrics`.
    pub path: String,
    /// Collects; runs on a thread that may block.
    pub gather: Arc<dyn Fn() -> Vec<Family> + Send + Sync>,
}

/// Everything that the endpoints work on.
pub struct Api {
    options: Options,
    engine: Arc<Engine>,
    /// All there is: for routes that answer only those who may see it. Others read through [`view::View`].
    /// None in an agent, which keeps nothing.
    db: Option<Arc<tsdb::Db>>,
    scrape: Arc<scrape::Manager>,
    runtime: Arc<dyn Runtime>,
    registry: Registry,
    pages: Vec<MetricsPage>,
    metrics: Metrics,
    query_queue: Arc<Semaphore>,
    bodies: bodies::Bodies,
    /// Apart from those: queries must not keep samples from being taken.
    forms: bodies::Bodies,
    /// Answers of queries that wait for their clients, and have given up their places.
    waiting: Arc<pace::Waiting>,
    /// And those of federation and remote read, which hold more.
    waiting_pages: Arc<pace::Waiting>,
    /// Remote write requests that are worked on at once; more wait.
    write_slots: Semaphore,
    read_slots: Arc<Semaphore>,
    /// Pages of federation that are read and written at once; more wait.
    federation_slots: Arc<Semaphore>,
    /// Look-ups of series and labels that run at once; more wait.
    look_up_slots: Arc<Semaphore>,
}

impl Api {
    /// Puts the parts together and registers the server's own metrics.
    #[allow(clippy::too_many_arguments)] // wiring: each part is named once, here
    pub fn new(
        options: Options,
        engine: Arc<Engine>,
        db: impl Into<Option<Arc<tsdb::Db>>>,
        scrape: Arc<scrape::Manager>,
        runtime: Arc<dyn Runtime>,
        registry: Registry,
        pages: Vec<MetricsPage>,
    ) -> Arc<Api> {
        let db: Option<Arc<tsdb::Db>> = db.into();
        let unseen = Registry::new();
        let metrics = Metrics::register(&registry, if db.is_some() { &registry } else { &unseen });
        metrics.queries_max.set(options.max_concurrency as f64);
        let at_once = || Arc::new(Semaphore::new(options.max_concurrency.max(1)));
        let (query_queue, federation_slots, look_up_slots) = (at_once(), at_once(), at_once());
        let bodies = bodies::Bodies::new(options.max_request_memory);
        bodies.register(&registry);
        let forms = bodies::Bodies::new(MAX_FORMS.min(options.max_request_memory));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let read_slots = Arc::new(Semaphore::new(options.max_reads.max(1)));
        Arc::new(Api {
            options,
            engine,
            db,
            scrape,
            runtime,
            registry,
            pages,
            metrics,
            query_queue,
            bodies,
            forms,
            waiting: pace::Waiting::at_most(32),
            waiting_pages: pace::Waiting::at_most(8),
            write_slots: Semaphore::new(cores * 2),
            read_slots,
            federation_slots,
            look_up_slots,
        })
    }

    /// What is stored; an error in an agent.
    fn db(&self) -> Result<&Arc<tsdb::Db>, ApiError> {
        self.db.as_ref().ok_or_else(|| ApiError::new(ErrorKind::Execution, agent::UNAVAILABLE))
    }

    /// How the program calls itself.
    fn app_name(&self) -> &'static str {
        if self.db.is_some() { starting::SERVER } else { starting::AGENT }
    }

    /// Milliseconds since the Unix epoch.
    fn now(&self) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }
}
