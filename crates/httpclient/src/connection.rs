//! One kept-alive connection: requests with their redirects and second attempts.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, REFERER};
use http::response::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::body_memory::BodyShare;
use crate::client::Client;
use crate::connect::{self, Origin, Route};
use crate::error::Error;
use crate::exchange::Open;
use crate::http2::{Place, Shared};
use crate::proxy::Protocol;
use crate::redirect;
use crate::signer::Unsigned;
use crate::tls::Handshakes;

const MAX_REDIRECTS: usize = 10;

/// A client's connection to one place. Dropping it closes the socket, unless it is one of HTTP/2 that others use too.
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
    /// What the server calls the status, if not as everybody does.
    reason: Option<ReasonPhrase>,
}

impl Head {
    pub(crate) fn of(parts: Parts) -> Self {
        let reason = parts.extensions.get::<ReasonPhrase>().cloned();
        Head { status: parts.status, headers: parts.headers, reason }
    }

    /// A header as text; empty if there is none or it is not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| std::str::from_utf8(v.as_bytes()).ok()).unwrap_or_default()
    }

    /// `500 Internal Server Error`, in the server's words.
    #[must_use]
    pub fn status_text(&self) -> String {
        let told = self.reason.as_ref().map(|reason| String::from_utf8_lossy(reason.as_bytes()));
        match told.as_deref().or(self.status.canonical_reason()) {
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
    /// Headers besides those that the client's options add. `Host` says how the server is called, if not as in the URL.
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

/// A request on its way: where redirects have brought it.
struct Hop<'a> {
    request: Request<'a>,
    /// The server may be told who we are.
    trusted: bool,
    redirected: bool,
    referer: Option<HeaderValue>,
}

/// A request and the redirects that it has met.
struct Way<'a> {
    first: &'a Url,
    url: Url,
    request: Request<'a>,
    trusted: bool,
    referer: Option<HeaderValue>,
    redirects: usize,
}

impl<'a> Way<'a> {
    fn new(request: &Request<'a>) -> Self {
        Way {
            first: request.url,
            url: request.url.clone(),
            request: request.clone(),
            trusted: true,
            referer: None,
            redirects: 0,
        }
    }

