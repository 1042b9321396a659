//! `kuma_sd_configs`: data planes of a Kuma mesh, told by its control plane: monitoring assignments of version 1 over
//! xDS' fetch, in JSON. The server holds the answer back until something has changed.

use std::time::{Duration, Instant};

use exposition::registry::{Counter, Registry, Summary};
use httpclient::{ClientOptions, Method, Url};
use serde::Deserialize;

use crate::group::{ADDRESS, TargetGroup};
use crate::json::{Many, Text, TextMap};
use crate::label_set::{LabelParts, NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::ticks;
use crate::rest::Rest;

const TYPE: &str = "type.googleapis.com/kuma.observability.v1.MonitoringAssignment";
/// What a request may take beyond the time that the server may hold it.
const GRACE: Duration = Duration::from_secs(15);

/// A `kuma_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KumaOptions {
    /// The URL of the control plane.
    pub server: String,
    /// How we call ourselves; our host name if empty.
    pub client_id: String,
    /// The shortest time between two requests. Prometheus: 15 s.
    pub refresh_interval: Duration,
    /// How long the server may hold back an answer. Prometheus: 2 min.
    pub fetch_timeout: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

/// `prometheus_sd_kuma_*`.
#[derive(Clone)]
pub(crate) struct Metrics {
    failures: Counter,
    skipped: Counter,
    duration: Summary,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Metrics {
            failures: registry.counter(
                "prometheus_sd_kuma_fetch_failures_total",
                "The number of Kuma MADS fetch call failures.",
            ),
            skipped: registry.counter(
                "prometheus_sd_kuma_fetch_skipped_updates_total",
                "The number of Kuma MADS fetch calls that result in no updates to the targets.",
            ),
            duration: registry.summary(
                "prometheus_sd_kuma_fetch_duration_seconds",
                "The duration of a Kuma MADS fetch call.",
                &[0.5, 0.9, 0.99],
            ),
        }
    }
}

impl Provider for Box<KumaOptions> {
    fn validate(&self) -> Result<(), String> {
        ControlPlane::new(self).map(drop)
    }

    async fn run(self, context: Context) {
        let metrics = &context.metrics.kuma;
        let mut plane = match ControlPlane::new(&self) {
            Ok(plane) => plane,
            Err(err) => return failed("Cannot create service discovery", &err),
        };
        let mut tick = ticks(self.refresh_interval);
        loop {
            tick.tick().await;
            let start = Instant::now();
            let answer = plane.fetch().await;
            metrics.duration.observe(start.elapsed().as_secs_f64());
            let targets = match answer {
                Ok(Some(body)) => plane.accept(&body, &context.lists),
                Ok(None) => {
                    metrics.skipped.inc();
                    continue;
                }
                Err(err) => Err(err),
            };
            match targets {
                Ok(targets) => {
                    if context.updates.send(vec![TargetGroup::of("kuma", targets)]).await.is_err() {
                        return;
                    }
                }
                Err(err) => {
                    metrics.failures.inc();
                    failed("error parsing resources", &err);
                }
            }
        }
    }
}

fn failed(what: &str, err: &str) {
    tracing::error!(component = "discovery manager", discovery = "kuma", %err, "{what}");
}

struct ControlPlane {
    api: Rest,
    url: Url,
    id: String,
    /// Version and nonce of the last answer, which say what we know.
    version: String,
    nonce: String,
}

impl ControlPlane {
    fn new(options: &KumaOptions) -> Result<Self, String> {
        let mut url = Url::parse(&options.server).map_err(|err| format!("kuma_sd: {err}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            let line = "kuma_sd: invalid xDS server URL protocol. must be either 'http' or 'https'";
            return Err(line.to_owned());
        }
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v3", "discovery:monitoringassignments"]);
        }
        let timeout = i64::try_from(options.fetch_timeout.as_millis()).unwrap_or(i64::MAX);
        let timeout = model::duration::format(timeout);
        url.query_pairs_mut().clear().append_pair("fetch-timeout", &timeout);
        let api = Rest::new(&options.client, options.fetch_timeout + GRACE)?
            .header("content-type", "application/json")?
            .header("accept", "application/json")?;
        let id = if options.client_id.is_empty() { host_name() } else { options.client_id.clone() };
        Ok(ControlPlane { api, url, id, version: String::new(), nonce: String::new() })
    }

