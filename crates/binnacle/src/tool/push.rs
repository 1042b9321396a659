//! `push metrics`: pages of metrics, sent once by remote write.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use exposition::{MetricKind, TextFamily, TextMetric, TextValue, read_family_text};
use httpclient::{Bytes, Head, HeaderMap, HeaderValue, Method};
use model::number::{format_g, quote};
use model::{Labels, ValidationScheme};
use remote::{FamilyMetadata, MessageType, PushedSample, pushed_body};

use super::client::{Question, ToolClient, headers};
use super::command_line::{go_duration, label};
use super::failure::{print, reading, tell};
use super::server_url::{ServerUrl, escaped_path};
use super::{Failure, existing_file};

const NOTES: &str = "\
Meant for trying out a receiver: scrapes are what metrics are collected with. A label `job` of the metrics becomes `exported_job`.
What fails for reasons that may pass is sent again, up to ten times within about a minute.

Examples:
  curl -s http://localhost:9100/metrics | binnacle tool push metrics --label=job=node http://localhost:9090";

/// `binnacle tool push …`
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct PushArgs {
    /// File that says how the server is reached: credentials, TLS, proxy
    #[arg(long = "http.config.file", value_name = "FILE", value_parser = existing_file, global = true)]
    config_file: Option<String>,
    #[command(subcommand)]
    command: PushCommand,
}

#[derive(Debug, Subcommand)]
enum PushCommand {
    /// Sends metrics by remote write
    #[command(after_help = NOTES)]
    Metrics(PushMetricsArgs),
}

/// Flags of `push metrics`.
#[derive(Debug, Args)]
pub(crate) struct PushMetricsArgs {
    /// Server
    #[arg(value_name = "remote-write-url", value_parser = ServerUrl::parse)]
    url: ServerUrl,
    /// Files of metrics; standard input if none
    #[arg(value_name = "metric-files", value_parser = existing_file)]
    files: Vec<String>,
    /// Label to add to all series, as name=value; may be repeated
    #[arg(long = "label", value_name = "LABEL", default_value = "job=promtool", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How long an attempt may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = go_duration)]
    timeout: i64,
    /// Header to send, as name=value; may be repeated
    #[arg(long = "header", value_name = "HEADER", value_parser = label)]
    headers: Vec<(String, String)>,
    /// Message to send: prometheus.WriteRequest or io.prometheus.write.v2.Request
    #[arg(long = "protobuf_message", value_name = "MESSAGE", default_value = "prometheus.WriteRequest")]
    message: String,
    /// Path below the server's URL
    #[arg(long = "remote-write.path", value_name = "PATH", default_value = "/api/v1/write")]
    path: String,
}

const RETRIES: u32 = 10;
const FIRST_DELAY: Duration = Duration::from_secs(2);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

