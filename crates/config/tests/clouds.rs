//! Clouds: what is found through their APIs, and what is asked there, equals what Prometheus finds and asks with the
//! same answers. The cases are described in `testdata/cloud/README.md`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use cloudauth::Environment;
use config::{FeatureDefaults, LoadOptions, Millis, Retention};
use discovery::{Manager, Metrics, ProviderOptions};
use exposition::{MetricValue, Registry};
use httpclient::ProxyOptions;
use model::Labels;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What stands for the stub's address in the cases.
const STUB: &str = "STUB";
/// What stands for the directory of a case's files.
const DIRECTORY: &str = "DIR";

/// What stands for a private key that nobody has had before.
const NEW_KEY: &str = "NEW RSA KEY";

fn new_key() -> String {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem()
}

#[derive(Deserialize)]
struct Case {
    config: String,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    proxy_by_environment: bool,
    #[serde(default)]
    files: BTreeMap<String, String>,
    exchanges: Vec<Exchange>,
    asked: BTreeSet<String>,
    targets: Vec<BTreeMap<String, String>>,
}

#[derive(Deserialize, Clone)]
struct Exchange {
    request: String,
    #[serde(default)]
    with: BTreeMap<String, String>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default)]
    contains: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Requests for credentials, of which clients make different ones.
    #[serde(default)]
    quiet: bool,
    /// Targets are found without it.
    #[serde(default)]
    tolerated: bool,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    answer_headers: BTreeMap<String, String>,
    body: Value,
}

fn ok() -> u16 {
    200
}

/// A server that answers as a case says, to plain requests, as a proxy, and behind a tunnel as any host.
struct Stub {
    address: String,
    exchanges: Mutex<Vec<Exchange>>,
    asked: Mutex<BTreeSet<String>>,
    unknown: Mutex<Vec<String>>,
    tls: TlsAcceptor,
}

struct Asked {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    content: String,
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await.ok()?;
    Some(Asked { method, target, headers, content: String::from_utf8_lossy(&content).into_owned() })
}

impl Stub {
    async fn start(exchanges: Vec<Exchange>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let signed = rcgen::generate_simple_self_signed(vec!["any".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key.into())
            .unwrap();
        let stub = Arc::new(Stub {
            address: listener.local_addr().unwrap().to_string(),
            exchanges: Mutex::new(exchanges),
            asked: Mutex::default(),
            unknown: Mutex::default(),
            tls: TlsAcceptor::from(Arc::new(tls)),
        });
        let accepting = stub.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let stub = accepting.clone();
                tokio::spawn(async move {
                    while let Some(asked) = read_request(&mut stream).await {
                        if asked.method == "CONNECT" {
                            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                            let Ok(tls) = stub.tls.accept(stream).await else { return };
                            return stub.serve(tls).await;
                        }
                        stub.reply(&mut stream, "http", &asked).await;
                    }
                });
            }
        });
        stub
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        while let Some(asked) = read_request(&mut stream).await {
            self.reply(&mut stream, "https", &asked).await;
        }
    }

    async fn reply(&self, stream: &mut (impl AsyncWrite + Unpin), scheme: &str, asked: &Asked) {
        let _ = stream.write_all(self.answer(scheme, asked).as_bytes()).await;
        let _ = stream.flush().await;
    }

    fn answer(&self, scheme: &str, asked: &Asked) -> String {
        let target = match asked.target.strip_prefix("http://") {
            Some(rest) => rest.split_once('/').map_or("/".to_owned(), |(_, path)| format!("/{path}")),
            None => asked.target.clone(),
        };
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let host = asked.headers["host"].replace(&self.address, STUB);
        let name = format!("{} {scheme}://{host}{path}", asked.method);
        let is_form = asked.headers.get("content-type").is_some_and(|t| t.contains("x-www-form-urlencoded"));
        let query = pairs(query);
        let form = if is_form { pairs(&asked.content) } else { BTreeSet::new() };
        let has =
            |key: &String, value: &String| query.iter().chain(&form).any(|(k, v)| k == key && v == value);
        let fits = |e: &&Exchange| {
            e.request == name
                && e.with.iter().all(|(key, value)| has(key, value))
                && !e.without.iter().any(|key| query.iter().chain(&form).any(|(k, _)| k == key))
                && e.contains.iter().all(|part| asked.content.contains(part))
                && e.headers.iter().all(|(name, part)| {
                    asked.headers.get(&name.to_ascii_lowercase()).is_some_and(|v| v.contains(part))
                })
        };
        let known = self.exchanges.lock().unwrap().iter().find(fits).cloned();
        let mut line = name;
        if !query.is_empty() {
            line = format!("{line}?{}", encoded(&query));
        }
        if !form.is_empty() {
            line = format!("{line} {}", encoded(&form));
        }
        let Some(known) = known else {
            self.unknown.lock().unwrap().push(format!("{line} {}", asked.content));
            return "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}".to_owned();
        };
        if !known.quiet {
            self.asked.lock().unwrap().insert(line);
        }
        let body = match &known.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let body = body.replace(STUB, &self.address);
        let headers: String = known
            .answer_headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\r\n", value.replace(STUB, &self.address)))
            .collect();
        format!("HTTP/1.1 {} S\r\n{headers}Content-Length: {}\r\n\r\n{body}", known.status, body.len())
    }
}

