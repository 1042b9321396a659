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
use tokio::sync::watch;
use tokio::time::timeout;

use crate::connect::Origin;
use crate::exchange::hyper_text;
use crate::stream::Stream;
use crate::tls::Handshakes;

/// How long a server may be silent before it is asked whether it is there, and may then take to say so.
const PING_AFTER: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long after a failed request the end of the connection is waited for.
const REASON_TIMEOUT: Duration = Duration::from_millis(20);
/// Bytes of header lines of an answer.
const MAX_HEADERS: u32 = 32 << 10;

/// One connection.
pub(crate) struct Shared {
    place: Place,
    sender: http2::SendRequest<Full<Bytes>>,
    /// Why it ended, once it has.
    ended: watch::Receiver<Option<String>>,
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
        let (end, ended) = watch::channel(None);
        tokio::spawn(async move {
            let reason = driver.await.map_or_else(|err| hyper_text(&err), |()| "EOF".to_owned());
            let _ = end.send(Some(reason));
        });
        Ok(Shared { place, sender, ended })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let mut sender = self.sender.clone();
        let response = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        match response.await {
            Ok(response) => Ok(response),
            // If the whole connection ended, its driver knows why.
            Err(err) => match timeout(REASON_TIMEOUT, self.why_ended()).await {
                Ok(reason) => Err(reason),
                Err(_) => Err(hyper_text(&err)),
            },
        }
    }

    async fn why_ended(&self) -> String {
        let mut ended = self.ended.clone();
        let reason = ended.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "EOF".to_owned())
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
