//! The API on a port of its own, over a head in a temporary directory.

mod hang_up;
mod odd;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use exposition::registry::Registry;
use model::{Labels, Regex};
use serde_json::Value;
use storage::{Affinity, Append as _, Batch, BatchExemplar, BatchSample, Outcome};
use tokio_util::sync::CancellationToken;

pub(crate) struct Server {
    address: std::net::SocketAddr,
    db: Arc<tsdb::Db>,
    stop: CancellationToken,
    _reactor: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A program that is ready and has nothing to say.
struct Still;

impl api::Runtime for Still {
    fn is_ready(&self) -> bool {
        true
    }
    fn config_yaml(&self) -> String {
        String::new()
    }
    fn scrape_pool_yaml(&self, _: &str) -> Option<String> {
        None
    }
    fn external_labels(&self) -> Vec<(String, String)> {
        vec![("cluster".into(), "c1".into()), ("replica".into(), "0".into())]
    }
    fn flags(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn build_info(&self) -> api::BuildInfo {
        api::BuildInfo::default()
    }
    fn runtime_info(&self) -> api::RuntimeInfo {
        api::RuntimeInfo::default()
    }
    fn reload(&self) -> Result<(), String> {
        Ok(())
    }
    fn is_stopping(&self) -> bool {
        false
    }
    fn quit(&self) -> bool {
        true
    }
}

impl Server {
    pub(crate) fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let reactor = tokio::runtime::Runtime::new().unwrap();
        let _inside = reactor.enter();
        let registry = Registry::new();
        let head = tsdb::HeadOptions { exemplars: true, ..Default::default() };
        let options = tsdb::DbOptions { head, ..Default::default() };
        let db = Arc::new(tsdb::Db::open(dir.path(), options, &registry).unwrap());
        let scrape = scrape::Manager::new(Default::default(), Arc::clone(&db) as _, &registry);
        let engine = promql::Engine::new(promql::EngineOptions {
            parse: promql::ParseOptions::all(),
            per_step_stats: true,
            ..Default::default()
        });
        let store = Arc::clone(&db) as Arc<dyn storage::Append>;
        let receiver =
            remote::Receiver::new(store, remote::ReceiverOptions::default(), &Default::default(), &registry);
        let reader =
            remote::ReadServer::new(Arc::clone(&db) as _, remote::ReadServerOptions::default(), &registry);
        let notifications = Arc::new(api::Notifications::new(&registry, 16));
        let api = api::Api::new(
            api::Options {
                route_prefix: String::new(),
                external_path: String::new(),
                external_address: scrape::ExternalAddress {
                    host: "h:9090".into(),
                    listen_port: "9090".into(),
                },
                read_timeout: Duration::from_secs(10),
                max_concurrency: 4,
                query_timeout: Duration::from_secs(60),
                max_samples: 50_000_000,
                memory: storage::MemoryBudget::default(),
                enable_lifecycle: true,
                enable_admin: true,
                search_max_limit: Some(10_000),
                page_title: None,
                user_assets: None,
                consoles: api::Consoles::default(),
                features: vec![api::Feature { area: "tsdb", name: "exemplar_storage", enabled: true }],
                notifications: Arc::clone(&notifications),
                cors_origin: Regex::new(".*").unwrap(),
                write_receiver: Some(Arc::new(receiver)),
                otlp_receiver: None,
                max_request_memory: 64 << 20,
                queried: None,
                read_server: Arc::new(reader),
                max_reads: 4,
                query_log: Arc::new(api::QueryLog::new(&registry)),
                active_queries: None,
            },
            Arc::new(engine),
            Arc::clone(&db),
            Arc::new(scrape),
            Arc::new(Still),
            registry.clone(),
            Vec::new(),
        );
        let limits = httpserver::Limits {
            max_connections: 16,
            read_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
        };
        let server = httpserver::Server::new(limits, None, &registry).unwrap();
        let listener = reactor.block_on(httpserver::listen("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        reactor.spawn(api::serve(api, server, listener, stop.clone()));
        drop(_inside);
        Server { address, db, stop, _reactor: reactor, dir }
    }

    /// Where its data is.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Stores an exemplar.
    pub(crate) fn append_exemplar(&self, series: &Labels, labels: &Labels, t: i64, v: f64) {
        let series = self.db.resolve(Affinity(1), series).unwrap().series;
        let exemplar = BatchExemplar { series, labels: labels.clone(), t, v, timed: true };
        let mut outcome = Outcome::default();
        let sample = BatchSample { series, t, v };
        let batch = Batch { samples: vec![sample], exemplars: vec![exemplar], ..Batch::default() };
        self.db.append(&batch, &mut outcome).unwrap();
        assert_eq!(outcome.appended_exemplars, 1);
    }

    /// Stores samples in order of time, as scrapes would bring them: the head refuses what is much older than its newest.
    pub(crate) fn append(&self, samples: &[(Labels, i64, f64)]) {
        let mut samples: Vec<BatchSample> = samples
            .iter()
            .map(|(labels, t, v)| {
                let series = self.db.resolve(Affinity(1), labels).unwrap().series;
                BatchSample { series, t: *t, v: *v }
            })
            .collect();
        samples.sort_by_key(|s| s.t);
        let mut outcome = Outcome::default();
        for scrape in samples.chunk_by(|a, b| a.t == b.t) {
            self.db.append(&Batch { samples: scrape.to_vec(), ..Batch::default() }, &mut outcome).unwrap();
            assert!(outcome.rejected.is_empty(), "{:?}", outcome.rejected);
        }
    }

    /// Sends a row of the recording.
    pub(crate) fn request(&self, row: &Value) -> Response {
        answer(self.begin(row))
    }

    /// Sends it and waits for nothing.
    pub(crate) fn begin(&self, row: &Value) -> TcpStream {
        let encode = |pairs: &Value| {
            let mut out = url::form_urlencoded::Serializer::new(String::new());
            for pair in pairs.as_array().into_iter().flatten() {
                out.append_pair(pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            }
            out.finish()
        };
        let query = encode(&row["params"]);
        let mut body = encode(&row["form"]).into_bytes();
        let form = !body.is_empty();
        if let Some(raw) = row["body_b64"].as_str() {
            use base64::Engine as _;
            body = base64::engine::general_purpose::STANDARD.decode(raw).unwrap();
        }
        let mut target = row["path"].as_str().unwrap().to_owned();
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        let method = row["method"].as_str().unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
        for (name, value) in row["headers"].as_object().into_iter().flatten() {
            head += &format!("{name}: {}\r\n", value.as_str().unwrap());
        }
        if form {
            head += "Content-Type: application/x-www-form-urlencoded\r\n";
        }
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "{head}Content-Length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(&body).unwrap();
        stream
    }
}

fn answer(mut stream: TcpStream) -> Response {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: BTreeMap<String, String> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    let mut body = bytes[end + 4..].to_vec();
    if headers.get("transfer-encoding").is_some_and(|v| v == "chunked") {
        body = dechunked(&body);
    }
    // An error may be plain though the head says otherwise.
    let coded = headers.contains_key("content-encoding") && status == 200;
    let body = if coded { String::new() } else { String::from_utf8(body).unwrap_or_default() };
    Response { status, headers, body }
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        out.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    out
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