pub(super) fn run(args: &PushArgs) -> Result<ExitCode, Failure> {
    let PushCommand::Metrics(metrics) = &args.command;
    // A file of credentials is only at odds with a user in the URL that is asked, which this is not.
    let client = ToolClient::new(args.config_file.as_deref(), None)?;
    let message = MessageType::of_name(&metrics.message).map_err(|_| {
        let name = quote(&metrics.message);
        Failure::Told(format!(
            "  FAILED: invalid protobuf message {name}, must be prometheus.WriteRequest or io.prometheus.write.v2.Request"
        ))
    })?;
    let push = Push { client, message, url: metrics.url.join(&escaped_path(&metrics.path)), args: metrics };
    if metrics.files.is_empty() {
        let mut page = Vec::new();
        std::io::stdin().read_to_end(&mut page).map_err(|e| Failure::during("  FAILED", e))?;
        print("Parsing standard input\n")?;
        push.page(&page).map_err(|why| Failure::during("  FAILED", why))?;
        print("  SUCCESS: metrics pushed to remote write.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut code = ExitCode::SUCCESS;
    for file in &metrics.files {
        let pushed = match std::fs::read(file) {
            Err(e) => Err(reading(file.as_ref(), &e)),
            Ok(page) => {
                print(&format!("Parsing metrics file {file}\n"))?;
                push.page(&page)
            }
        };
        match pushed {
            Ok(()) => print(&format!("  SUCCESS: metrics file {file} pushed to remote write.\n"))?,
            Err(why) => {
                tell(&format!("  FAILED: {why}"));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

struct Push<'a> {
    client: ToolClient,
    message: MessageType,
    url: ServerUrl,
    args: &'a PushMetricsArgs,
}

impl Push<'_> {
    /// Reads a page and sends it.
    fn page(&self, page: &[u8]) -> Result<(), String> {
        let families = read_family_text(page, ValidationScheme::Utf8)?;
        let (about, samples) = samples(&families, &self.args.labels);
        self.send(&pushed_body(self.message, &about, &samples))
    }

    /// Sends until it is taken, or refused for good.
    fn send(&self, body: &Bytes) -> Result<(), String> {
        let mut delay = FIRST_DELAY;
        for attempt in 0.. {
            let sent = self.attempt(body, attempt)?;
            let (why, retry_after) = match sent {
                Attempt::Taken => return Ok(()),
                Attempt::Failed { why, retry_after } => (why, retry_after),
            };
            if attempt == RETRIES {
                return Err(why);
            }
            std::thread::sleep(delay.mul_f64(0.75) + retry_after);
            delay = (delay * 2).min(LONGEST_DELAY);
        }
        Ok(())
    }

    fn attempt(&self, body: &Bytes, attempt: u32) -> Result<Attempt, String> {
        let headers = self.headers(attempt).map_err(|failure| match failure {
            Failure::Told(why) => why,
            Failure::ReaderGone => String::new(),
        })?;
        let question = Question {
            method: Method::POST,
            url: &self.url,
            headers: &headers,
            content: body.clone(),
            timeout: Duration::from_nanos(self.args.timeout.try_into().unwrap_or_default()),
        };
        let (head, body) = match self.client.ask(&question) {
            Ok(answered) => answered,
            Err(no) if !no.passing => return Err(no.text),
            Err(no) => {
                let which =
                    if no.timed_out { " (Client.Timeout exceeded while awaiting headers)" } else { "" };
                let why = format!("{}{which}", no.text);
                return Ok(Attempt::Failed { why, retry_after: Duration::ZERO });
            }
        };
        if head.status.is_success() {
            return self.confirmed(&head).map(|()| Attempt::Taken);
        }
        let said = String::from_utf8_lossy(&body);
        let why = format!("server returned HTTP status {}: {said}", head.status_text());
        if head.status.is_server_error() || head.status.as_u16() == 429 {
            let seconds = head.header("retry-after").parse().unwrap_or_default();
            return Ok(Attempt::Failed { why, retry_after: Duration::from_secs(seconds) });
        }
        Err(why)
    }

    /// A receiver of 2.0 says what it took; one that says nothing has taken nothing.
    fn confirmed(&self, head: &Head) -> Result<(), String> {
        let said =
            |name: &str| head.headers.contains_key(format!("x-prometheus-remote-write-{name}-written"));
        if self.message == MessageType::V1 || ["samples", "histograms", "exemplars"].into_iter().any(said) {
            return Ok(());
        }
        Err("sent v2 request; got 2xx, but PRW 2.0 response header statistics indicate 0 samples, 0 histograms \
             and 0 exemplars were accepted; assuming failure e.g. the target only supports \
             PRW 1.0 prometheus.WriteRequest, but does not check the Content-Type header correctly"
            .to_owned())
    }

    fn headers(&self, attempt: u32) -> Result<HeaderMap, Failure> {
        let mut all = HeaderMap::new();
        all.insert("content-encoding", HeaderValue::from_static("snappy"));
        all.insert("content-type", HeaderValue::from_static(self.message.content_type()));
        all.insert("x-prometheus-remote-write-version", HeaderValue::from_static(self.message.version()));
        if attempt > 0 {
            all.insert("retry-attempt", HeaderValue::from(attempt));
        }
        all.extend(headers(&self.args.headers)?);
        Ok(all)
    }
}

enum Attempt {
    Taken,
    Failed { why: String, retry_after: Duration },
}

/// What is sent of families, and what is said about them.
fn samples(families: &[TextFamily], added: &[(String, String)]) -> (Vec<FamilyMetadata>, Vec<PushedSample>) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let (mut about, mut samples) = (Vec::new(), Vec::new());
    for (at, family) in families.iter().enumerate() {
        let kind = match family.kind {
            // The protocol has a name of its own for them, which promtool does not know.
            MetricKind::GaugeHistogram => "unknown",
            kind => kind.as_str(),
        };
        about.push(FamilyMetadata {
            name: family.name.clone(),
            kind: kind.to_owned(),
            help: family.help.clone().unwrap_or_default(),
            unit: String::new(),
        });
        for metric in &family.metrics {
            let t = metric.timestamp.filter(|t| *t != 0).unwrap_or(now);
            push_samples(&mut samples, family, metric, &labels(family, metric, added), (at, t));
        }
    }
    (about, samples)
}

fn labels(family: &TextFamily, metric: &TextMetric, added: &[(String, String)]) -> BTreeMap<String, String> {
    let name = (model::METRIC_NAME.to_owned(), family.name.clone());
    let mut labels: BTreeMap<_, _> = std::iter::once(name).chain(added.iter().cloned()).collect();
    for (label, value) in &metric.labels {
        let label = if label == "job" { "exported_job".to_owned() } else { label.clone() };
        labels.insert(label, value.clone());
    }
    labels
}

fn push_samples(
    samples: &mut Vec<PushedSample>,
    family: &TextFamily,
    metric: &TextMetric,
    labels: &BTreeMap<String, String>,
    (at, t): (usize, i64),
) {
    let mut push = |suffix: &str, more: Option<(&str, String)>, v: f64| {
        let mut labels = labels.clone();
        labels.insert(model::METRIC_NAME.to_owned(), format!("{}{suffix}", family.name));
        labels.extend(more.map(|(label, value)| (label.to_owned(), value)));
        samples.push(PushedSample { labels: labels.into_iter().collect::<Labels>(), t, v, family: at });
    };
    match &metric.value {
        TextValue::Float(v) => push("", None, *v),
        TextValue::Summary { quantiles, sum, count } => {
            quantiles.iter().for_each(|(q, v)| push("", Some(("quantile", format_g(*q))), *v));
            push("_sum", None, *sum);
            push("_count", None, *count);
        }
        TextValue::Histogram { buckets, sum, count } => {
            buckets.iter().for_each(|(bound, v)| push("_bucket", Some(("le", format_g(*bound))), *v));
            if !buckets.iter().any(|(bound, _)| *bound == f64::INFINITY) {
                push("_bucket", Some(("le", "+Inf".to_owned())), *count);
            }
            push("_sum", None, *sum);
            push("_count", None, *count);
        }
    }
}
