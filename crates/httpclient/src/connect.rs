//! From an origin to a byte stream: name look-up, TCP, proxy, TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use url::Url;

use crate::auth;
use crate::error::io_text;
use crate::tls::Tls;

/// The longest answer to a CONNECT request that is read.
const MAX_CONNECT_ANSWER: usize = 16 << 10;

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

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A proxy's address and credentials.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) origin: Origin,
    /// `Proxy-Authorization`, if the URL has a user.
    pub(crate) credentials: Option<String>,
}

impl Proxy {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|err| format!("invalid proxy_url: {err}"))?;
        if url.scheme() != "http" {
            return Err(format!("proxy_url: scheme {:?} is not supported, only http is", url.scheme()));
        }
        let credentials = (!url.username().is_empty())
            .then(|| auth::basic_credentials(url.username(), url.password().unwrap_or_default()));
        Ok(Proxy { origin: Origin::of(&url)?, credentials })
    }
}

/// A plain or encrypted connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a connection to `origin`.
pub(crate) async fn open(origin: &Origin, proxy: Option<&Proxy>, tls: &Tls) -> Result<Stream, String> {
    let tcp = match proxy {
        Some(proxy) => {
            let tcp = dial(&proxy.origin).await.map_err(|err| format!("proxyconnect tcp: {err}"))?;
            if origin.https { tunnel(tcp, origin, proxy).await? } else { tcp }
        }
        None => dial(origin).await?,
    };
    if origin.https {
        Ok(Stream::Tls(Box::new(tls.connect(&origin.host, tcp).await?)))
    } else {
        Ok(Stream::Plain(tcp))
    }
}

async fn dial(origin: &Origin) -> Result<TcpStream, String> {
    let addresses: Vec<SocketAddr> = match tokio::net::lookup_host((origin.host.as_str(), origin.port)).await
    {
        Ok(found) => found.collect(),
        Err(_) => Vec::new(),
    };
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

/// Asks the proxy for a tunnel (RFC 9110, section 9.3.6).
async fn tunnel(mut tcp: TcpStream, origin: &Origin, proxy: &Proxy) -> Result<TcpStream, String> {
    let authority = origin.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(credentials) = &proxy.credentials {
        request.push_str("Proxy-Authorization: ");
        request.push_str(credentials);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    tcp.write_all(request.as_bytes()).await.map_err(|err| format!("proxyconnect tcp: {}", io_text(&err)))?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the empty line already belongs to the tunnel.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MAX_CONNECT_ANSWER {
            return Err("proxyconnect tcp: the proxy's answer is too long".to_owned());
        }
        let byte = tcp.read_u8().await.map_err(|err| format!("proxyconnect tcp: {}", io_text(&err)))?;
        answer.push(byte);
    }
    let line = answer.split(|&b| b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let status = line.split_once(' ').map_or("", |(_, status)| status);
    if status.starts_with('2') {
        Ok(tcp)
    } else {
        Err(status.split_once(' ').map_or(status, |(_, reason)| reason).to_owned())
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
