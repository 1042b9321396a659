//! One kept-alive HTTP/1.1 connection, driven by whoever asks: no task of its own, nothing polled while it idles.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, LOCATION};
use http::{Method, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::body_memory::BodyShare;
use crate::client::Client;
use crate::connect::{self, Origin, Stream};
use crate::error::{Error, io_text};
use crate::signer::Unsigned;

/// Read buffer of a connection, and with it the longest head of an answer. hyper starts small and grows to this.
const MAX_BUFFER: usize = 32 << 10;
/// Header lines of an answer.
const MAX_HEADERS: usize = 128;
const MAX_REDIRECTS: usize = 10;

type Driver = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

struct Open {
    origin: Origin,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
}

/// A client's connection to one place. Dropping it closes the socket.
pub struct Connection {
    client: Client,
    open: Option<Open>,
}

/// Status and headers of an answer; its body went into the caller's buffer.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
}

impl Head {
    /// A header as text; empty if there is none or it is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| std::str::from_utf8(v.as_bytes()).ok()).unwrap_or_default()
    }

    /// `500 Internal Server Error`.
    #[must_use]
    pub fn status_text(&self) -> String {
        match self.status.canonical_reason() {
            Some(reason) => format!("{} {reason}", self.status.as_u16()),
            None => self.status.as_u16().to_string(),
        }
    }
}

/// What a server is asked.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Where.
    pub url: &'a Url,
    /// Headers besides those that the client's options add.
    pub headers: &'a HeaderMap,
    /// What is sent along; empty: no body.
    pub content: Bytes,
}

impl<'a> Request<'a> {
    /// A GET.
    #[must_use]
    pub fn get(url: &'a Url, headers: &'a HeaderMap) -> Self {
        Request { method: Method::GET, url, headers, content: Bytes::new() }
    }
}

/// Where a body goes.
struct BodyBuffer<'a> {
    body: &'a mut Vec<u8>,
    max: usize,
    share: &'a mut BodyShare,
}

/// What went wrong within an attempt, before it is known whether another attempt makes sense.
enum Failure {
    /// The server had closed the kept connection before it saw this request.
    Stale,
    Final(Error),
}

impl Connection {
    pub(crate) fn new(client: Client) -> Self {
        Connection { client, open: None }
    }

    /// Asks for `url` with `headers` (plus those that the client's options add) and appends the body, as sent and at
    /// most `max_body` bytes of it, to `body`. `share` grows with it.
    ///
    /// The connection is kept for the next request if the server allows. A request on a kept connection that the
    /// server closed meanwhile is sent again on a new one.
    ///
    /// # Errors
    /// See [`Error`]. After an error the connection is closed.
    pub async fn get(
        &mut self,
        url: &Url,
        headers: &HeaderMap,
        max_body: usize,
        deadline: Instant,
        body: &mut Vec<u8>,
        share: &mut BodyShare,
    ) -> Result<Head, Error> {
        self.send(&Request::get(url, headers), max_body, deadline, body, share).await
    }

    /// As [`get`](Self::get) with any method and content. A redirect other than 307 and 308 is followed by a GET
    /// without content. Only what may be sent twice must be sent this way: see `get` about kept connections.
    ///
    /// # Errors
    /// See [`Error`]. After an error the connection is closed.
    pub async fn send(
        &mut self,
        request: &Request<'_>,
        max_body: usize,
        deadline: Instant,
        body: &mut Vec<u8>,
        share: &mut BodyShare,
    ) -> Result<Head, Error> {
        let mut into = BodyBuffer { body, max: max_body, share };
        let mut url = request.url.clone();
        let mut request = request.clone();
        let first = request.url;
        let mut redirects = 0;
        loop {
            let hop = Request { url: &url, ..request.clone() };
            let trusted = trusts(first, &url);
            let head = match self.attempt(&hop, trusted, deadline, &mut into).await {
                Err(Failure::Stale) => {
                    self.open = None;
                    self.attempt(&hop, trusted, deadline, &mut into).await
                }
                outcome => outcome,
            };
            let head = match head {
                Ok(head) => head,
                Err(failure) => {
                    self.open = None;
                    return Err(match failure {
                        Failure::Final(err) => err,
                        Failure::Stale => request_error(&hop, "EOF"),
                    });
                }
            };
            let Some(next) = self.redirect(&hop, &head)? else { return Ok(head) };
            redirects += 1;
            if redirects > MAX_REDIRECTS {
                return Err(request_error(&hop, "stopped after 10 redirects"));
            }
            if !matches!(head.status.as_u16(), 307 | 308) && request.method != Method::HEAD {
                request.method = Method::GET;
                request.content = Bytes::new();
            }
            url = next;
            into.body.clear();
        }
    }

