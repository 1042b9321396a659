//! The server over real sockets: whom it lets in, and what it bears.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::type_complexity)] // tables of cases

mod certificates;
mod floods;
mod users;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exposition::registry::Registry;
use http::{Request, Response};
use httpclient::{Client, ClientOptions, HeaderMap, Source, TlsOptions, Url};
use httpserver::{Caller, Limits, ResponseBody, Server, WebOptions};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

pub(crate) const LIMITS: Limits = Limits {
    max_connections: 64,
    read_timeout: Duration::from_secs(60),
    stall_timeout: Duration::from_secs(60),
    shutdown_timeout: Duration::from_secs(60),
};

/// Bytes of the answer to `/large`.
pub(crate) const LARGE: usize = 64 << 20;

/// A server, and what it says of itself.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) registry: Registry,
    pub(crate) ended: tokio::task::JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(limits: Limits, web: Option<(&Path, httpserver::ReadWebOptions)>) -> Served {
        let registry = Registry::new();
        let server = Server::new(limits, web, &registry).unwrap();
        let listener = httpserver::listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ended = tokio::spawn({
            let stop = stop.clone();
            async move { server.serve(&listener, answer, stop).await }
        });
        Served { address, stop, registry, ended }
    }

    /// The value of a metric; of several, their sum.
    pub(crate) fn metric(&self, name: &str, label: &str) -> f64 {
        let families = self.registry.gather();
        let Some(family) = families.into_iter().find(|family| family.name == name) else { return 0.0 };
        let of_label = |metric: &&exposition::Metric| metric.labels.iter().any(|(_, value)| value == label);
        let metrics = family.metrics.iter().filter(|metric| label.is_empty() || of_label(metric));
        let values = metrics.map(|metric| match metric.value {
            exposition::MetricValue::Float(value) => value,
            _ => panic!("{name} is no number"),
        });
        values.sum()
    }

    /// Waits until it is so.
    pub(crate) async fn wait_for(&self, what: &str, name: &str, label: &str, is: impl Fn(f64) -> bool) {
        let waiting = async {
            while !is(self.metric(name, label)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), waiting).await.is_err() {
            panic!("never {what}: {name} is {}", self.metric(name, label));
        }
    }
}

/// Says who asks, or sends very much.
async fn answer(request: Request<Incoming>) -> Response<ResponseBody> {
    let caller = request.extensions().get::<Caller>().unwrap().clone();
    let path = request.uri().path().to_owned();
    if path == "/large" {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            for _ in 0..LARGE / 65536 {
                if sender.send(Ok(vec![b'x'; 65536].into())).await.is_err() {
                    return;
                }
            }
        });
        return Response::new(ResponseBody::pieces(receiver));
    }
    if path == "/body" {
        let _reading = caller.reading();
        let body = http_body_util::BodyExt::collect(request.into_body()).await;
        return Response::new(ResponseBody::whole(format!("{:?}", body.map(|b| b.to_bytes().len()).ok())));
    }
    let user = caller.user.as_deref().unwrap_or("-");
    let certificate = caller.certificate.as_deref().map_or("-".to_owned(), |certificate| {
        let verified = if certificate.verified { "verified" } else { "shown" };
        format!(
            "{verified} {} {}",
            certificate.common_names.join(","),
            certificate.alternative_names.join(",")
        )
    });
    Response::new(ResponseBody::whole(format!("{:?} {user} {certificate}", request.version())))
}

/// What a client gets: status, headers and body, or why not.
pub(crate) async fn get(
    address: SocketAddr,
    scheme: &str,
    options: &ClientOptions,
    headers: &HeaderMap,
) -> Result<(u16, HeaderMap, String), String> {
    let client = Client::new(options).map_err(|err| err.to_string())?;
    let url = Url::parse(&format!("{scheme}://localhost:{}/who", address.port())).unwrap();
    let answered = client.get(&url, headers, httpclient::Limits::default(), Duration::from_secs(30)).await;
    let (head, body) = answered.map_err(|err| err.to_string())?;
    Ok((head.status.as_u16(), head.headers, String::from_utf8(body).unwrap()))
}

/// Of a client that trusts this certificate.
pub(crate) fn trusting(ca: &str, own: Option<(&str, &str)>) -> ClientOptions {
    let inline = |text: &str| Some(Source::Inline(text.to_owned().into()));
    ClientOptions {
        tls: TlsOptions {
            ca: inline(ca),
            cert: own.and_then(|(cert, _)| inline(cert)),
            key: own.and_then(|(_, key)| inline(key)),
            ..TlsOptions::default()
        },
        ..ClientOptions::default()
    }
}

/// A file of which a test says what it says.
pub(crate) struct WebFile {
    dir: tempfile::TempDir,
    options: Arc<Mutex<Result<WebOptions, String>>>,
    version: AtomicUsize,
}

impl WebFile {
    pub(crate) fn new(options: WebOptions) -> WebFile {
        let dir = tempfile::tempdir().unwrap();
        let file =
            WebFile { dir, options: Arc::new(Mutex::new(Ok(options.clone()))), version: AtomicUsize::new(0) };
        file.change(Ok(options));
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("web.yml")
    }

    pub(crate) fn change(&self, options: Result<WebOptions, String>) {
        *self.options.lock().unwrap() = options;
        let version = self.version.fetch_add(1, Ordering::Relaxed);
        std::fs::write(self.path(), version.to_string()).unwrap();
    }

    pub(crate) async fn serve(&self, limits: Limits) -> Served {
        let options = Arc::clone(&self.options);
        let read = Arc::new(move |_: &[u8], _: &Path| options.lock().unwrap().clone());
        Served::start(limits, Some((&self.path(), read))).await
    }
}

/// Says nothing but that HTTP/2 may be spoken, as a file with nothing in it.
pub(crate) fn plain() -> WebOptions {
    WebOptions { http2: true, ..WebOptions::default() }
}
