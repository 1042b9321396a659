//! HTTP/2 connections, each shared by all who ask the same server: a hundred targets behind one API server are one
//! connection.
//!
//! Such a connection is driven by a task of its own, since the server expects answers to its pings at any time. It
//! lives as long as somebody holds it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::connect::Origin;
use crate::exchange::hyper_text;
use crate::stream::Stream;
use crate::tls::Handshakes;

/// How long a server may be silent before it is asked whether it is there, and may then take to say so.
const PING_AFTER: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of header lines of an answer.
const MAX_HEADERS: u32 = 32 << 10;

/// One connection.
pub(crate) struct Shared {
    place: Place,
    sender: http2::SendRequest<Full<Bytes>>,
}

/// What a connection is good for.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    pub(crate) socket: Option<Arc<Path>>,
    pub(crate) tls: Arc<Handshakes>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin && self.socket == other.socket && Arc::ptr_eq(&self.tls, &other.tls)
    }
}

impl Shared {
    pub(crate) async fn start(place: Place, stream: Stream) -> Result<Self, String> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_header_list_size(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|err| hyper_text(&err))?;
        tokio::spawn(async move {
            if let Err(err) = driver.await {
                tracing::debug!(%err, "An HTTP/2 connection ended");
            }
        });
        Ok(Shared { place, sender })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|err| hyper_text(&err))?;
        sender.send_request(request).await.map_err(|err| hyper_text(&err))
    }
}

/// The connections of a client that are in use.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Weak<Shared>>>);

impl Pool {
    /// A connection that is good for `place`.
    pub(crate) fn find(&self, place: &Place) -> Option<Arc<Shared>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|shared| shared.strong_count() > 0);
        known.iter().filter_map(Weak::upgrade).find(|shared| shared.place == *place && !shared.is_closed())
    }

    /// Shares a new connection, unless there is one by now: then that is used.
    pub(crate) fn share(&self, new: Shared) -> Arc<Shared> {
        if let Some(known) = self.find(&new.place) {
            return known;
        }
        let new = Arc::new(new);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&new));
        new
    }

    /// The connection did not answer: nobody shall begin to use it any more.
    pub(crate) fn forget(&self, shared: &Arc<Shared>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(shared)));
    }
}
