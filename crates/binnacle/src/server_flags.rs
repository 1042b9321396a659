//! Flags of `binnacle server`: Prometheus' names, defaults and meanings.

use std::path::PathBuf;
use std::time::Duration;

use ::storage::MemoryBudget;
use anyhow::Context as _;
use clap::{ArgAction, Args};
use model::{Regex, duration};

use crate::agent_flags::AgentFlags;
use crate::alerting_flags::{self, AlertingFlags};
use crate::features::Features;
use crate::load::ConfigSource;
use crate::storage_flags::{StorageFlags, parse_size};
use crate::wiring::{self, Options, RuleLimits};
use crate::{logging, memory, unsupported};

/// Flags that take no value; kingpin, and so Prometheus, also knows each as `--no-NAME`.
const BOOLEANS: &[&str] = &[
    "web.enable-admin-api",
    "web.enable-lifecycle",
    "web.enable-otlp-receiver",
    "web.enable-remote-write-receiver",
    "scrape.adjust-timestamps",
    "agent",
    "storage.agent.wal-compression",
    "storage.agent.checkpoint-from-in-memory-series",
    "storage.agent.no-lockfile",
    "storage.tsdb.no-lockfile",
    "storage.tsdb.wal-compression",
    "storage.tsdb.allow-overlapping-compaction",
    "auto-gomaxprocs",
    "auto-gomemlimit",
];

/// Prometheus' own page title, which stands for that of this page.
const PAGE_TITLE: &str = "Prometheus Time Series Collection and Processing Server";

/// Flags of `binnacle server`.
#[derive(Debug, Args)]
pub(crate) struct ServerFlags {
    /// The configuration file
    #[arg(long = "config.file", value_name = "FILE", default_value = "prometheus.yml")]
    config_file: PathBuf,

    /// Read the configuration again when its file, or one that it includes, has changed
    #[arg(long = "config.auto-reload", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    auto_reload: bool,

    /// How often --config.auto-reload looks, at most every second
    #[arg(long = "config.auto-reload-interval", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    auto_reload_interval: Duration,

    #[command(flatten)]
    pub(crate) agent: AgentFlags,

    #[command(flatten)]
    common: CommonFlags,
}

/// Flags that `up` takes, too.
#[derive(Debug, Args)]
pub(crate) struct CommonFlags {
    /// Address to listen on for the page, the API and metrics; may be repeated
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    listen_address: Vec<String>,

    /// The address under which users reach this server, if a proxy stands in front of it
    #[arg(long = "web.external-url", value_name = "URL", default_value = "")]
    external_url: String,

    /// Path under which everything is served; default: the path of --web.external-url
    #[arg(long = "web.route-prefix", value_name = "PATH")]
    route_prefix: Option<String>,

    /// File with certificates, users, headers and tenants of this server; read again whenever it changes
    #[arg(long = "web.config.file", value_name = "FILE", default_value = "", value_parser = parse_path)]
    web_config: PathBuf,

    /// How long a request may take to arrive, and how long an idle connection is kept
    #[arg(long = "web.read-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    read_timeout: Duration,

    /// How long a client may take nothing of its answer
    #[arg(long = "web.stall-timeout", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    stall_timeout: Duration,

    /// Connections served at once, over all addresses; beyond, one that is idle makes room
    #[arg(long = "web.max-connections", value_name = "N", default_value_t = 512)]
    max_connections: usize,

    /// Serve /-/reload and /-/quit
    #[arg(long = "web.enable-lifecycle", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    enable_lifecycle: bool,

    /// Serve the API that deletes series and takes snapshots
    #[arg(long = "web.enable-admin-api", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    enable_admin_api: bool,

    /// Take samples that others write (/api/v1/write)
    #[arg(long = "web.enable-remote-write-receiver", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    enable_write_receiver: bool,

    /// Take metrics by OTLP (/api/v1/otlp/v1/metrics)
    #[arg(long = "web.enable-otlp-receiver", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    enable_otlp_receiver: bool,

    /// Messages that remote write takes: prometheus.WriteRequest (version 1.0) and io.prometheus.write.v2.Request (2.0); may be repeated
    #[arg(long = "web.remote-write-receiver.accepted-protobuf-messages", value_name = "MESSAGE", value_parser = remote::MessageType::of_name, default_values = ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"])]
    accepted_messages: Vec<remote::MessageType>,

    /// Memory that bodies of requests may take together; more wait
    #[arg(long = "web.max-request-memory", value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    max_request_memory: u64,

