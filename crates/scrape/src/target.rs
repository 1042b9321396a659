//! From a discovered address to something that can be scraped.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use discovery::{ADDRESS, TargetGroup};
use model::{Labels, LabelsBuilder, duration, number, relabel};
use parking_lot::Mutex;

use crate::metadata::PageMetadata;
use crate::options::{HistogramOptions, JobOptions};
use crate::url;

pub(crate) const JOB: &str = "job";
pub(crate) const INSTANCE: &str = "instance";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const SCRAPE_INTERVAL: &str = "__scrape_interval__";
const SCRAPE_TIMEOUT: &str = "__scrape_timeout__";
/// A socket of this machine to connect to instead of the address, which still names the host.
const UNIX_SOCKET: &str = "__unix_socket__";
const PARAM_PREFIX: &str = "__param_";
const META_PREFIX: &str = "__meta_";
pub(crate) const RESERVED_PREFIX: &str = "__";
/// Switches for native histograms: their labels, and how messages call them.
const HISTOGRAM_SWITCHES: [(&str, &str); 3] = [
    ("__convert_classic_histograms_to_nhcb__", "convert classic histograms to nhcb"),
    ("__always_scrape_classic_histograms__", "always scrape classic histograms"),
    ("__scrape_native_histograms__", "scrape native histograms"),
];

/// Where a target was found: enough to work out its discovered labels again.
#[derive(Debug, Clone)]
pub(crate) struct Discovered {
    pub(crate) group: Arc<TargetGroup>,
    pub(crate) index: usize,
}

impl Discovered {
    /// The labels before relabelling: the target's own, its group's, then the job's defaults.
    pub(crate) fn labels(&self, job: &JobOptions) -> Labels {
        with_defaults(&self.group.labels_of(self.index), job)
    }
}

/// Labels of a target with those that the job sets where they are missing.
pub(crate) fn with_defaults(labels: &Labels, job: &JobOptions) -> Labels {
    let mut labels = LabelsBuilder::new(labels);
    let mut default = |name: &str, value: &str| {
        if labels.value(name).is_empty() {
            labels.set(name, value);
        }
    };
    default(JOB, &job.name);
    default(SCRAPE_INTERVAL, &duration::format(millis(job.scrape_interval)));
    default(SCRAPE_TIMEOUT, &duration::format(millis(job.scrape_timeout)));
    default(METRICS_PATH, &job.metrics_path);
    default(SCHEME, &job.scheme);
    let HistogramOptions { native, classic_too, convert, .. } = job.histograms;
    for ((name, _), on) in HISTOGRAM_SWITCHES.into_iter().zip([convert, classic_too, native]) {
        default(name, if on { "true" } else { "false" });
    }
    for (name, values) in &job.params {
        if let Some(first) = values.first() {
            default(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    labels.build()
}

/// How the last scrape went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    /// Scraped.
    Up,
    /// Failed.
    Down,
}

impl Health {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

/// A target's last scrape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    pub(crate) health: Health,
    pub(crate) last_error: String,
    /// Nanoseconds since the Unix epoch; none before the first scrape.
    pub(crate) last_scrape: Option<i64>,
    pub(crate) last_duration: Duration,
}

/// A target that is scraped.
pub(crate) struct Target {
    /// All final labels: two targets with equal ones are one target.
    pub(crate) labels: Labels,
    /// Those that its series carry.
    pub(crate) public: Labels,
    pub(crate) url: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) discovered: Mutex<Discovered>,
    pub(crate) status: Mutex<Status>,
    pub(crate) metadata: Mutex<Arc<PageMetadata>>,
}

impl Target {
    /// The socket that it is reached by, if not by its address.
    pub(crate) fn unix_socket(&self) -> Option<&Path> {
        let path = self.labels.value(UNIX_SOCKET);
        (!path.is_empty()).then(|| Path::new(path))
    }

    /// The address if its port is the usual one. Servers hear it as it is written; a parsed URL has left it out.
    pub(crate) fn host_with_usual_port(&self) -> Option<&str> {
        let usual = if self.url.starts_with("https:") { ":443" } else { ":80" };
        Some(self.labels.value(ADDRESS)).filter(|address| address.ends_with(usual) && !address.contains('@'))
    }

    /// The job's options with what the target's labels say about its histograms.
    pub(crate) fn histograms(&self, job: &JobOptions) -> HistogramOptions {
        let mut options = job.histograms;
        let switches = [&mut options.convert, &mut options.classic_too, &mut options.native];
        for ((name, _), switch) in HISTOGRAM_SWITCHES.into_iter().zip(switches) {
            match self.labels.value(name) {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => *switch = true,
                "0" | "f" | "F" | "FALSE" | "false" | "False" => *switch = false,
                _ => {}
            }
        }
        options
    }
}

/// Series and page of a target, whatever its other labels: the same of two targets, they are scraped for the same samples.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scraped {
    public: Labels,
    url: String,
}