    /// The next answer; none when we know everything.
    async fn fetch(&self) -> Result<Option<Vec<u8>>, String> {
        let mut question = serde_json::json!({"node": {"id": self.id}, "type_url": TYPE});
        // A message has no fields that are empty.
        for (field, value) in [("version_info", &self.version), ("response_nonce", &self.nonce)] {
            if !value.is_empty() {
                question[field] = value.as_str().into();
            }
        }
        let (head, body) = self.api.send(Method::POST, &self.url, question.to_string().into_bytes()).await?;
        match head.status.as_u16() {
            200 => Ok(Some(body)),
            304 => Ok(None),
            other => Err(format!("non 200 status '{other}' response during xDS fetch")),
        }
    }

    fn accept(&mut self, body: &[u8], lists: &NameLists) -> Result<Vec<LabelParts>, String> {
        let answer: Answer<'_> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
        if let Some(other) = answer.resources.0.iter().find(|one| *one.r#type != *TYPE) {
            return Err(format!("unable to resolve {}", model::number::quote(&other.r#type)));
        }
        self.version = answer.version_info.to_string();
        self.nonce = answer.nonce.to_string();
        targets(&answer, lists)
    }
}

/// What the kernel calls this machine.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "prometheus".to_owned() } else { name.to_owned() }
}

/// Fields are spelled as in the message's definition or as JSON has them.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer<'a> {
    #[serde(borrow, alias = "version_info")]
    version_info: Text<'a>,
    #[serde(borrow)]
    resources: Many<Assignment<'a>>,
    #[serde(borrow, alias = "type_url")]
    type_url: Text<'a>,
    #[serde(borrow)]
    nonce: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Assignment<'a> {
    #[serde(borrow, rename = "@type")]
    r#type: Text<'a>,
    #[serde(borrow)]
    mesh: Text<'a>,
    #[serde(borrow)]
    service: Text<'a>,
    #[serde(borrow)]
    targets: Many<Target<'a>>,
    #[serde(borrow)]
    labels: TextMap<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Target<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    scheme: Text<'a>,
    #[serde(borrow)]
    address: Text<'a>,
    #[serde(borrow, alias = "metrics_path")]
    metrics_path: Text<'a>,
    #[serde(borrow)]
    labels: TextMap<'a>,
}

fn targets(answer: &Answer<'_>, lists: &NameLists) -> Result<Vec<LabelParts>, String> {
    if *answer.type_url != *TYPE {
        return Err(format!("received invalid typeURL for Kuma MADS v1 Resource: {}", &*answer.type_url));
    }
    let mut pairs = Pairs::default();
    let mut targets = Vec::new();
    for assignment in &answer.resources.0 {
        for target in &assignment.targets.0 {
            for (name, value) in target.labels.0.iter().chain(&assignment.labels.0) {
                pairs.push_sanitized(&["__meta_kuma_label_"], name, value);
            }
            pairs.push("__meta_kuma_mesh", &assignment.mesh);
            pairs.push("__meta_kuma_service", &assignment.service);
            pairs.push("__meta_kuma_dataplane", &target.name);
            pairs.push(ADDRESS, &target.address);
            pairs.push("instance", &target.name);
            pairs.push("__scheme__", &target.scheme);
            pairs.push("__metrics_path__", &target.metrics_path);
            targets.push(pairs.take(lists).into());
        }
    }
    Ok(targets)
}

/// Reads an answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let answer = serde_json::from_slice::<Answer<'_>>(body);
    answer.map_or(0, |answer| targets(&answer, lists).map_or(0, |targets| targets.len()))
}