    /// Origins that browsers may call the API from, as an anchored regular expression
    #[arg(long = "web.cors.origin", value_name = "REGEX", default_value = ".*")]
    cors_origin: String,

    /// What the tab of the browser says
    #[arg(long = "web.page-title", value_name = "TITLE", default_value = PAGE_TITLE, hide_default_value = true)]
    page_title: String,

    /// A directory whose files are served under /user
    #[arg(long = "web.user-assets", value_name = "PATH")]
    user_assets: Option<PathBuf>,

    /// A directory with console templates, served under /consoles
    #[arg(long = "web.console.templates", value_name = "PATH", default_value = "consoles")]
    console_templates: PathBuf,

    /// A directory with templates (*.lib) that console templates use
    #[arg(long = "web.console.libraries", value_name = "PATH", default_value = "console_libraries")]
    console_libraries: PathBuf,

    /// Clients that may follow the server's notifications at once
    #[arg(long = "web.max-notifications-subscribers", value_name = "N", default_value_t = 16)]
    max_notifications_subscribers: usize,

    /// The highest limit that a client may ask of the search API (--enable-feature=search-api); 0 for any
    #[arg(long = "web.search.max-limit", value_name = "N", default_value_t = 10_000)]
    search_max_limit: usize,

    #[command(flatten)]
    storage: StorageFlags,

    #[command(flatten)]
    alerting: AlertingFlags,

    /// How long samples that wait to be sent on by remote write are still sent when the server ends
    #[arg(long = "storage.remote.flush-deadline", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    remote_flush_deadline: Duration,

    /// Logs that are kept for destinations of remote write that cannot be reached, beyond what the server itself needs; 0 for none
    #[arg(long = "storage.remote.backlog-size", value_name = "SIZE", default_value = "8GiB", value_parser = parse_size)]
    remote_backlog_size: u64,

    /// Samples that a query of remote read may return; 0 for any number
    #[arg(long = "storage.remote.read-sample-limit", value_name = "N", default_value = "50000000", value_parser = parse_count)]
    remote_read_sample_limit: u64,

    /// Requests of remote read that are answered at once; 0 for any number
    #[arg(long = "storage.remote.read-concurrent-limit", value_name = "N", default_value_t = 10)]
    remote_read_concurrent_limit: usize,

    /// About how many bytes a frame of an answer to remote read has
    #[arg(
        long = "storage.remote.read-max-bytes-in-frame",
        value_name = "BYTES",
        default_value_t = 1_048_576
    )]
    remote_read_max_bytes_in_frame: usize,

    /// State of pending alerts that is older is not restored at the start
    #[arg(long = "rules.alert.for-outage-tolerance", value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    for_outage_tolerance: Duration,

    /// How long an alert that is restored waits at least before it fires; those with a shorter `for` are not restored
    #[arg(long = "rules.alert.for-grace-period", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    for_grace_period: Duration,

    /// How long an alert that fires is not sent again
    #[arg(long = "rules.alert.resend-delay", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    resend_delay: Duration,

    /// Rules evaluated beside those whose turn it is, with --enable-feature=concurrent-rule-eval
    #[arg(long = "rules.max-concurrent-evals", value_name = "N", default_value_t = 4)]
    max_concurrent_rules: usize,

    /// Groups of rules evaluated at once; more wait
    #[arg(long = "rules.max-concurrent-groups", value_name = "N", default_value_t = 16)]
    max_concurrent_groups: usize,

    /// Requests to fill in the past of recording rules that may wait for the one that is carried out
    #[arg(long = "rules.max-waiting-backfills", value_name = "N", default_value_t = 8)]
    max_waiting_backfills: usize,

    /// How far back a query looks for a series' newest sample
    #[arg(long = "query.lookback-delta", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    lookback_delta: Duration,

    /// The longest a query may take
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    query_timeout: Duration,

    /// Queries evaluated at once
    #[arg(long = "query.max-concurrency", value_name = "N", default_value_t = 20)]
    query_max_concurrency: usize,

    /// Memory that may be used: a share of what the control group or the machine has, a size like 4GiB, or 0 for any.
    /// As it nears, queries wait and fail, and series creation is refused
    #[arg(long = "memory.limit", value_name = "SHARE|SIZE", default_value = "80%")]
    memory_limit: String,

    /// Samples that a single query may hold in memory
    #[arg(long = "query.max-samples", value_name = "N", default_value_t = 50_000_000)]
    query_max_samples: u64,

    /// Memory that a single query may take for the samples that it holds, like 1GiB; 0 for any
    #[arg(long = "query.max-memory", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    query_max_memory: u64,

    /// Features to switch on, separated by commas; may be repeated
    #[arg(long = "enable-feature", value_name = "NAMES")]
    enable_feature: Vec<String>,

    /// Align timestamps of scrapes that are off by less than the tolerance
    #[arg(long = "scrape.adjust-timestamps", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", hide = true)]
    adjust_timestamps: bool,

    /// See --scrape.adjust-timestamps
    #[arg(long = "scrape.timestamp-tolerance", value_name = "DURATION", default_value = "2ms", value_parser = parse_duration, hide = true)]
    timestamp_tolerance: Duration,

    /// How often discovered targets are handed to the scraper
    #[arg(long = "scrape.discovery-reload-interval", value_name = "DURATION", default_value = "5s", value_parser = parse_duration, hide = true)]
    discovery_reload_interval: Duration,

    /// Log messages of this level and above
    #[arg(long = "log.level", value_enum, default_value_t = logging::Level::Info)]
    log_level: logging::Level,

    /// Layout of log messages
    #[arg(long = "log.format", value_enum, default_value_t = logging::Format::Logfmt)]
    log_format: logging::Format,

    // About Go's runtime: taken and without effect.
    #[arg(long = "auto-gomaxprocs", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", hide = true)]
    auto_gomaxprocs: bool,
    #[arg(long = "auto-gomemlimit", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", hide = true)]
    auto_gomemlimit: bool,
    #[arg(long = "auto-gomemlimit.ratio", default_value = "0.9", hide = true)]
    auto_gomemlimit_ratio: String,
    #[arg(long = "auto-gomemlimit.refresh-interval", default_value = "0s", hide = true)]
    auto_gomemlimit_refresh_interval: String,
}