fn pairs(query: &str) -> BTreeSet<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

/// As the recordings have it: sorted.
fn encoded(pairs: &BTreeSet<(String, String)>) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// `request` with its query and its form in one order and one spelling.
fn normalized(line: &str) -> String {
    let again = |text: &str| encoded(&pairs(text));
    let (url, form) =
        line.split_once(' ').map_or((line, None), |(method, rest)| match rest.split_once(' ') {
            Some((url, form)) => (&line[..method.len() + 1 + url.len()], Some(again(form))),
            None => (line, None),
        });
    let url = match url.split_once('?') {
        Some((path, query)) => format!("{path}?{}", again(query)),
        None => url.to_owned(),
    };
    form.map_or_else(|| url.clone(), |form| format!("{url} {form}"))
}

/// The providers of a case's configuration, which take the case's environment for their own.
fn providers(case: &Case, stub: &Stub, directory: &Path) -> Vec<ProviderOptions> {
    let fill =
        |text: &str| text.replace(STUB, &stub.address).replace(DIRECTORY, &directory.display().to_string());
    let indented: String = case.config.lines().map(|line| format!("  {line}\n")).collect();
    let text = fill(&format!("scrape_configs:\n- job_name: cloud\n{indented}"));
    let options = LoadOptions {
        environment: &|_| None,
        directory,
        default_retention: Retention { time: Millis(15 * 86_400_000), ..Retention::default() },
        features: FeatureDefaults::default(),
    };
    let loaded = config::load(&text, &options).unwrap_or_else(|err| panic!("{err}\n{text}"));
    let jobs = loaded.scrape_configs().unwrap();
    assert!(loaded.unsupported(&jobs).is_none(), "{}", loaded.unsupported(&jobs).unwrap());
    let mut providers = jobs[0].to_job().unwrap().providers;
    let environment: Environment = case.environment.iter().map(|(name, value)| (name, fill(value))).collect();
    for provider in &mut providers {
        let mut clients = Vec::new();
        match provider {
            ProviderOptions::Ec2(options) => options.aws.environment = environment.clone(),
            ProviderOptions::Ecs(options) => options.aws.environment = environment.clone(),
            ProviderOptions::ElastiCache(options) => options.aws.environment = environment.clone(),
            ProviderOptions::Lightsail(options) => options.aws.environment = environment.clone(),
            ProviderOptions::Msk(options) => options.aws.environment = environment.clone(),
            ProviderOptions::Rds(options) => options.aws.environment = environment.clone(),
            ProviderOptions::Gce(options) => {
                options.environment = environment.clone();
                clients.push(&mut options.client);
            }
            ProviderOptions::Azure(options) => {
                options.environment = environment.clone();
                clients.push(&mut options.token_client);
            }
            ProviderOptions::OpenStack(options) => options.environment = environment.clone(),
            ProviderOptions::OvhCloud(options) => clients.push(&mut options.client),
            ProviderOptions::Stackit(options) => options.environment = environment.clone(),
            _ => {}
        }
        for client in clients.into_iter().filter(|_| case.proxy_by_environment) {
            let proxy = httpclient::Secret::from(format!("http://{}", stub.address));
            client.proxy =
                ProxyOptions { http: Some(proxy.clone()), https: Some(proxy), ..ProxyOptions::default() };
            client.tls.insecure_skip_verify = true;
        }
    }
    providers
}

struct Run {
    found: Vec<BTreeMap<String, String>>,
    asked: BTreeSet<String>,
    unknown: Vec<String>,
    failures: f64,
}

async fn run(case: &Case) -> Run {
    let stub = Stub::start(case.exchanges.clone()).await;
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in &case.files {
        let text = if text == NEW_KEY { new_key() } else { text.replace(STUB, &stub.address) };
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let registry = Registry::new();
    let manager = Manager::new("scrape", &Metrics::register(&registry), Duration::from_millis(50));
    let mut sets = manager.subscribe();
    let providers = providers(case, &stub, directory.path());
    for provider in &providers {
        provider.validate().unwrap();
    }
    manager.apply([("cloud".to_owned(), providers)]);
    let wait = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            // Published once when the job was there, and once with what was found.
            let published = sum(&registry, "prometheus_sd_updates_total") > 1.0;
            if published || failures(&registry) > 0.0 {
                return;
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), sets.changed()).await;
        }
    });
    let _ = wait.await;
    let sets = sets.borrow_and_update().clone();
    let groups = sets.get("cloud").into_iter().flatten();
    let found: Vec<BTreeMap<String, String>> = groups
        .flat_map(|group| (0..group.targets.len()).map(|i| to_map(&group.labels_of(i))).collect::<Vec<_>>())
        .collect();
    let text = serde_json::to_string(&found).unwrap().replace(&stub.address, STUB);
    let mut found: Vec<BTreeMap<String, String>> = serde_json::from_str(&text).unwrap();
    // Targets without an address are refused when they are relabelled.
    found.retain(|target| target.contains_key("__address__"));
    found.sort();
    let asked = stub.asked.lock().unwrap().iter().map(|line| normalized(line)).collect();
    let unknown = stub.unknown.lock().unwrap().clone();
    Run { found, asked, unknown, failures: failures(&registry) }
}