    fn hop(&self) -> Hop<'_> {
        Hop {
            request: Request { url: &self.url, ..self.request.clone() },
            trusted: self.trusted,
            redirected: self.redirects > 0,
            referer: self.referer.clone(),
        }
    }

    /// Goes where the answer leads; whether it leads anywhere.
    fn follow(&mut self, head: &Head) -> Result<bool, Error> {
        let next = match redirect::next(&self.url, head) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(false),
            Err(reason) => return Err(request_error(&self.hop().request, &reason)),
        };
        self.redirects += 1;
        if self.redirects > MAX_REDIRECTS {
            return Err(Error::Request {
                operation: operation(&self.request.method),
                url: head.header("location").to_owned(),
                reason: "stopped after 10 redirects".to_owned(),
            });
        }
        let method = redirect::method(&self.request.method, head);
        if method != self.request.method {
            self.request.content = Bytes::new();
            self.request.method = method;
        }
        self.trusted &= redirect::trusts(self.first, &next);
        self.referer = redirect::referer(&self.url, &next).and_then(|from| HeaderValue::from_str(&from).ok());
        self.url = next;
        Ok(true)
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
        let mut way = Way::new(request);
        loop {
            let hop = way.hop();
            let head = match self.attempt(&hop, deadline, &mut into).await {
                Err(Failure::Stale) => {
                    self.close();
                    self.attempt(&hop, deadline, &mut into).await
                }
                outcome => outcome,
            };
            let head = head.map_err(|failure| self.failed(failure, &hop.request))?;
            if !self.client.options().follow_redirects || !way.follow(&head)? {
                return Ok(head);
            }
            into.body.clear();
        }
    }

    /// Closes the connection; the next request opens another one.
    pub fn close(&mut self) {
        self.open = None;
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
        self.stream(Way::new(&Request::get(url, headers)), false, deadline).await
    }

    /// As [`open`](Self::open) with any method and content, and redirects followed as by [`send`](Self::send).
    ///
    /// # Errors
    /// See [`Error`]. After an error the connection is closed.
    pub async fn begin(
        &mut self,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<(Head, Body<'_>), Error> {
        let follow = self.client.options().follow_redirects;
        self.stream(Way::new(request), follow, deadline).await
    }

    async fn stream(
        &mut self,
        mut way: Way<'_>,
        follow: bool,
        deadline: Instant,
    ) -> Result<(Head, Body<'_>), Error> {
        let (head, incoming) = loop {
            let hop = way.hop();
            let response = match self.respond(&hop, deadline).await {
                Err(Failure::Stale) => {
                    self.close();
                    self.respond(&hop, deadline).await
                }
                outcome => outcome,
            };
            let response = response.map_err(|failure| self.failed(failure, &hop.request))?;
            let (head, incoming) = response.into_parts();
            let head = Head::of(head);
            if !follow || !way.follow(&head)? {
                break (head, incoming);
            }
            // What the body of a redirect says is not waited for.
            self.close();
        };
        let Some(open) = &mut self.open else { return Err(request_error(&way.hop().request, "EOF")) };
        Ok((head, Body { open, incoming }))
    }

    /// A connection on which something failed is not used again; by others neither if it may be the server's fault.
    fn failed(&mut self, failure: Failure, request: &Request<'_>) -> Error {
        let own_fault = matches!(failure, Failure::Final(Error::BodyTooLarge | Error::NoMemory { .. }));
        if let Some(shared) = self.open.take().as_ref().and_then(Open::as_shared)
            && !own_fault
        {
            self.client.pool().forget(shared);
        }
        match failure {
            Failure::Final(err) => err,
            Failure::Stale => request_error(request, "EOF"),
        }
    }

    async fn attempt(
        &mut self,
        hop: &Hop<'_>,
        deadline: Instant,
        into: &mut BodyBuffer<'_>,
    ) -> Result<Head, Failure> {
        let response = self.respond(hop, deadline).await?;
        let (head, incoming) = response.into_parts();
        let Some(open) = &mut self.open else { return Err(Failure::Stale) };
        match timeout_at(deadline, read_body(open, incoming, into)).await {
            Ok(outcome) => outcome.map_err(Failure::Final)?,
            Err(_) => return Err(Failure::Final(Error::BodyTimeout)),
        }
        Ok(Head::of(head))
    }

    async fn respond(&mut self, hop: &Hop<'_>, deadline: Instant) -> Result<Response<Incoming>, Failure> {
        match timeout_at(deadline, self.exchange(hop)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Final(Error::Timeout {
                operation: operation(&hop.request.method),
                url: shown(&hop.request),
            })),
        }
    }

    async fn exchange(&mut self, hop: &Hop<'_>) -> Result<Response<Incoming>, Failure> {
        let failed = |reason: String| Failure::Final(request_error(&hop.request, &reason));
        let client = self.client.clone();
        let origin = Origin::of(hop.request.url).map_err(failed)?;
        let route = client.route(&origin).map_err(failed)?;
        let tls = match &route {
            Route::Through(_, proxy) if proxy.origin.https => Some(client.tls()),
            _ => origin.https.then(|| client.tls()),
        };
        let tls = tls.map(|tls| tls.current()).transpose().map_err(failed)?;
        let request = self.request(hop, &route).await.map_err(failed)?;
        let mut reused = true;
        if !self.open.as_ref().is_some_and(|open| open.serves(&origin, tls.as_ref())) {
            self.close();
            let open;
            (open, reused) = self.connect(origin, &route, tls).await.map_err(failed)?;
            self.open = Some(open);
        }
        let Some(open) = &mut self.open else { return Err(Failure::Stale) };
        match open.exchange(request).await {
            Ok(response) => Ok(response),
            Err(_) if reused => {
                if let Some(shared) = open.as_shared() {
                    self.client.pool().forget(shared);
                }
                Err(Failure::Stale)
            }
            Err(reason) => Err(failed(reason)),
        }
    }

    async fn request(&self, hop: &Hop<'_>, route: &Route<'_>) -> Result<http::Request<Full<Bytes>>, String> {
        let Request { method, url, headers, content } = &hop.request;
        let mut request = http::Request::new(Full::new(content.clone()));
        *request.method_mut() = method.clone();
        let proxy = match route {
            Route::Through(_, proxy) if url.scheme() == "http" && proxy.protocol == Protocol::Http => {
                Some(proxy)
            }
            _ => None,
        };
        let target = if proxy.is_some() {
            format!("http://{}{}", hop.authority(), path_and_query(url))
        } else {
            path_and_query(url).to_owned()
        };
        *request.uri_mut() = target.parse().map_err(|err| format!("invalid URL: {err}"))?;
        let to = request.headers_mut();
        to.insert(HOST, HeaderValue::from_str(&hop.authority()).map_err(|_| "invalid host".to_owned())?);
        let goes_along = |name: &HeaderName| name != HOST && (hop.trusted || !redirect::is_sensitive(name));
        for (name, value) in headers.iter().filter(|(name, _)| goes_along(name)) {
            to.append(name, value.clone());
        }
        if let Some(referer) = &hop.referer
            && !to.contains_key(REFERER)
        {
            to.insert(REFERER, referer.clone());
        }
        self.client.credentials().apply(url, hop.trusted, to).await?;
        if hop.trusted
            && let Some(signer) = self.client.signer()
        {
            signer.sign(Unsigned { method, url, headers: to, content }).await?;
        }
        if let Some(credentials) = proxy.and_then(|proxy| proxy.credentials())
            && let Ok(value) = HeaderValue::from_str(&credentials)
        {
            to.insert(http::header::PROXY_AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Opens a connection, or finds one that others use; answers too which it was.
    async fn connect(
        &self,
        origin: Origin,
        route: &Route<'_>,
        tls: Option<Arc<Handshakes>>,
    ) -> Result<(Open, bool), String> {
        let pool = self.client.pool();
        let place = tls.as_ref().filter(|_| origin.https && self.client.options().http2).map(|tls| Place {
            origin: origin.clone(),
            socket: self.client.socket().cloned(),
            tls: Arc::clone(tls),
        });
        if let Some(place) = &place
            && let Some(shared) = pool.find(place)
        {
            return Ok((Open::shared(origin, Arc::clone(&place.tls), shared), true));
        }
        let (stream, speaks_http2) = connect::open(&origin, route, tls.as_deref()).await?;
        match place {
            Some(place) if speaks_http2 => {
                let tls = Arc::clone(&place.tls);
                let shared = pool.share(Shared::start(place, stream).await?);
                Ok((Open::shared(origin, tls, shared), false))
            }
            _ => Ok((Open::own(origin, tls, stream).await?, false)),
        }
    }
}

impl Hop<'_> {
    /// The host as the server is told it: what the caller says, but not of a place that it does not know.
    fn authority(&self) -> Cow<'_, str> {
        let given = self.request.headers.get(HOST).filter(|_| !self.redirected);
        match given.and_then(|host| host.to_str().ok()) {
            Some(host) => host.into(),
            None => authority(self.request.url).into(),
        }
    }
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
    Error::Request { operation: operation(&request.method), url: shown(request), reason: reason.to_owned() }
}

