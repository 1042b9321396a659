//! The one inbound HTTP server: connections, TLS, users, limits. It knows nothing of what is served.
//!
//! The way of a request: [`Server::serve`] accepts → `crowd` finds a place → `connection` shakes hands and speaks HTTP →
//! `web` lets it in by what the file of `--web.config.file` says → the handler, which finds the [`Caller`] among the
//! request's extensions.

mod body;
mod certificate;
mod connection;
mod crowd;
mod metrics;
mod options;
mod private;
mod rate;
mod raw_targets;
mod tenancy;
mod tls;
mod users;
mod watched;
mod web;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use exposition::registry::Registry;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Connection;
use crate::crowd::{Crowd, Place};
use crate::metrics::Metrics;
use crate::web::Web;

pub use body::ResponseBody;
pub use certificate::Certificate;
pub use crowd::Reading;
pub use options::{ClientAuth, Limits, RateLimit, ServerTls, Version, WebOptions};
pub use private::PrivateSocket;
pub use tenancy::{Access, Grant, HeaderRule, Network, Tenancy, TenantRule};
pub use web::ReadWebOptions;

/// Why serving cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As given by the flag.
        address: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not good.
    #[error("{0}")]
    WebConfig(String),
}

/// Who sends a request: an extension of it.
#[derive(Clone)]
pub struct Caller {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The name that was proved with a password.
    pub user: Option<Arc<str>>,
    /// The certificate that was shown.
    pub certificate: Option<Arc<Certificate>>,
    /// What may be seen.
    pub access: Access,
    place: Option<Arc<Place>>,
}

impl Caller {
    /// To be held while the body of the request is read: meanwhile its connection may have to make room.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        self.place.as_ref().map(Reading::on)
    }
}

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) web: Option<Web>,
    pub(crate) metrics: Metrics,
    crowd: Arc<Crowd>,
}

/// Serves on any number of addresses, within one set of limits.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// `web` is the file of `--web.config.file` and what reads it.
    ///
    /// # Errors
    /// When the file, or what it names, is not good.
    pub fn new(
        limits: Limits,
        web: Option<(&Path, ReadWebOptions)>,
        registry: &Registry,
    ) -> Result<Server, ServeError> {
        let metrics = Metrics::register(registry, limits.max_connections);
        let web = web.map(|(path, read)| Web::open(path, read, &metrics)).transpose();
        let web = web.map_err(ServeError::WebConfig)?;
        let crowd = Crowd::new(limits.max_connections);
        Ok(Server { shared: Arc::new(Shared { limits, web, metrics, crowd }) })
    }

    /// Whether connections are encrypted.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.shared.web.as_ref().is_some_and(Web::speaks_tls)
    }

    /// Whether HTTP/2 is offered.
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        self.shared.web.as_ref().is_some_and(Web::speaks_http2)
    }

    /// Hands requests to `handler` until `stop` is cancelled, then lets running ones finish within the limit.
    pub async fn serve<H, F>(&self, listener: &TcpListener, handler: H, stop: CancellationToken)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: give others the time to close theirs.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let place = tokio::select! {
                () = stop.cancelled() => break,
                place = self.shared.crowd.place() => Arc::new(place),
            };
            // Answers are written whole; waiting to fill packets only delays them.
            let _ = stream.set_nodelay(true);
            let shared = Arc::clone(&self.shared);
            let (handler, stop) = (handler.clone(), stop.clone());
            connections.spawn(async move {
                let open = Open::count(&shared);
                Connection { shared: Arc::clone(&shared), peer, place, handler, stop }.serve(stream).await;
                drop(open);
            });
        }
        connections.close();
        connections.wait().await;
    }
}

/// A connection that is open.
struct Open(Arc<Shared>);

impl Open {
    fn count(shared: &Arc<Shared>) -> Open {
        shared.metrics.accepted.inc();
        shared.metrics.connections.inc();
        Open(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.closed.inc();
        self.0.metrics.connections.dec();
    }
}

/// Opens a socket to accept from.
///
/// # Errors
/// When the address is not one or is taken.
pub async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let refused = |source| ServeError::Listen { address: address.to_owned(), source };
    match address.parse::<SocketAddr>() {
        Ok(parsed) => TcpListener::bind(parsed).await.map_err(refused),
        // `:9090` is Go's way of saying "on every address".
        Err(_) => match address.strip_prefix(':') {
            Some(port) => TcpListener::bind(format!("[::]:{port}")).await.map_err(refused),
            None => TcpListener::bind(address).await.map_err(refused),
        },
    }
}
