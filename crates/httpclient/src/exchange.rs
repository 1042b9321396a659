//! One request and its answer on an open connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use crate::connect::Origin;
use crate::error::{Error, io_text};
use crate::http2::Shared;
use crate::stream::Stream;
use crate::tls::Handshakes;

/// Read buffer of a connection, and with it the longest head of an answer. hyper starts small and grows to this.
const MAX_BUFFER: usize = 32 << 10;
/// Header lines of an answer.
const MAX_HEADERS: usize = 128;
/// A connection that was idle for so long is not used again. Servers and what lies in between give up on it too.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// An open connection.
pub(crate) struct Open {
    origin: Origin,
    /// What the handshake was made with.
    tls: Option<Arc<Handshakes>>,
    wire: Wire,
    last_used: Instant,
}

enum Wire {
    /// HTTP/1.1: driven by whoever asks, nothing is polled while it idles.
    Own {
        sender: http1::SendRequest<Full<Bytes>>,
        driver: Pin<Box<Driver>>,
    },
    Shared(Arc<Shared>),
}

impl Open {
    /// Speaks HTTP/1.1.
    pub(crate) async fn own(
        origin: Origin,
        tls: Option<Arc<Handshakes>>,
        stream: Stream,
    ) -> Result<Self, String> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_HEADERS)
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|err| hyper_text(&err))?;
        let wire = Wire::Own { sender, driver: Box::pin(driver) };
        Ok(Open { origin, tls, wire, last_used: Instant::now() })
    }

    /// Speaks HTTP/2 with others.
    pub(crate) fn shared(origin: Origin, tls: Arc<Handshakes>, shared: Arc<Shared>) -> Self {
        Open { origin, tls: Some(tls), wire: Wire::Shared(shared), last_used: Instant::now() }
    }

    /// Whether a request of `origin` can be sent here, with certificates as they are now.
    pub(crate) fn serves(&self, origin: &Origin, tls: Option<&Arc<Handshakes>>) -> bool {
        let closed = match &self.wire {
            Wire::Own { sender, .. } => sender.is_closed() || self.last_used.elapsed() > IDLE_TIMEOUT,
            Wire::Shared(shared) => shared.is_closed(),
        };
        let same_tls = match (&self.tls, tls) {
            (Some(own), Some(tls)) => Arc::ptr_eq(own, tls),
            (own, tls) => own.is_none() && tls.is_none(),
        };
        !closed && same_tls && self.origin == *origin
    }

    /// The connection, if others use it too.
    pub(crate) fn as_shared(&self) -> Option<&Arc<Shared>> {
        match &self.wire {
            Wire::Own { .. } => None,
            Wire::Shared(shared) => Some(shared),
        }
    }

    pub(crate) async fn exchange(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        self.last_used = Instant::now();
        match &mut self.wire {
            Wire::Shared(shared) => {
                // HTTP/2 has the host in the URI.
                let host = request.headers_mut().remove(http::header::HOST);
                let mut uri = std::mem::take(request.uri_mut()).into_parts();
                uri.scheme = Some(http::uri::Scheme::HTTPS);
                uri.authority = host.and_then(|host| host.as_bytes().try_into().ok());
                *request.uri_mut() = http::Uri::from_parts(uri).map_err(|err| err.to_string())?;
                *request.version_mut() = http::Version::HTTP_2;
                shared.send(request).await
            }
            Wire::Own { sender, driver } => {
                let ready =
                    std::future::poll_fn(|cx| poll_driven(driver, cx, |cx| sender.poll_ready(cx))).await?;
                ready.map_err(|err| hyper_text(&err))?;
                let mut response = Box::pin(sender.send_request(request));
                let answered =
                    std::future::poll_fn(|cx| poll_driven(driver, cx, |cx| response.as_mut().poll(cx)))
                        .await?;
                answered.map_err(|err| hyper_text(&err))
            }
        }
    }

    /// The next piece of an answer's body.
    pub(crate) async fn next_frame(
        &mut self,
        incoming: &mut Incoming,
    ) -> Result<Option<Frame<Bytes>>, Error> {
        let frame = std::future::poll_fn(|cx| {
            let step = |cx: &mut Context<'_>| Pin::new(&mut *incoming).poll_frame(cx);
            match &mut self.wire {
                Wire::Own { driver, .. } => poll_driven(driver, cx, step),
                Wire::Shared(_) => {
                    let mut step = step;
                    step(cx).map(Ok)
                }
            }
        })
        .await
        .map_err(|_| Error::Body("unexpected EOF".to_owned()))?;
        self.last_used = Instant::now();
        match frame {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame)),
            Some(Err(err)) => {
                let io =
                    std::error::Error::source(&err).and_then(|cause| cause.downcast_ref::<std::io::Error>());
                let text = match io {
                    Some(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => io_text(io),
                    _ => "unexpected EOF".to_owned(),
                };
                Err(Error::Body(text))
            }
        }
    }
}

/// Polls `step` and, as long as it waits, the connection under it.
fn poll_driven<T>(
    driver: &mut Pin<Box<Driver>>,
    cx: &mut Context<'_>,
    mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<T, String>> {
    if let Poll::Ready(done) = step(cx) {
        return Poll::Ready(Ok(done));
    }
    let driven = driver.as_mut().poll(cx);
    if let Poll::Ready(done) = step(cx) {
        return Poll::Ready(Ok(done));
    }
    match ready!(driven) {
        Ok(()) => Poll::Ready(Err("EOF".to_owned())),
        Err(err) => Poll::Ready(Err(hyper_text(&err))),
    }
}

/// What went wrong, in the words of Go where it has any.
pub(crate) fn hyper_text(err: &hyper::Error) -> String {
    let cause = std::error::Error::source(err);
    match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(io) => io_text(io),
        None if err.is_incomplete_message() => "EOF".to_owned(),
        // Where something else listens than a server of HTTP.
        None if err.is_parse() && !err.is_parse_too_large() => {
            format!("net/http: HTTP/1.x transport connection broken: malformed HTTP response: {err}")
        }
        None => match cause {
            Some(cause) => format!("{err}: {cause}"),
            None => err.to_string(),
        },
    }
}
