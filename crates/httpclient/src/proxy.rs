//! Proxies: which one is asked for a target, and how a tunnel through it is opened.

use std::fmt::Write as _;

use http::header::{HeaderName, HeaderValue, PROXY_AUTHORIZATION};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::connect::Origin;
use crate::credentials::basic_credentials;
use crate::error::io_text;
use crate::no_proxy::Exceptions;
use crate::options::ProxyOptions;
use crate::secret::Secret;
use crate::socks;
use crate::text::Text;

/// The longest answer to a CONNECT request that is read.
const MAX_CONNECT_ANSWER: usize = 16 << 10;

/// The proxies of a client. One whose URL cannot be used fails the requests that it is for.
pub(crate) struct Proxies {
    http: Option<Result<Proxy, String>>,
    https: Option<Result<Proxy, String>>,
    except: Option<Exceptions>,
    connect_headers: Vec<(HeaderName, Vec<Text>)>,
}

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Socks5,
}

/// A proxy's address and credentials.
pub(crate) struct Proxy {
    pub(crate) protocol: Protocol,
    /// `https` if it is spoken to in TLS.
    pub(crate) origin: Origin,
    user: String,
    password: String,
}

impl Proxies {
    /// # Errors
    /// When a header cannot be sent.
    pub(crate) fn new(options: &ProxyOptions) -> Result<Self, String> {
        let mut connect_headers = Vec::with_capacity(options.connect_headers.len());
        for header in &options.connect_headers {
            let name = header.name.parse().map_err(|_| format!("invalid header name {:?}", header.name))?;
            connect_headers.push((name, header.values.iter().map(Text::new).collect()));
        }
        // Without exceptions the URL must be a complete one; with them `http://` may be left out.
        let complete = options.except.is_none();
        let parse = |url: &Option<Secret>| {
            url.as_ref().filter(|url| !url.is_empty()).map(|url| Proxy::parse(url.reveal(), complete))
        };
        Ok(Proxies {
            http: parse(&options.http),
            https: parse(&options.https),
            except: options.except.as_deref().map(Exceptions::parse),
            connect_headers,
        })
    }

    /// The proxy to ask for `origin`.
    pub(crate) fn of(&self, origin: &Origin) -> Result<Option<&Proxy>, String> {
        let proxy = if origin.https { &self.https } else { &self.http };
        match proxy {
            None => Ok(None),
            Some(_) if self.except.as_ref().is_some_and(|list| list.contain(&origin.host, origin.port)) => {
                Ok(None)
            }
            Some(Ok(proxy)) => Ok(Some(proxy)),
            Some(Err(reason)) => Err(reason.clone()),
        }
    }

    /// Opens a tunnel to `origin` through `stream`, at whose other end `proxy` is.
    pub(crate) async fn tunnel<S>(&self, stream: &mut S, proxy: &Proxy, origin: &Origin) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match proxy.protocol {
            Protocol::Socks5 => {
                let user = (!proxy.user.is_empty()).then_some((&*proxy.user, &*proxy.password));
                socks::connect(stream, &origin.host, origin.port, user).await
            }
            Protocol::Http => self.connect(stream, proxy, origin).await,
        }
    }

    /// RFC 9110, section 9.3.6.
    async fn connect<S>(&self, stream: &mut S, proxy: &Proxy, origin: &Origin) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let authority = origin.authority();
        let agent = crate::USER_AGENT;
        let mut request =
            format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {agent}\r\n");
        for (name, values) in &self.connect_headers {
            for value in values {
                let value = value.read()?;
                HeaderValue::from_str(&value).map_err(|_| format!("invalid value of header {name}"))?;
                let _ = write!(request, "{}: {value}\r\n", title_case(name));
            }
        }
        if let Some(credentials) = proxy.credentials() {
            let _ = write!(request, "{}: {credentials}\r\n", title_case(&PROXY_AUTHORIZATION));
        }
        request.push_str("\r\n");
        let failed = |err: std::io::Error| io_text(&err);
        stream.write_all(request.as_bytes()).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the empty line already belongs to the tunnel.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == MAX_CONNECT_ANSWER {
                return Err("the proxy's answer is too long".to_owned());
            }
            let byte = stream.read_u8().await.map_err(failed)?;
            answer.push(byte);
        }
        let line = answer.split(|&b| b == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let status = line.split_once(' ').map_or("", |(_, status)| status);
        if status.starts_with('2') {
            Ok(())
        } else {
            Err(status.split_once(' ').map_or("unknown status code", |(_, reason)| reason).to_owned())
        }
    }
}

/// `X-Why`, as all other headers are written.
fn title_case(name: &HeaderName) -> String {
    let mut begins = true;
    let cased = name.as_str().chars().map(|c| {
        let cased = if begins { c.to_ascii_uppercase() } else { c };
        begins = c == '-';
        cased
    });
    cased.collect()
}

impl Proxy {
    fn parse(text: &str, complete: bool) -> Result<Self, String> {
        let parsed = match Url::parse(text) {
            Ok(url) if url.has_host() => Ok(url),
            _ if complete => Err(()),
            _ => Url::parse(&format!("http://{text}")).map_err(|_| ()),
        };
        // The text may hold a password.
        let url = parsed.map_err(|()| "the URL of the proxy is not valid".to_owned())?;
        let (protocol, https) = match url.scheme() {
            "http" => (Protocol::Http, false),
            "https" => (Protocol::Http, true),
            "socks5" | "socks5h" => (Protocol::Socks5, false),
            other => {
                return Err(format!(
                    "the scheme of the proxy's URL is {other:?}, not http, https, socks5 or socks5h"
                ));
            }
        };
        let usual = match (protocol, https) {
            (Protocol::Socks5, _) => 1080,
            (Protocol::Http, true) => 443,
            (Protocol::Http, false) => 80,
        };
        let host = match url.host() {
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        Ok(Proxy {
            protocol,
            origin: Origin { https, host, port: url.port().unwrap_or(usual) },
            user: crate::percent::decode(url.username()),
            password: crate::percent::decode(url.password().unwrap_or_default()),
        })
    }

    /// `Proxy-Authorization`, if the URL has a user.
    pub(crate) fn credentials(&self) -> Option<String> {
        (!self.user.is_empty() || !self.password.is_empty())
            .then(|| basic_credentials(&self.user, &self.password))
    }
}
