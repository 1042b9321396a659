//! One connection: handshake, HTTP/1.1 or HTTP/2, and how it ends.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::body::ResponseBody;
use crate::crowd::{Place, Working};
use crate::raw_targets::RawTargets;
use crate::watched::Watched;
use crate::web::Admitted;
use crate::{Caller, Certificate, Shared};

/// The longest a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the head of a request; beyond, the answer is 431.
const MAX_HEAD: usize = 128 * 1024;
/// Requests at once on a connection of HTTP/2, as Go's server has it.
const MAX_STREAMS: u32 = 250;
/// What Go's server answers to those who forget the s of https.
const PLAIN_TO_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// How a connection ended that the server did not mean to end.
enum Ended {
    Well,
    MadeRoom,
    Stalled,
    Idle,
    Stopped,
}

/// A connection and what it is served with.
pub(crate) struct Connection<H> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    pub(crate) place: Arc<Place>,
    pub(crate) handler: H,
    pub(crate) stop: CancellationToken,
}

impl<H, F> Connection<H>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<ResponseBody>> + Send + 'static,
{
    pub(crate) async fn serve(self, stream: TcpStream) {
        let web = self.shared.web.as_ref();
        let blocked = Arc::new(AtomicBool::new(false));
        let patience = self.shared.limits.stall_timeout;
        let watched = |stream| Watched::new(stream, patience, Arc::clone(&blocked));
        if !web.is_some_and(|web| web.speaks_tls()) {
            return self.speak(watched(stream), None, false, &blocked).await;
        }
        let timeout = HANDSHAKE_TIMEOUT.min(self.shared.limits.read_timeout);
        let handshake = async {
            if is_plain(&stream).await {
                let mut stream = stream;
                let _ = stream.write_all(PLAIN_TO_TLS).await;
                let _ = stream.shutdown().await;
                return Err("HTTP where TLS is spoken".to_owned());
            }
            let config = web.ok_or_else(String::new).and_then(|web| web.handshake());
            let (config, verifies) =
                config.inspect_err(|error| tracing::error!(error, "cannot shake hands"))?;
            let shaken = TlsAcceptor::from(config).accept(watched(stream)).await;
            shaken.map(|stream| (stream, verifies)).map_err(|err| err.to_string())
        };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(timeout, handshake) => shaken.unwrap_or(Err("timeout".to_owned())),
            () = self.place.leave.cancelled() => return self.note(&Ended::MadeRoom),
            () = self.stop.cancelled() => return,
        };
        match shaken {
            Ok((stream, verifies)) => {
                let (certificate, http2) = read_session(&stream, verifies);
                self.speak(stream, certificate, http2, &blocked).await;
            }
            Err(error) => {
                self.shared.metrics.given_up.with(&["handshake"]).inc();
                tracing::debug!(client = self.peer.to_string(), error, "TLS handshake error");
            }
        }
    }

    async fn speak<S>(
        self,
        stream: S,
        certificate: Option<Arc<Certificate>>,
        http2: bool,
        blocked: &AtomicBool,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let served = Arc::new(Served {
            shared: Arc::clone(&self.shared),
            peer: self.peer,
            certificate,
            place: Arc::clone(&self.place),
            handler: self.handler.clone(),
        });
        let service = service_fn(move |request| {
            let served = Arc::clone(&served);
            async move { Ok::<_, Infallible>(served.answer(request).await) }
        });
        let ended = if http2 {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(MAX_STREAMS)
                .max_header_list_size(MAX_HEAD as u32)
                .serve_connection(TokioIo::new(stream), service);
            self.drive(pin!(connection), http2::Connection::graceful_shutdown, blocked).await
        } else {
            let (incoming, outgoing) = tokio::io::split(stream);
            let stream = tokio::io::join(RawTargets::new(incoming), outgoing);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.shared.limits.read_timeout)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            self.drive(pin!(connection), http1::Connection::graceful_shutdown, blocked).await
        };
        self.note(&ended);
    }

    /// Lets the connection run until it ends or has to.
    async fn drive<C, E>(
        &self,
        mut connection: Pin<&mut C>,
        shut_down: fn(Pin<&mut C>),
        blocked: &AtomicBool,
    ) -> Ended
    where
        C: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let limits = &self.shared.limits;
        let look = (limits.stall_timeout.min(limits.read_timeout) / 4).max(Duration::from_millis(5));
        let why = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(client = self.peer.to_string(), %error, "connection ended early");
                    }
                    let timed_out = blocked.load(Ordering::Relaxed);
                    return if timed_out { Ended::Stalled } else { Ended::Well };
                }
                () = self.place.leave.cancelled() => break Ended::MadeRoom,
                () = self.stop.cancelled() => break Ended::Stopped,
                () = tokio::time::sleep(look) => {
                    if self.place.stalled().is_some_and(|since| since >= limits.stall_timeout) {
                        return Ended::Stalled;
                    }
                    if self.place.idle().is_some_and(|since| since >= limits.read_timeout) {
                        break Ended::Idle;
                    }
                }
            }
        };
        shut_down(connection.as_mut());
        let place = &self.place;
        let finished = poll_fn(|cx| {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            // What waits for its client, and owes it nothing, waits in vain from here.
            let owes = !place.is_waiting() || blocked.load(Ordering::Relaxed);
            if owes { Poll::Pending } else { Poll::Ready(()) }
        });
        let _ = tokio::time::timeout(limits.shutdown_timeout, finished).await;
        why
    }

    fn note(&self, ended: &Ended) {
        let reason = match ended {
            Ended::Well | Ended::Idle | Ended::Stopped => return,
            Ended::MadeRoom => "room",
            Ended::Stalled => "stalled",
        };
        self.shared.metrics.given_up.with(&[reason]).inc();
    }
}

/// Who the client says it is, and whether HTTP/2 was agreed on.
fn read_session<S>(stream: &TlsStream<S>, verifies: bool) -> (Option<Arc<Certificate>>, bool) {
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(b"h2");
    let shown = session.peer_certificates().and_then(<[_]>::first);
    (shown.and_then(|der| Certificate::read(der, verifies)).map(Arc::new), http2)
}

/// What the requests of a connection share.
struct Served<H> {
    shared: Arc<Shared>,
    peer: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    place: Arc<Place>,
    handler: H,
}

impl<H, F> Served<H>
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<ResponseBody>>,
{
    async fn answer(&self, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let working = Working::on(&self.place);
        let certificate = self.certificate.as_deref();
        let admitted = match &self.shared.web {
            Some(web) => web.admit(self.peer, certificate, request.headers()).await,
            None => Ok(Admitted::freely()),
        };
        let mut response = match admitted {
            Ok(admitted) => {
                request.extensions_mut().insert(Caller {
                    address: self.peer,
                    user: admitted.user.clone(),
                    certificate: self.certificate.clone(),
                    access: admitted.access.clone(),
                    place: Some(Arc::clone(&self.place)),
                });
                let mut response = (self.handler)(request).await;
                admitted.add_headers(response.headers_mut());
                response
            }
            Err(refused) => refused,
        };
        response.body_mut().working = Some(working);
        response
    }
}

/// Whether a client begins with a letter of HTTP's methods where a handshake is due.
async fn is_plain(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && matches!(first[0], b'G' | b'H' | b'P' | b'O' | b'D')
}