/// The URL without its password, and with the port that the caller wrote though it is the usual one.
fn shown(request: &Request<'_>) -> String {
    let url = request.url;
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = url.port().is_none().then(|| host.strip_prefix(url.host_str()?)).flatten();
    if let Some(port @ (":80" | ":443")) = named
        && url.password().is_none()
    {
        let before = &url[..url::Position::AfterHost];
        return format!("{before}{port}{}", &url[url::Position::AfterPort..]);
    }
    if url.password().is_none() {
        return url.to_string();
    }
    let mut url = url.clone();
    let _ = url.set_password(Some("***"));
    url.to_string()
}

/// The method as Go's errors have it.
fn operation(method: &Method) -> String {
    let mut word = method.as_str().to_ascii_lowercase();
    word.get_mut(..1).map(str::make_ascii_uppercase);
    word
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
            match self.open.next_frame(&mut self.incoming).await? {
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

async fn read_body(open: &mut Open, mut incoming: Incoming, into: &mut BodyBuffer<'_>) -> Result<(), Error> {
    let BodyBuffer { body, max, share } = into;
    let max = *max;
    let start = body.len();
    let announced = incoming.size_hint().exact().map_or(Some(0), |length| usize::try_from(length).ok());
    let announced = announced.filter(|length| *length <= max).ok_or(Error::BodyTooLarge)?;
    share.begin(announced).await?;
    body.reserve_exact(announced);
    while let Some(frame) = open.next_frame(&mut incoming).await? {
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > max - (body.len() - start) {
            return Err(Error::BodyTooLarge);
        }
        share.grow(body.len() - start + data.len())?;
        body.extend_from_slice(data);
    }
    Ok(())
}
