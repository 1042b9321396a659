//! Accepting connections and speaking HTTP on them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::raw_targets::RawTargets;
use crate::reply::{Body, Reply};
use crate::{Api, routes};

/// Form bodies beyond this are refused: Go's limit for parsed forms.
const MAX_FORM_BYTES: usize = 10 << 20;

/// Why serving ended.
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
}

/// Serves `api` on `listener` until `stop` is cancelled, then lets running requests finish.
pub async fn serve(api: Arc<Api>, listener: TcpListener, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(api.options.max_connections.max(1)));
    let connections = TaskTracker::new();
    loop {
        // A slot first: connections beyond the limit stay in the kernel's queue.
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: give others the time to close theirs.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        // Answers are written whole; waiting to fill packets only delays them.
        let _ = stream.set_nodelay(true);
        let (api, stop) = (Arc::clone(&api), stop.clone());
        connections.spawn(async move {
            api.metrics.connections.inc();
            connection(&api, stream, client, stop).await;
            api.metrics.connections.dec();
            drop(slot);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn connection(
    api: &Arc<Api>,
    stream: tokio::net::TcpStream,
    client: SocketAddr,
    stop: CancellationToken,
) {
    let service = service_fn(|mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(client);
        let api = Arc::clone(api);
        async move { Ok::<_, Infallible>(handle(api, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(api.options.read_timeout)
        .serve_connection(TokioIo::new(RawTargets::new(stream)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn handle(api: Arc<Api>, request: http::Request<Incoming>) -> http::Response<ReplyBody> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let is_form = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let reading = async {
        match is_form {
            true => Limited::new(body, MAX_FORM_BYTES).collect().await.map(|b| b.to_bytes()),
            false => Ok(Bytes::new()),
        }
    };
    let read_timeout = api.options.read_timeout;
    let (handler, reply) = match tokio::time::timeout(read_timeout, reading).await {
        Ok(Ok(form)) => routes::dispatch(Arc::clone(&api), parts, &form).await,
        Ok(Err(_)) => {
            let text = "the request's body is too large or ended early\n";
            ("", Reply::text(http::StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(_) => (
            "",
            Reply::text(http::StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive in time\n"),
        ),
    };
    api.metrics.requests.with(&[handler, reply.status.as_str()]).inc();
    api.metrics.duration.with(&[handler]).observe(began.elapsed().as_secs_f64());
    if let Body::Whole(body) = &reply.body {
        api.metrics.size.with(&[handler]).observe(body.len() as f64);
    }
    let mut response = http::Response::new(match reply.body {
        Body::Whole(bytes) => ReplyBody::Whole(Full::new(bytes)),
        Body::Pieces(receiver) => ReplyBody::Pieces(receiver),
    });
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// [`Body`] as hyper wants it.
enum ReplyBody {
    Whole(Full<Bytes>),
    Pieces(mpsc::Receiver<Result<Bytes, std::io::Error>>),
}

impl hyper::body::Body for ReplyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.get_mut() {
            ReplyBody::Whole(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            ReplyBody::Pieces(receiver) => {
                receiver.poll_recv(cx).map(|piece| piece.map(|p| p.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(full) => full.is_end_stream(),
            ReplyBody::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            ReplyBody::Whole(full) => full.size_hint(),
            ReplyBody::Pieces(_) => hyper::body::SizeHint::default(),
        }
    }
}

/// Opens the socket that [`serve`] accepts from.
///
/// # Errors
/// When the address is not one or is taken.
pub async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let refused = |source| ServeError::Listen { address: address.to_owned(), source };
    let parsed = address.parse::<SocketAddr>();
    match parsed {
        Ok(parsed) => TcpListener::bind(parsed).await.map_err(refused),
        // `:9090` is Go's way of saying "on every address".
        Err(_) => match address.strip_prefix(':') {
            Some(port) => TcpListener::bind(format!("[::]:{port}")).await.map_err(refused),
            None => TcpListener::bind(address).await.map_err(refused),
        },
    }
}
