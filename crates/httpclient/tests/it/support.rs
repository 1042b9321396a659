//! Servers on this machine, and short ways to ask them.

use std::io::BufReader;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use httpclient::{BodyShare, Client, ClientOptions, Connection, HeaderMap, Limits, Source, TlsOptions, Url};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// From the head of a request to the bytes of its answer.
pub(crate) type Answers = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Answers each request with what `answer` makes of its head.
pub(crate) async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answers) {
    while let Some(head) = read_head(&mut stream).await {
        if stream.write_all(&answer(&head)).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A plain server that sends each request's head back as the body.
pub(crate) async fn echo() -> SocketAddr {
    plain(Arc::new(|head: &str| ok(head))).await
}

pub(crate) async fn plain(answer: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone()));
        }
    });
    address
}

pub(crate) async fn get(options: &ClientOptions, url: &str) -> Result<String, String> {
    let client = Client::new(options).map_err(|err| err.to_string())?;
    let got = client.get(&Url::parse(url).unwrap(), &HeaderMap::new(), Limits::default(), TIMEOUT).await;
    got.map(|(_, body)| String::from_utf8(body).unwrap()).map_err(|err| err.to_string())
}

pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// A self-signed certificate for `localhost`, marked as a CA as `openssl req -x509` marks it, or not.
pub(crate) fn self_signed(ca: bool) -> Identity {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

/// How a TLS server speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// A TLS server that sends each request's head back as the body. In HTTP/2 the head is put together as HTTP/1.1 has it.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl TlsServer {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// How many handshakes were completed.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Handshakes of a server that shows `identity`.
pub(crate) fn acceptor(identity: &Identity) -> TlsAcceptor {
    acceptor_for(identity, None, Speaks::Http1)
}

fn acceptor_for(identity: &Identity, clients: Option<&Identity>, speaks: Speaks) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(clients) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(clients.cert.as_bytes()).unwrap()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    let chain = CertificateDer::pem_reader_iter(BufReader::new(identity.cert.as_bytes()))
        .map(Result::unwrap)
        .collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    if speaks == Speaks::Http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    TlsAcceptor::from(Arc::new(config))
}

/// A server that shows `identity` and wants one of `clients`.
pub(crate) async fn tls_server(identity: &Identity, clients: Option<&Identity>, speaks: Speaks) -> TlsServer {
    let acceptor = acceptor_for(identity, clients, speaks);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = TlsServer { address: listener.local_addr().unwrap(), connections: Arc::default() };
    let connections = server.connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, connections) = (acceptor.clone(), connections.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                connections.fetch_add(1, Ordering::SeqCst);
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    serve_http2(stream).await;
                } else {
                    serve(stream, Arc::new(|head: &str| ok(head))).await;
                }
            });
        }
    });
    server
}

async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let echo = hyper::service::service_fn(async |request: http::Request<hyper::body::Incoming>| {
        let mut head = format!("{} {} {:?}\r\n", request.method(), request.uri(), request.version());
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let body = http_body_util::Full::new(bytes::Bytes::from(head));
        Ok::<_, std::convert::Infallible>(http::Response::new(body))
    });
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let _ = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, echo).await;
}

pub(crate) fn inline(text: &str) -> Source {
    Source::Inline(text.into())
}

pub(crate) fn tls(tls: TlsOptions) -> ClientOptions {
    ClientOptions { tls, ..ClientOptions::default() }
}

/// Asks on a connection that is kept.
pub(crate) async fn ask(connection: &mut Connection, url: &str) -> Result<String, String> {
    let (mut body, mut share) = (Vec::new(), BodyShare::default());
    let (url, deadline) = (Url::parse(url).unwrap(), Instant::now() + TIMEOUT);
    let got = connection.get(&url, &HeaderMap::new(), 1 << 20, deadline, &mut body, &mut share).await;
    got.map(|_| String::from_utf8(body).unwrap()).map_err(|err| err.to_string())
}

/// A client that trusts `identity`.
pub(crate) fn trusting(identity: &Identity) -> ClientOptions {
    tls(TlsOptions { ca: Some(inline(&identity.cert)), ..TlsOptions::default() })
}