/// What became of a discovered address.
pub(crate) enum Built {
    Active(Box<Target>),
    Dropped,
}

/// Relabels a discovered address and checks what is left.
///
/// # Errors
/// Prometheus' sentences.
pub(crate) fn build(job: &JobOptions, discovered: &Discovered) -> Result<Built, String> {
    let Some(labels) = relabel::process(&discovered.labels(job), &job.relabel_configs) else {
        return Ok(Built::Dropped);
    };
    let Relabelled { labels, interval, timeout } = finish(&labels)?;
    let public = labels.filter(|name| !name.starts_with(RESERVED_PREFIX));
    Ok(Built::Active(Box::new(Target {
        url: target_url(job, &labels),
        interval,
        timeout,
        public,
        labels,
        discovered: Mutex::new(discovered.clone()),
        status: Mutex::default(),
        metadata: Mutex::default(),
    })))
}

/// What the rules have left, checked and completed.
pub(crate) struct Relabelled {
    pub(crate) labels: Labels,
    interval: Duration,
    timeout: Duration,
}

/// Checks what the rules have left, and completes it.
///
/// # Errors
/// Prometheus' sentences.
pub(crate) fn finish(labels: &Labels) -> Result<Relabelled, String> {
    let address = labels.value(ADDRESS);
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{} is not a valid hostname", number::quote(address)));
    }
    let interval = parse_duration(labels, SCRAPE_INTERVAL, "interval")?;
    let timeout = parse_duration(labels, SCRAPE_TIMEOUT, "timeout")?;
    if timeout > interval {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({} > {})",
            number::quote(labels.value(SCRAPE_TIMEOUT)),
            number::quote(labels.value(SCRAPE_INTERVAL))
        ));
    }
    for (name, what) in HISTOGRAM_SWITCHES {
        let value = labels.value(name);
        if !value.is_empty() && !is_go_bool(value) {
            return Err(format!(
                "error parsing {what}: strconv.ParseBool: parsing {}: invalid syntax",
                number::quote(value)
            ));
        }
    }
    let mut kept = LabelsBuilder::new(labels);
    kept.retain(|name, _| !name.starts_with(META_PREFIX));
    if kept.value(INSTANCE).is_empty() {
        kept.set(INSTANCE, address);
    }
    Ok(Relabelled { labels: kept.build(), interval, timeout })
}

impl Target {
    /// What is scraped.
    pub(crate) fn scraped(&self) -> Scraped {
        Scraped { public: self.public.clone(), url: self.url.clone() }
    }

    /// Where in its interval the target is scraped, in nanoseconds: the same after a restart and however else the job changes, spread
    /// evenly over all targets. `seed` lets replicas scrape at different times.
    pub(crate) fn offset(&self, seed: u64) -> u64 {
        let hash = fnv1a(fnv1a(FNV_START, self.public.as_bytes()), self.url.as_bytes());
        // FNV leaves the low bits of similar texts similar; the remainder needs them mixed.
        let mixed = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29 ^ seed) % u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX).max(1)
    }

    /// A hash for the store: series of one target are written together.
    pub(crate) fn affinity(&self) -> storage::Affinity {
        storage::Affinity(fnv1a(fnv1a(FNV_START, self.url.as_bytes()), self.public.as_bytes()))
    }
}

pub(crate) fn target_url(job: &JobOptions, labels: &Labels) -> String {
    let mut params = job.params.clone();
    for (name, value) in labels {
        if let Some(key) = name.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(key.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    url::render(labels.value(SCHEME), labels.value(ADDRESS), labels.value(METRICS_PATH), &params)
}

fn parse_duration(labels: &Labels, name: &str, what: &str) -> Result<Duration, String> {
    match duration::parse(labels.value(name)) {
        Err(err) => Err(format!("error parsing scrape {what}: {err}")),
        Ok(0) => Err(format!("scrape {what} cannot be 0")),
        Ok(millis) => Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(0))),
    }
}

/// `strconv.ParseBool`.
fn is_go_bool(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
