//! From an origin to a byte stream: name look-up, TCP, proxy, TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use url::Url;

use crate::error::io_text;
use crate::proxy::{Protocol, Proxies, Proxy};
use crate::stream::Stream;
use crate::tls::{Handshakes, Offer};

/// Probes of a silent connection.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEP_ALIVE_PROBES: u32 = 3;

/// Who is at the other end: what a kept connection is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    pub(crate) fn of(url: &Url) -> Result<Self, String> {
        let https = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(format!("unsupported protocol scheme {other:?}")),
        };
        let host = match url.host() {
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => return Err("http: no Host in request URL".to_owned()),
        };
        Ok(Origin { https, host, port: url.port_or_known_default().unwrap_or(80) })
    }

    /// `host:port`
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// How an origin is reached.
pub(crate) enum Route<'a> {
    Direct { any_address: bool },
    Through(&'a Proxies, &'a Proxy),
    Socket(&'a Path),
}

/// Opens a connection to `origin`; answers too whether HTTP/2 is to be spoken. `tls` is needed for `https` and for
/// proxies that want it.
pub(crate) async fn open(
    origin: &Origin,
    route: &Route<'_>,
    tls: Option<&Handshakes>,
) -> Result<(Stream, bool), String> {
    let stream = match route {
        Route::Direct { any_address } => Stream::Tcp(dial(origin, *any_address).await?),
        Route::Socket(path) => Stream::Unix(
            UnixStream::connect(path)
                .await
                .map_err(|err| format!("dial unix {}: connect: {}", path.display(), io_text(&err)))?,
        ),
        Route::Through(proxies, proxy) => through(proxies, proxy, origin, tls).await?,
    };
    match tls.filter(|_| origin.https) {
        None => Ok((stream, false)),
        Some(tls) => {
            let stream = tls.connect(&origin.host, stream, Offer::Everything).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok((Stream::Tls(Box::new(stream)), http2))
        }
    }
}

async fn through(
    proxies: &Proxies,
    proxy: &Proxy,
    origin: &Origin,
    tls: Option<&Handshakes>,
) -> Result<Stream, String> {
    let to_proxy = |reason: String| format!("proxyconnect tcp: {reason}");
    let mut stream = Stream::Tcp(dial(&proxy.origin, false).await.map_err(to_proxy)?);
    if let Some(tls) = tls.filter(|_| proxy.origin.https) {
        let encrypted = tls.connect(&proxy.origin.host, stream, Offer::Http1).await.map_err(to_proxy)?;
        stream = Stream::Tls(Box::new(encrypted));
    }
    if origin.https || proxy.protocol == Protocol::Socks5 {
        proxies.tunnel(&mut stream, proxy, origin).await.map_err(|reason| match proxy.protocol {
            Protocol::Http => reason,
            Protocol::Socks5 => {
                let (from, to) = (proxy.origin.authority(), origin.authority());
                format!("socks connect tcp {from}->{to}: {reason}")
            }
        })?;
    }
    Ok(stream)
}

async fn dial(origin: &Origin, any_address: bool) -> Result<TcpStream, String> {
    let mut addresses: Vec<SocketAddr> =
        match tokio::net::lookup_host((origin.host.as_str(), origin.port)).await {
            Ok(found) => found.collect(),
            Err(_) => Vec::new(),
        };
    if any_address && !addresses.is_empty() {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new().hash_one(0u8) as usize;
        let count = addresses.len();
        addresses.rotate_left(random % count);
    }
    let mut failure = format!("dial tcp: lookup {}: no such host", origin.host);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A request is one small write: waiting to join it with a second one only costs time.
                let _ = stream.set_nodelay(true);
                keep_alive(&stream);
                return Ok(stream);
            }
            Err(err) => failure = format!("dial tcp {address}: connect: {}", io_text(&err)),
        }
    }
    Err(failure)
}

/// Lets the kernel find out within a minute that nobody is at the other end any more, also while nothing is sent. What
/// it does not know it leaves out.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
    let _ = set_socket_keepalive(stream, true);
    let _ = set_tcp_keepidle(stream, KEEP_ALIVE_AFTER);
    let _ = set_tcp_keepintvl(stream, KEEP_ALIVE_EVERY);
    let _ = set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES);
}