pub(crate) fn run(flags: &ServerFlags) -> anyhow::Result<()> {
    let mut options = flags.common.resolve()?;
    options.flags.push(("config.file".to_owned(), flags.config_file.display().to_string()));
    options.flags.push(("config.auto-reload".to_owned(), flags.auto_reload.to_string()));
    let interval = i64::try_from(flags.auto_reload_interval.as_millis()).unwrap_or(i64::MAX);
    options.flags.push(("config.auto-reload-interval".to_owned(), model::duration::format(interval)));
    options.features.auto_reload |= flags.auto_reload;
    options.auto_reload = options.features.auto_reload.then_some(flags.auto_reload_interval);
    options.flags.extend(flags.agent.values());
    options.flags.sort();
    if let Some((path, agent)) = flags.agent.resolve(options.features, options.memory.clone())? {
        options.storage.path = path;
        options.agent = Some(agent);
    }
    wiring::run(options, ConfigSource::File(flags.config_file.clone()))
}

impl CommonFlags {
    /// Starts logging and checks what the parser could not.
    pub(crate) fn resolve(&self) -> anyhow::Result<Options> {
        logging::init(self.log_level, self.log_format);
        let features = Features::parse(&self.enable_feature)?;
        let cors_origin = Regex::new(&self.cors_origin).context("--web.cors.origin")?;
        let mut storage = self.storage.resolve(features)?;
        let limit = memory::limit(&self.memory_limit).map_err(|e| anyhow::anyhow!("--memory.limit: {e}"))?;
        let memory = MemoryBudget::new(limit);
        storage.db.head.memory = memory.clone();
        let external_path = path_of_url(&self.external_url)?;
        let route_prefix = match &self.route_prefix {
            Some(prefix) => normal_prefix(prefix),
            None => external_path.clone(),
        };
        let flags = self.values(&route_prefix, features);
        Ok(Options {
            listen: self.listen_address.clone(),
            external_host: host_of_url(&self.external_url),
            external_path,
            route_prefix,
            limits: httpserver::Limits {
                max_connections: self.max_connections,
                read_timeout: self.read_timeout,
                stall_timeout: self.stall_timeout,
                shutdown_timeout: self.query_timeout,
            },
            own_socket: None,
            web_config: Some(self.web_config.clone()).filter(|path| !path.as_os_str().is_empty()),
            enable_lifecycle: self.enable_lifecycle,
            enable_admin: self.enable_admin_api,
            enable_otlp: self.enable_otlp_receiver,
            write_messages: self.enable_write_receiver.then(|| self.accepted_messages.clone()),
            max_request_memory: self.max_request_memory,
            remote_flush_deadline: self.remote_flush_deadline,
            remote_backlog_size: self.remote_backlog_size,
            remote_read: remote::ReadServerOptions {
                sample_limit: self.remote_read_sample_limit,
                max_bytes_in_frame: self.remote_read_max_bytes_in_frame,
            },
            remote_read_concurrent_limit: self.remote_read_concurrent_limit,
            cors_origin,
            auto_reload: None,
            page_title: Some(self.page_title.clone()).filter(|title| title != PAGE_TITLE),
            user_assets: self.user_assets.clone(),
            external_url: Some(self.external_url.trim_end_matches('/').to_owned())
                .filter(|url| !url.is_empty()),
            console_templates: self.console_templates.clone(),
            console_libraries: self.console_libraries.clone(),
            max_notifications_subscribers: self.max_notifications_subscribers,
            search_max_limit: features.search.then_some(self.search_max_limit),
            storage,
            notifier: self.alerting.resolve(),
            agent: None,
            memory,
            lookback_delta: self.lookback_delta,
            query_timeout: self.query_timeout,
            query_max_concurrency: self.query_max_concurrency,
            query_max_samples: self.query_max_samples,
            query_max_memory: self.query_max_memory,
            rules: RuleLimits {
                outage_tolerance: self.for_outage_tolerance,
                grace_period: self.for_grace_period,
                resend_delay: self.resend_delay,
                concurrent_rules: if features.concurrent_rules { self.max_concurrent_rules } else { 0 },
                concurrent_groups: self.max_concurrent_groups,
                max_waiting_backfills: self.max_waiting_backfills,
            },
            features,
            timestamp_tolerance: if self.adjust_timestamps {
                self.timestamp_tolerance
            } else {
                Duration::ZERO
            },
            discovery_interval: self.discovery_reload_interval,
            flags,
        })
    }

