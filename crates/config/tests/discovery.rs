//! Every kind of discovery against a stub of its service, from its lines in the file to the labels of the targets.
//!
//! A file of `testdata/discovery` holds the lines, what the stub answers, and what Prometheus 3.14 found and asked for
//! when it was given the same lines and the same stub.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::{FeatureDefaults, LoadOptions, Retention, ScrapeConfig, load};
use discovery::{Manager, Metrics};
use exposition::Registry;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Case {
    /// Lines of a job; `HOST` stands for the stub's host and port, `PORT` for its port.
    config: String,
    /// The stub speaks TLS.
    #[serde(default)]
    tls: bool,
    routes: Vec<Route>,
    /// Requests with this in their target are never answered.
    hold: Option<String>,
    /// The content type of answers that name none.
    #[serde(default = "json")]
    r#type: String,
    targets: BTreeSet<BTreeMap<String, String>>,
    requests: BTreeSet<(String, BTreeMap<String, String>, String)>,
}

fn json() -> String {
    "application/json".into()
}

#[derive(Deserialize)]
struct Route {
    /// `GET /path?query`; without query it stands for all of them.
    request: String,
    /// What the body of the request must have in it.
    #[serde(default)]
    contains: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: serde_json::Value,
}

fn ok() -> u16 {
    200
}

/// The headers of requests that are compared.
const COMPARED: [&str; 4] = ["authorization", "x-consul-token", "content-type", "accept"];

type Seen = Arc<std::sync::Mutex<BTreeSet<(String, BTreeMap<String, String>, String)>>>;

/// The path and the query, decoded and sorted.
fn normal(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs: Vec<String> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.sort();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// JSON in one spelling.
fn same_spelling(body: String) -> String {
    serde_json::from_str(&body).map_or(body, |value: serde_json::Value| value.to_string())
}

/// What makes a server speak TLS, with a certificate that nobody knows.
fn tls() -> tokio_rustls::TlsAcceptor {
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        builder.with_no_client_auth().with_single_cert(vec![identity.cert.der().clone()], key).unwrap();
    Arc::new(config).into()
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    case: Arc<Case>,
    host: String,
    seen: Seen,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), normal(words.next()?));
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = String::from_utf8(body).unwrap().replace(&host, "HOST");
        headers.retain(|name, _| {
            COMPARED.contains(&&**name) && (method == "POST" || !matches!(&**name, "content-type" | "accept"))
        });
        let asked = format!("{method} {target}");
        seen.lock().unwrap().insert((asked.clone(), headers, same_spelling(body.clone())));
        if case.hold.as_ref().is_some_and(|part| target.contains(part)) {
            std::future::pending::<()>().await;
        }
        let path = asked.split('?').next().unwrap();
        let fits = |route: &&Route, asked: &str| route.request == asked && body.contains(&route.contains);
        let exact = case.routes.iter().find(|route| fits(route, &asked));
        let route = exact.or_else(|| case.routes.iter().find(|route| fits(route, path)));
        let (status, content) = match route {
            Some(Route { body: serde_json::Value::String(text), status, .. }) => (*status, text.clone()),
            Some(route) => (route.status, route.body.to_string()),
            None => (404, "no route".to_owned()),
        };
        let mut answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", content.len());
        let headers = route.map(|route| &route.headers).into_iter().flatten();
        headers.for_each(|(name, value)| answer += &format!("{name}: {value}\r\n"));
        if !answer.to_lowercase().contains("content-type") {
            answer += &format!("Content-Type: {}\r\n", case.r#type);
        }
        answer += "\r\n";
        if method != "HEAD" {
            answer += &content.replace("HOST", &host);
        }
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn listener_port(host: &str) -> &str {
    host.split_once(':').map_or("", |(_, port)| port)
}

/// Without what every target has.
fn told(labels: &model::Labels, host: &str) -> BTreeMap<String, String> {
    let told = labels
        .iter()
        .filter(|pair| !matches!(pair, ("__scheme__", "http") | ("__metrics_path__", "/metrics")));
    let port = listener_port(host);
    let constant = |value: &str| value.replace(host, "HOST").replace(&format!(":{port}"), ":PORT");
    told.map(|(name, value)| (name.to_owned(), constant(value))).collect()
}

/// The job of these lines.
fn jobs(name: &str, lines: &str) -> Vec<ScrapeConfig> {
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    let options = LoadOptions {
        environment: &|_| None,
        directory: Path::new("."),
        default_retention: Retention::default(),
        features: FeatureDefaults::default(),
    };
    let config = load(format!("scrape_configs:\n- job_name: j\n{lines}"), &options);
    let config = config.unwrap_or_else(|err| panic!("{name}: {err}"));
    let jobs = config.scrape_configs().unwrap();
    assert_eq!(config.unsupported(&jobs), None, "{name}");
    jobs
}

async fn finds_what_prometheus_finds(name: &str, mut case: Case) {
    case.requests = case
        .requests
        .into_iter()
        .map(|(asked, headers, body)| (asked, headers, same_spelling(body)))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (case, seen) = (Arc::new(case), Seen::default());
    tokio::spawn({
        let (case, host, seen, tls) = (case.clone(), host.clone(), seen.clone(), tls());
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (case, host, seen) = (case.clone(), host.clone(), seen.clone());
                if case.tls {
                    let stream = tls.accept(stream);
                    tokio::spawn(async move { serve(stream.await.ok()?, case, host, seen).await });
                } else {
                    tokio::spawn(serve(stream, case, host, seen));
                }
            }
        }
    });
    let port = listener_port(&host);
    let jobs = jobs(name, &case.config.replace("HOST", &host).replace("PORT", port));

    let registry = Registry::new();
    let manager = Manager::new("scrape", &Metrics::register(&registry), Duration::from_millis(100));
    let mut sets = manager.subscribe();
    manager.apply(jobs.iter().map(|job| (job.job_name.clone(), job.to_job().unwrap().providers)));
    let found = |sets: &discovery::TargetSets| {
        let groups = sets.get("j").into_iter().flatten();
        let targets =
            groups.flat_map(|group| (0..group.targets.len()).map(|i| told(&group.labels_of(i), &host)));
        targets.collect::<BTreeSet<_>>()
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while found(&sets.borrow_and_update()) != case.targets || *seen.lock().unwrap() != case.requests {
            let _ = tokio::time::timeout(Duration::from_millis(50), sets.changed()).await;
        }
    });
    if waited.await.is_err() {
        let found = found(&sets.borrow());
        let lines =
            |targets: BTreeSet<_>| targets.into_iter().map(|one| format!("{one:?}\n")).collect::<String>();
        let difference =
            |ours: &BTreeSet<_>, theirs: &BTreeSet<_>| lines(ours.difference(theirs).cloned().collect());
        let asked = seen.lock().unwrap();
        let requests: String =
            asked.symmetric_difference(&case.requests).map(|one| format!("{one:?}\n")).collect();
        panic!(
            "{name}: only ours:\n{}only Prometheus':\n{}requests of one alone:\n{requests}",
            difference(&found, &case.targets),
            difference(&case.targets, &found)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_asked_and_read_as_prometheus_does() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/discovery");
    let mut running = tokio::task::JoinSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let case = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        running.spawn(async move { finds_what_prometheus_finds(&name, case).await });
    }
    assert!(running.len() > 5);
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}
