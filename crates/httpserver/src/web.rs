//! The file of `--web.config.file`, as it is now: it is read for each request and each handshake, and what it says is
//! made ready again only if it has changed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use httpclient::Secret;
use parking_lot::Mutex;
use rustls::ServerConfig;

use crate::Certificate;
use crate::body::ResponseBody;
use crate::metrics::Metrics;
use crate::options::{RateLimit, WebOptions};
use crate::rate::Bucket;
use crate::tenancy::{Access, Claims};
use crate::tls::{Handshakes, Offer};
use crate::users::{Users, Verdict, credentials};

/// Makes options of the file's content; the path is for what is named relative to it.
pub type ReadWebOptions = Arc<dyn Fn(&[u8], &Path) -> Result<WebOptions, String> + Send + Sync>;

/// What a file says, made ready.
pub(crate) struct Loaded {
    pub(crate) options: WebOptions,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Loaded {
    fn new(options: WebOptions) -> Result<Loaded, String> {
        let header = |(name, value): (&String, &String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|err| format!("{name}: {err}"))?;
            let value = HeaderValue::from_str(value).map_err(|err| format!("{name}: {err}"))?;
            Ok((name, value))
        };
        let headers = options.headers.iter().map(header).collect::<Result<_, String>>()?;
        Ok(Loaded { options, headers })
    }
}

struct Seen {
    content: Vec<u8>,
    loaded: Result<Arc<Loaded>, Arc<str>>,
}

/// The file in force.
pub(crate) struct Web {
    path: PathBuf,
    read: ReadWebOptions,
    seen: Mutex<Option<Seen>>,
    /// Whether TLS is spoken, and HTTP/2 with it: for good, as the file said when the server began.
    tls: Option<Http2>,
    handshakes: Handshakes,
    bucket: Mutex<Option<(RateLimit, Bucket)>>,
    users: Users,
}

#[derive(Debug, Clone, Copy)]
struct Http2(bool);

/// A request that is let in.
pub(crate) struct Admitted {
    headers: Option<Arc<Loaded>>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) access: Access,
}

impl Admitted {
    /// Without a file all are let in to everything.
    pub(crate) fn freely() -> Admitted {
        Admitted { headers: None, user: None, access: Access::Everything }
    }

    /// Adds the headers that every answer has.
    pub(crate) fn add_headers(&self, to: &mut HeaderMap) {
        if let Some(loaded) = &self.headers {
            add_headers(loaded, to);
        }
    }
}

fn add_headers(loaded: &Loaded, to: &mut HeaderMap) {
    for (name, value) in &loaded.headers {
        to.entry(name).or_insert_with(|| value.clone());
    }
}

impl Web {
    pub(crate) fn open(path: &Path, read: ReadWebOptions, metrics: &Metrics) -> Result<Web, String> {
        let mut web = Web {
            path: path.to_owned(),
            read,
            seen: Mutex::new(None),
            tls: None,
            handshakes: Handshakes::default(),
            bucket: Mutex::new(None),
            users: Users::new(metrics.password_checks.clone()),
        };
        let loaded = web.current().map_err(|err| err.to_string())?;
        if let Some(tls) = &loaded.options.tls {
            for left_out in Offer::new(tls)?.left_out {
                tracing::warn!(file = path.display().to_string(), "{left_out}");
            }
            web.tls = Some(Http2(loaded.options.http2));
            web.handshake()?;
        }
        Ok(web)
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        self.tls.is_some_and(|http2| http2.0)
    }

    /// What the file says now. A file that cannot be read lets nobody in, as with the original.
    fn current(&self) -> Result<Arc<Loaded>, Arc<str>> {
        let content = match std::fs::read(&self.path) {
            Ok(content) => content,
            Err(err) => return Err(format!("open {}: {err}", self.path.display()).into()),
        };
        let mut seen = self.seen.lock();
        if let Some(seen) = seen.as_ref()
            && seen.content == content
        {
            return seen.loaded.clone();
        }
        let loaded = (self.read)(&content, &self.path).and_then(Loaded::new);
        let loaded = loaded.map(Arc::new).map_err(Arc::from);
        if let Err(error) = &loaded {
            let error: &str = error;
            tracing::error!(file = self.path.display().to_string(), error, "Unable to parse configuration");
        } else if seen.is_some() {
            tracing::info!(file = self.path.display().to_string(), "web configuration has changed");
        }
        *seen = Some(Seen { content, loaded: loaded.clone() });
        loaded
    }

    /// How to shake hands now, and whether certificates of clients are held against authorities.
    pub(crate) fn handshake(&self) -> Result<(Arc<ServerConfig>, bool), String> {
        let loaded = self.current().map_err(|err| err.to_string())?;
        let verifies = loaded.options.tls.as_ref().is_some_and(|tls| tls.client_auth.verifies());
        Ok((self.handshakes.current(&loaded, self.speaks_http2())?, verifies))
    }

    /// Whether a request may come in; if not, what is answered.
    pub(crate) async fn admit(
        &self,
        peer: SocketAddr,
        certificate: Option<&Certificate>,
        headers: &HeaderMap,
    ) -> Result<Admitted, Response<ResponseBody>> {
        let loaded = self.current().map_err(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR))?;
        if !self.has_room(loaded.options.rate_limit) {
            return Err(refusal(StatusCode::TOO_MANY_REQUESTS));
        }
        let mut user = None;
        if !loaded.options.users.is_empty() {
            match self.log_in(&loaded.options.users, peer, headers).await {
                Ok(name) => user = Some(name),
                Err(mut refused) => {
                    add_headers(&loaded, refused.headers_mut());
                    return Err(refused);
                }
            }
        }
        let access = match &loaded.options.tenancy {
            None => Access::Everything,
            Some(tenancy) => {
                tenancy.access(&Claims { peer: peer.ip(), user: user.as_deref(), certificate, headers })
            }
        };
        Ok(Admitted { headers: Some(loaded), user, access })
    }

    fn has_room(&self, limit: Option<RateLimit>) -> bool {
        let Some(limit) = limit else { return true };
        let mut bucket = self.bucket.lock();
        let now = Instant::now();
        match bucket.as_mut() {
            Some((of, bucket)) if *of == limit => bucket.take(now),
            _ => {
                let (_, new) = bucket.insert((limit, Bucket::new(limit, now)));
                new.take(now)
            }
        }
    }

    async fn log_in(
        &self,
        users: &std::collections::BTreeMap<String, Secret>,
        peer: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Arc<str>, Response<ResponseBody>> {
        let shown = headers.get(header::AUTHORIZATION).and_then(credentials);
        let verdict = match &shown {
            Some((user, password)) => self.users.check(users, user, password, peer.ip()).await,
            None => Verdict::Wrong,
        };
        match (verdict, shown) {
            (Verdict::Right, Some((user, _))) => Ok(user.into()),
            (Verdict::Busy, _) => {
                let mut refused = refusal(StatusCode::SERVICE_UNAVAILABLE);
                refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                Err(refused)
            }
            _ => {
                let mut refused = refusal(StatusCode::UNAUTHORIZED);
                refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"));
                Err(refused)
            }
        }
    }
}

/// The status as text, as Go's `http.Error` writes it.
fn refusal(status: StatusCode) -> Response<ResponseBody> {
    let text = format!("{}\n", status.canonical_reason().unwrap_or_default());
    let mut response = Response::new(ResponseBody::whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