    /// Every flag with its value, for `/api/v1/status/flags`.
    fn values(&self, route_prefix: &str, features: Features) -> Vec<(String, String)> {
        let time = |d: Duration| duration::format(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let values = [
            ("auto-gomaxprocs", self.auto_gomaxprocs.to_string()),
            ("auto-gomemlimit", self.auto_gomemlimit.to_string()),
            ("auto-gomemlimit.ratio", self.auto_gomemlimit_ratio.clone()),
            ("auto-gomemlimit.refresh-interval", self.auto_gomemlimit_refresh_interval.clone()),
            ("enable-feature", self.enable_feature.join(",")),
            ("log.format", format!("{:?}", self.log_format).to_lowercase()),
            ("log.level", format!("{:?}", self.log_level).to_lowercase()),
            ("memory.limit", self.memory_limit.clone()),
            ("query.lookback-delta", time(self.lookback_delta)),
            ("query.max-concurrency", self.query_max_concurrency.to_string()),
            ("query.max-memory", self.query_max_memory.to_string()),
            ("query.max-samples", self.query_max_samples.to_string()),
            ("query.timeout", time(self.query_timeout)),
            ("rules.alert.for-grace-period", time(self.for_grace_period)),
            ("rules.alert.for-outage-tolerance", time(self.for_outage_tolerance)),
            ("rules.alert.resend-delay", time(self.resend_delay)),
            ("rules.max-concurrent-evals", self.max_concurrent_rules.to_string()),
            ("rules.max-concurrent-groups", self.max_concurrent_groups.to_string()),
            ("rules.max-waiting-backfills", self.max_waiting_backfills.to_string()),
            ("scrape.adjust-timestamps", self.adjust_timestamps.to_string()),
            ("scrape.discovery-reload-interval", time(self.discovery_reload_interval)),
            ("scrape.timestamp-tolerance", time(self.timestamp_tolerance)),
            ("web.config.file", self.web_config.display().to_string()),
            ("storage.remote.backlog-size", self.remote_backlog_size.to_string()),
            ("storage.remote.flush-deadline", time(self.remote_flush_deadline)),
            ("storage.remote.read-concurrent-limit", self.remote_read_concurrent_limit.to_string()),
            ("storage.remote.read-max-bytes-in-frame", self.remote_read_max_bytes_in_frame.to_string()),
            ("storage.remote.read-sample-limit", self.remote_read_sample_limit.to_string()),
            ("web.cors.origin", self.cors_origin.clone()),
            ("web.enable-admin-api", self.enable_admin_api.to_string()),
            ("web.enable-lifecycle", self.enable_lifecycle.to_string()),
            ("web.enable-otlp-receiver", self.enable_otlp_receiver.to_string()),
            ("web.enable-remote-write-receiver", self.enable_write_receiver.to_string()),
            ("web.max-request-memory", self.max_request_memory.to_string()),
            (
                "web.remote-write-receiver.accepted-protobuf-messages",
                self.accepted_messages.iter().map(|m| m.name()).collect::<Vec<_>>().join(","),
            ),
            ("web.external-url", self.external_url.clone()),
            ("web.listen-address", self.listen_address.join(",")),
            ("web.max-notifications-subscribers", self.max_notifications_subscribers.to_string()),
            ("web.max-connections", self.max_connections.to_string()),
            ("web.read-timeout", time(self.read_timeout)),
            ("web.stall-timeout", time(self.stall_timeout)),
            (
                "web.route-prefix",
                if route_prefix.is_empty() { "/".to_owned() } else { route_prefix.to_owned() },
            ),
            (
                "web.user-assets",
                self.user_assets.as_ref().map_or_else(String::new, |p| p.display().to_string()),
            ),
            ("web.page-title", self.page_title.clone()),
            ("web.console.templates", self.console_templates.display().to_string()),
            ("web.console.libraries", self.console_libraries.display().to_string()),
            ("web.search.max-limit", self.search_max_limit.to_string()),
        ];
        let mut all = self.storage.values(features);
        all.extend(self.alerting.values());
        all.extend(values.map(|(name, value)| (name.to_owned(), value)));
        unsupported::complete(&mut all);
        all
    }
}

/// Turns `--no-NAME` of the boolean flags into `--NAME=false`.
pub(crate) fn expand_negations(args: Vec<String>) -> Vec<String> {
    let expand = |arg: String| match arg.strip_prefix("--no-") {
        Some(name) if BOOLEANS.contains(&name) || alerting_flags::BOOLEANS.contains(&name) => {
            format!("--{name}=false")
        }
        _ => arg,
    };
    args.into_iter().map(expand).collect()
}

pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let millis = duration::parse(text).map_err(|e| format!("{e} (write it like 30s, 5m or 1h30m)"))?;
    u64::try_from(millis).map(Duration::from_millis).map_err(|_| "must not be negative".to_owned())
}