fn to_map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn failures(registry: &Registry) -> f64 {
    sum(registry, "prometheus_sd_refresh_failures_total")
}

fn sum(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name);
    let metrics = family.into_iter().flat_map(|family| &family.metrics);
    metrics.map(|m| if let MetricValue::Float(v) = m.value { v } else { 0.0 }).sum()
}

/// A configuration and what Prometheus said of it: why it was refused, or how it was shown.
#[derive(Deserialize)]
struct Configuration {
    name: String,
    content: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    yaml: Option<String>,
}

#[test]
fn configurations_are_refused_and_shown_as_prometheus_does() {
    let mut differences = Vec::new();
    for line in include_str!("../testdata/cloud/configurations.jsonl").lines() {
        let row: Configuration = serde_json::from_str(line).unwrap();
        let options = LoadOptions {
            environment: &|_| None,
            directory: Path::new("."),
            default_retention: Retention { time: Millis(15 * 86_400_000), ..Retention::default() },
            features: FeatureDefaults::default(),
        };
        let got = config::load(&row.content, &options);
        match (got, row.error, row.yaml) {
            (Ok(config), None, Some(want)) if config.effective_yaml() != want => {
                differences.push(format!(
                    "{}: shown as\n{}not as\n{want}",
                    row.name,
                    config.effective_yaml()
                ));
            }
            (Err(err), Some(want), _) if err.to_string() != want => {
                differences.push(format!("{}: refused with {err:?}, not with {want:?}", row.name));
            }
            (Ok(_), Some(want), _) => differences.push(format!("{}: taken, but {want}", row.name)),
            (Err(err), None, _) => differences.push(format!("{}: refused with {err}", row.name)),
            _ => {}
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn cases() -> Vec<(String, Case)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/cloud");
    let mut cases: Vec<(String, Case)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let case = serde_json::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
            (path.file_stem().unwrap().to_string_lossy().into_owned(), case)
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_requests_are_those_of_prometheus() {
    let only = std::env::var("CASE").ok();
    let mut differences = Vec::new();
    for (name, case) in cases() {
        if only.as_ref().is_some_and(|only| !name.starts_with(only)) {
            continue;
        }
        let run = run(&case).await;
        let mut wanted = case.targets.clone();
        wanted.sort();
        for target in run.found.iter().filter(|target| !wanted.contains(target)) {
            differences.push(format!("{name}: not found by Prometheus: {target:#?}"));
        }
        for target in wanted.iter().filter(|target| !run.found.contains(target)) {
            differences.push(format!("{name}: found by Prometheus alone: {target:#?}"));
        }
        let recorded: BTreeSet<String> = case.asked.iter().map(|line| normalized(line)).collect();
        if run.asked != recorded {
            differences.push(format!("{name}: asked {:#?}, Prometheus {recorded:#?}", run.asked));
        }
        if !run.unknown.is_empty() {
            differences.push(format!("{name}: asked besides {:#?}", run.unknown));
        }
        if run.failures > 0.0 {
            differences.push(format!("{name}: a refresh failed"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Each answer of each case, cut in the middle: it is a failure, and nothing is made up.
#[tokio::test(flavor = "multi_thread")]
async fn broken_answers_are_failures_and_no_targets() {
    let mut checks = tokio::task::JoinSet::new();
    for (name, case) in cases() {
        checks.spawn(async move {
            for (i, exchange) in case.exchanges.iter().enumerate() {
                if exchange.status < 300 && !exchange.quiet {
                    check_broken(&format!("{name}: {}", exchange.request), &case, i).await;
                }
            }
        });
    }
    while let Some(check) = checks.join_next().await {
        check.unwrap();
    }
}

async fn check_broken(what: &str, case: &Case, i: usize) {
    let exchange = &case.exchanges[i];
    let text = match &exchange.body {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut cut = text.len() / 2;
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut broken = case.exchanges.clone();
    broken[i].body = Value::String(text[..cut].to_owned());
    let run = run(&Case { exchanges: broken, ..clone(case) }).await;
    if !exchange.tolerated {
        assert!(run.failures > 0.0 && run.found.is_empty(), "{what} was not noticed");
    }
    for found in &run.found {
        let is_part = |whole: &BTreeMap<String, String>| found.iter().all(|(k, v)| whole.get(k) == Some(v));
        assert!(case.targets.iter().any(is_part), "{what}: made up {found:#?}");
    }
}

fn clone(case: &Case) -> Case {
    Case {
        config: case.config.clone(),
        environment: case.environment.clone(),
        files: case.files.clone(),
        exchanges: Vec::new(),
        asked: BTreeSet::new(),
        targets: case.targets.clone(),
        ..*case
    }
}