    /// Asks for `url` and hands out the body as it comes: for answers that go on. `deadline` is for the head alone.
    /// Redirects are not followed.
    ///
    /// # Errors
    /// See [`Error`]. After an error the connection is closed.
    pub async fn open(
        &mut self,
        url: &Url,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<(Head, Body<'_>), Error> {
        let request = Request::get(url, headers);
        let response = match self.respond(&request, true, deadline).await {
            Err(Failure::Stale) => {
                self.open = None;
                self.respond(&request, true, deadline).await
            }
            outcome => outcome,
        };
        let response = match response {
            Ok(response) => response,
            Err(failure) => {
                self.open = None;
                return Err(match failure {
                    Failure::Final(err) => err,
                    Failure::Stale => request_error(&request, "EOF"),
                });
            }
        };
        let (head, incoming) = response.into_parts();
        let Some(open) = &mut self.open else { return Err(request_error(&request, "EOF")) };
        Ok((Head { status: head.status, headers: head.headers }, Body { open, incoming }))
    }

    fn redirect(&self, request: &Request<'_>, head: &Head) -> Result<Option<Url>, Error> {
        let moved = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        if !moved || !self.client.options().follow_redirects || !head.headers.contains_key(LOCATION) {
            return Ok(None);
        }
        match request.url.join(head.header("location")) {
            Ok(next) => Ok(Some(next)),
            Err(_) => Err(request_error(request, "failed to parse Location header")),
        }
    }

    async fn attempt(
        &mut self,
        request: &Request<'_>,
        trusted: bool,
        deadline: Instant,
        into: &mut BodyBuffer<'_>,
    ) -> Result<Head, Failure> {
        let response = self.respond(request, trusted, deadline).await?;
        let (head, incoming) = response.into_parts();
        let Some(open) = &mut self.open else { return Err(Failure::Stale) };
        match timeout_at(deadline, read_body(open, incoming, into)).await {
            Ok(outcome) => outcome.map_err(Failure::Final)?,
            Err(_) => return Err(Failure::Final(Error::BodyTimeout)),
        }
        Ok(Head { status: head.status, headers: head.headers })
    }

    async fn respond(
        &mut self,
        asked: &Request<'_>,
        trusted: bool,
        deadline: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        let origin = Origin::of(asked.url).map_err(|reason| Failure::Final(request_error(asked, &reason)))?;
        let start = async {
            let request = self
                .request(asked, trusted)
                .await
                .map_err(|reason| Failure::Final(request_error(asked, &reason)))?;
            let reused =
                self.open.as_ref().is_some_and(|open| open.origin == origin && !open.sender.is_closed());
            if !reused {
                self.open = None;
                self.open = Some(
                    self.connect(origin)
                        .await
                        .map_err(|reason| Failure::Final(request_error(asked, &reason)))?,
                );
            }
            let Some(open) = &mut self.open else { return Err(Failure::Stale) };
            match exchange(open, request).await {
                Ok(response) => Ok(response),
                Err(_) if reused => Err(Failure::Stale),
                Err(reason) => Err(Failure::Final(request_error(asked, &reason))),
            }
        };
        match timeout_at(deadline, start).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Final(Error::Timeout {
                operation: operation(&asked.method),
                url: asked.url.to_string(),
            })),
        }
    }

    async fn request(
        &self,
        asked: &Request<'_>,
        trusted: bool,
    ) -> Result<http::Request<Full<Bytes>>, String> {
        let Request { url, headers, .. } = *asked;
        let mut request = http::Request::new(Full::new(asked.content.clone()));
        *request.method_mut() = asked.method.clone();
        let through_proxy = self.client.proxy().filter(|_| url.scheme() == "http");
        let target = if through_proxy.is_some() {
            format!("http://{}{}", authority(url), path_and_query(url))
        } else {
            path_and_query(url).to_owned()
        };
        *request.uri_mut() = target.parse().map_err(|err| format!("invalid URL: {err}"))?;
        let to = request.headers_mut();
        to.insert(HOST, HeaderValue::from_str(&authority(url)).map_err(|_| "invalid host".to_owned())?);
        for (name, value) in headers.iter().filter(|(name, _)| trusted || *name != AUTHORIZATION) {
            to.append(name, value.clone());
        }
        if trusted {
            crate::auth::apply(self.client.options(), to).await?;
            if let Some(signer) = self.client.signer() {
                let Request { method, content, .. } = asked;
                signer.sign(Unsigned { method, url, headers: to, content }).await?;
            }
        }
        if let Some(credentials) = through_proxy.and_then(|proxy| proxy.credentials.as_deref())
            && let Ok(value) = HeaderValue::from_str(credentials)
        {
            to.insert(http::header::PROXY_AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn connect(&self, origin: Origin) -> Result<Open, String> {
        let stream = connect::open(&origin, self.client.proxy(), self.client.tls()).await?;
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_BUFFER)
            .max_headers(MAX_HEADERS)
            .title_case_headers(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|err| hyper_text(&err))?;
        Ok(Open { origin, sender, driver: Box::pin(driver) })
    }
}

/// Whether credentials meant for `first` may be sent to `url`, to which it redirects: never to another host, and never
/// in the open when they were meant to be encrypted.
fn trusts(first: &Url, url: &Url) -> bool {
    first.host() == url.host() && (first.scheme() == url.scheme() || url.scheme() == "https")
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn path_and_query(url: &Url) -> &str {
    &url[url::Position::BeforePath..url::Position::AfterQuery]
}

fn request_error(request: &Request<'_>, reason: &str) -> Error {
    Error::Request {
        operation: operation(&request.method),
        url: request.url.to_string(),
        reason: reason.to_owned(),
    }
}

/// The method as Go's errors have it.
fn operation(method: &Method) -> String {
    let mut word = method.as_str().to_ascii_lowercase();
    word.get_mut(..1).map(str::make_ascii_uppercase);
    word
}

fn hyper_text(err: &hyper::Error) -> String {
    let cause = std::error::Error::source(err);
    match cause.and_then(|cause| cause.downcast_ref::<std::io::Error>()) {
        Some(io) => io_text(io),
        None if err.is_incomplete_message() => "EOF".to_owned(),
        None => match cause {
            Some(cause) => format!("{err}: {cause}"),
            None => err.to_string(),
        },
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

async fn exchange(
    open: &mut Open,
    request: http::Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let Open { sender, driver, .. } = open;
    let ready = std::future::poll_fn(|cx| poll_driven(driver, cx, |cx| sender.poll_ready(cx))).await?;
    ready.map_err(|err| hyper_text(&err))?;
    let mut response = Box::pin(sender.send_request(request));
    let answered =
        std::future::poll_fn(|cx| poll_driven(driver, cx, |cx| response.as_mut().poll(cx))).await?;
    answered.map_err(|err| hyper_text(&err))
}

/// A body that is read as it comes. Dropping it before its end closes the connection.
pub struct Body<'a> {
    open: &'a mut Open,
    incoming: Incoming,
}

impl Body<'_> {
    /// The next piece; none at the end. May be dropped and called again: nothing is lost.
    ///
    /// # Errors
    /// When the connection breaks or the body ends early.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match next_frame(self.open, &mut self.incoming).await? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

async fn next_frame(open: &mut Open, incoming: &mut Incoming) -> Result<Option<Frame<Bytes>>, Error> {
    let frame = std::future::poll_fn(|cx| {
        poll_driven(&mut open.driver, cx, |cx| Pin::new(&mut *incoming).poll_frame(cx))
    })
    .await
    .map_err(|_| Error::Body("unexpected EOF".to_owned()))?;
    match frame {
        None => Ok(None),
        Some(Ok(frame)) => Ok(Some(frame)),
        Some(Err(err)) => {
            let io = std::error::Error::source(&err).and_then(|cause| cause.downcast_ref::<std::io::Error>());
            let text = match io {
                Some(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => io_text(io),
                _ => "unexpected EOF".to_owned(),
            };
            Err(Error::Body(text))
        }
    }
}

async fn read_body(open: &mut Open, mut incoming: Incoming, into: &mut BodyBuffer<'_>) -> Result<(), Error> {
    let BodyBuffer { body, max, share } = into;
    let max = *max;
    let start = body.len();
    let announced = incoming.size_hint().exact().map_or(Some(0), |length| usize::try_from(length).ok());
    let announced = announced.filter(|length| *length <= max).ok_or(Error::BodyTooLarge)?;
    share.begin(announced).await?;
    body.reserve_exact(announced);
    while let Some(frame) = next_frame(open, &mut incoming).await? {
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > max - (body.len() - start) {
            return Err(Error::BodyTooLarge);
        }
        share.grow(body.len() - start + data.len())?;
        body.extend_from_slice(data);
    }
    Ok(())
}