/// A path, or an empty one for none: as a value of its own type, that would be refused.
fn parse_path(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(PathBuf::from(text))
}

/// A whole number, which may be written like 5e7.
fn parse_count(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().or_else(|| {
        let float: f64 = text.parse().ok()?;
        (float >= 0.0 && float.fract() == 0.0 && float < 1e18).then_some(float as u64)
    });
    number.ok_or_else(|| "must be a whole number".to_owned())
}

/// `/prom` from `prom/`, nothing from `/`.
fn normal_prefix(prefix: &str) -> String {
    let trimmed = prefix.trim_matches('/');
    if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") }
}

fn path_of_url(url: &str) -> anyhow::Result<String> {
    if url.is_empty() {
        return Ok(String::new());
    }
    let rest = url.split_once("://").map(|(_, rest)| rest).with_context(|| {
        format!(
            "--web.external-url={url}: must begin with http:// or https://, like https://example.org/prom"
        )
    })?;
    Ok(normal_prefix(rest.split_once('/').map_or("", |(_, path)| path)))
}

fn host_of_url(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    Some(rest.split('/').next().unwrap_or(rest).to_owned()).filter(|h| !h.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negated_booleans_become_false() {
        let args = ["--no-web.enable-lifecycle", "--no-such-flag", "--web.enable-lifecycle"];
        let expanded = expand_negations(args.iter().map(ToString::to_string).collect());
        assert_eq!(expanded, ["--web.enable-lifecycle=false", "--no-such-flag", "--web.enable-lifecycle"]);
    }

    #[test]
    fn the_prefix_is_the_external_path() {
        for (url, path) in [
            ("", ""),
            ("https://mon.example.org", ""),
            ("https://mon.example.org/", ""),
            ("https://mon.example.org/prom/", "/prom"),
            ("http://h:1/a/b", "/a/b"),
        ] {
            assert_eq!(path_of_url(url).ok().as_deref(), Some(path), "{url}");
        }
        assert!(path_of_url("example.org/prom").is_err());
    }
}
