//! Requests against servers on this machine: TLS as Go verifies it, credentials, proxies, redirects, limits.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use httpclient::{
    Authorization, BasicAuth, Bytes, Client, ClientOptions, Error, ExtraHeader, HeaderMap, HeaderValue,
    Limits, Method, Request, Signer, Signing, Source, TlsOptions, TlsVersion, Unsigned, Url,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// From the head of a request to the bytes of its answer.
type Answers = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

const TIMEOUT: Duration = Duration::from_secs(10);

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// Answers each request with what `answer` makes of its head.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answers) {
    while let Some(head) = read_head(&mut stream).await {
        if stream.write_all(&answer(&head)).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A plain server that sends each request's head back as the body.
async fn echo() -> SocketAddr {
    plain(Arc::new(|head: &str| ok(head))).await
}

async fn plain(answer: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone()));
        }
    });
    address
}

async fn get(options: &ClientOptions, url: &str) -> Result<String, String> {
    let client = Client::new(options).map_err(|err| err.to_string())?;
    let got = client.get(&Url::parse(url).unwrap(), &HeaderMap::new(), Limits::default(), TIMEOUT).await;
    got.map(|(_, body)| String::from_utf8(body).unwrap()).map_err(|err| err.to_string())
}

struct Identity {
    cert: String,
    key: String,
}

/// A self-signed certificate for `localhost`, marked as a CA as `openssl req -x509` marks it, or not.
fn self_signed(ca: bool) -> Identity {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

async fn tls_server(identity: &Identity, clients: Option<&Identity>) -> SocketAddr {
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
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, Arc::new(|head: &str| ok(head))).await;
                }
            });
        }
    });
    address
}

fn inline(text: &str) -> Source {
    Source::Inline(text.into())
}

fn tls(tls: TlsOptions) -> ClientOptions {
    ClientOptions { tls, ..ClientOptions::default() }
}

#[tokio::test]
async fn certificates_are_verified_as_go_verifies_them() {
    for ca in [false, true] {
        let (own, other) = (self_signed(ca), self_signed(ca));
        let port = tls_server(&own, None).await.port();
        let (named, by_address) =
            (format!("https://localhost:{port}/"), format!("https://127.0.0.1:{port}/"));
        let trusting =
            |identity: &Identity| TlsOptions { ca: Some(inline(&identity.cert)), ..TlsOptions::default() };
        assert!(get(&tls(trusting(&own)), &named).await.is_ok(), "trusted, CA mark {ca}");
        assert!(get(&tls(trusting(&own)), &by_address).await.is_err(), "wrong name, CA mark {ca}");
        let renamed = TlsOptions { server_name: Some("localhost".to_owned()), ..trusting(&own) };
        assert!(get(&tls(renamed), &by_address).await.is_ok(), "server_name, CA mark {ca}");
        let refused = get(&tls(trusting(&other)), &named).await.unwrap_err();
        assert!(refused.contains("tls: "), "{refused}");
        assert!(get(&ClientOptions::default(), &named).await.is_err(), "system roots, CA mark {ca}");
        let any = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
        assert!(get(&tls(any), &by_address).await.is_ok(), "skipped, CA mark {ca}");
    }
}

#[tokio::test]
async fn client_certificates_are_sent_and_read_again_when_they_change() {
    let (server, client, stranger) = (self_signed(false), self_signed(false), self_signed(false));
    let address = tls_server(&server, Some(&client)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let write = |identity: &Identity| {
        std::fs::File::create(path("cert")).unwrap().write_all(identity.cert.as_bytes()).unwrap();
        std::fs::File::create(path("key")).unwrap().write_all(identity.key.as_bytes()).unwrap();
    };
    let options = tls(TlsOptions {
        ca: Some(inline(&server.cert)),
        cert: Some(Source::File(path("cert"))),
        key: Some(Source::File(path("key"))),
        ..TlsOptions::default()
    });
    let client_made_once = Client::new(&options).unwrap();
    let url = Url::parse(&format!("https://localhost:{}/", address.port())).unwrap();
    let headers = HeaderMap::new();
    let ask = || client_made_once.get(&url, &headers, Limits::default(), TIMEOUT);
    assert!(ask().await.unwrap_err().to_string().contains("unable to read client cert file"));
    write(&stranger);
    assert!(ask().await.is_err());
    write(&client);
    assert!(ask().await.is_ok());
}

#[tokio::test]
async fn tls_options_that_cannot_work_are_refused() {
    let bad = |tls_options| Client::new(&tls(tls_options)).unwrap_err().to_string();
    let half = bad(TlsOptions { cert: Some(inline("x")), ..TlsOptions::default() });
    assert!(half.contains("key"), "{half}");
    let old = bad(TlsOptions { max_version: Some(TlsVersion::Tls11), ..TlsOptions::default() });
    assert!(old.contains("max_version"), "{old}");
    let (min, max) = (Some(TlsVersion::Tls13), Some(TlsVersion::Tls12));
    bad(TlsOptions { min_version: min, max_version: max, ..TlsOptions::default() });
}

#[tokio::test]
async fn credentials_and_headers_are_sent_and_files_read_each_time() {
    let address = echo().await;
    let url = format!("http://{address}/x?y=z");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, " first \n").unwrap();
    let basic = ClientOptions {
        basic_auth: Some(BasicAuth {
            username: Some(inline("Aladdin")),
            password: Some(inline("open sesame")),
        }),
        ..ClientOptions::default()
    };
    assert!(
        get(&basic, &url).await.unwrap().contains("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
    );
    let bearer = ClientOptions {
        authorization: Some(Authorization {
            kind: "Bearer".to_owned(),
            credentials: Some(Source::File(file.clone())),
        }),
        headers: vec![ExtraHeader {
            name: "X-Scope-OrgID".to_owned(),
            values: vec![inline("a"), inline("b")],
        }],
        ..ClientOptions::default()
    };
    let head = get(&bearer, &url).await.unwrap();
    assert!(head.contains("Authorization: Bearer first\r\n"), "{head}");
    assert!(head.to_lowercase().contains("x-scope-orgid: a\r\nx-scope-orgid: b\r\n"), "{head}");
    std::fs::write(&file, "second").unwrap();
    assert!(get(&bearer, &url).await.unwrap().contains("Bearer second\r\n"));
    std::fs::remove_file(&file).unwrap();
    assert!(get(&bearer, &url).await.unwrap_err().contains("unable to read authorization credentials file"));
    assert!(!format!("{basic:?}{bearer:?}").contains("sesame"));
    assert!(Client::new(&ClientOptions { basic_auth: Some(BasicAuth::default()), ..bearer }).is_err());
}

#[tokio::test]
async fn a_signer_sees_the_whole_request_and_adds_to_it() {
    struct Lengths;
    impl Signer for Lengths {
        fn sign<'a>(&'a self, request: Unsigned<'a>) -> Signing<'a> {
            Box::pin(async move {
                let Unsigned { method, url, headers, content } = request;
                let host = headers["host"].to_str().unwrap();
                let signature = format!("{method} {host} {} {}", url.path(), content.len());
                headers.insert("authorization", HeaderValue::from_str(&signature).unwrap());
                if url.path() == "/refused" { Err("no credentials".to_owned()) } else { Ok(()) }
            })
        }
    }
    let address = echo().await;
    let client = Client::new(&ClientOptions::default()).unwrap().with_signer(Arc::new(Lengths));
    let headers = HeaderMap::new();
    let ask = async |path: &str| {
        let url = Url::parse(&format!("http://{address}{path}")).unwrap();
        let got = client.get(&url, &headers, Limits::default(), TIMEOUT).await;
        got.map(|(_, body)| String::from_utf8(body).unwrap()).map_err(|err| err.to_string())
    };
    let head = ask("/x").await.unwrap();
    assert!(head.contains(&format!("Authorization: GET {address} /x 0\r\n")), "{head}");
    let refused = ask("/refused").await.unwrap_err();
    assert_eq!(refused, format!("Get \"http://{address}/refused\": no credentials"));
}

#[tokio::test]
async fn a_proxy_gets_absolute_requests_and_tunnels() {
    let identity = self_signed(true);
    let behind = tls_server(&identity, None).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = read_head(&mut stream).await.unwrap();
                let allowed = head.contains("Proxy-Authorization: Basic dTpw\r\n");
                if !head.starts_with("CONNECT ") {
                    stream.write_all(&ok(&head)).await.unwrap();
                } else if allowed {
                    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                    let mut onward = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                } else {
                    stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
                }
            });
        }
    });
    let through = |user: &str| ClientOptions {
        proxy_url: Some(format!("http://{user}{proxy}")),
        tls: TlsOptions { ca: Some(inline(&identity.cert)), ..TlsOptions::default() },
        ..ClientOptions::default()
    };
    let absolute = get(&through("u:p@"), "http://far.example/path?q=1").await.unwrap();
    assert!(absolute.starts_with("GET http://far.example/path?q=1 HTTP/1.1\r\n"), "{absolute}");
    assert!(
        absolute.contains("Host: far.example\r\n")
            && absolute.contains("Proxy-Authorization: Basic dTpw\r\n")
    );
    let url = format!("https://localhost:{}/in", behind.port());
    let tunnelled = get(&through("u:p@"), &url).await.unwrap();
    assert!(tunnelled.starts_with("GET /in HTTP/1.1\r\n") && !tunnelled.contains("Proxy-"), "{tunnelled}");
    assert_eq!(
        get(&through(""), &url).await.unwrap_err(),
        format!("Get \"{url}\": Proxy Authentication Required")
    );
}

#[tokio::test]
async fn redirects_are_followed_ten_times_and_only_if_wanted() {
    let answer = |head: &str| {
        let path = head.split(' ').nth(1).unwrap();
        match path.trim_start_matches('/').parse::<u32>() {
            Ok(0) => ok("arrived"),
            Ok(left) => {
                format!("HTTP/1.1 302 Found\r\nLocation: /{}\r\nContent-Length: 3\r\n\r\nxxx", left - 1)
                    .into_bytes()
            }
            Err(_) => ok("?"),
        }
    };
    let address = plain(Arc::new(answer)).await;
    let following = ClientOptions::default();
    assert_eq!(get(&following, &format!("http://{address}/10")).await.unwrap(), "arrived");
    let err = get(&following, &format!("http://{address}/11")).await.unwrap_err();
    assert!(err.contains("stopped after 10 redirects"), "{err}");
    let staying = ClientOptions { follow_redirects: false, ..following };
    assert_eq!(get(&staying, &format!("http://{address}/1")).await.unwrap(), "xxx");
}

#[tokio::test]
async fn content_is_sent_with_any_method_and_again_where_a_redirect_keeps_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(head) = read_head(&mut stream).await {
                    let length = head.split("Content-Length: ").nth(1).and_then(|h| h.split('\r').next());
                    let mut content = vec![0; length.map_or(0, |n| n.parse().unwrap())];
                    stream.read_exact(&mut content).await.unwrap();
                    let line = head.lines().next().unwrap();
                    let answer = match line.split(' ').nth(1).unwrap() {
                        "/302" => b"HTTP/1.1 302 F\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n".to_vec(),
                        "/307" => b"HTTP/1.1 307 T\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n".to_vec(),
                        _ => ok(&format!("{line} {}", String::from_utf8(content).unwrap())),
                    };
                    stream.write_all(&answer).await.unwrap();
                }
            });
        }
    });
    let client = Client::new(&ClientOptions::default()).unwrap();
    let send = async |method: Method, path: &str| {
        let url = Url::parse(&format!("http://{address}{path}")).unwrap();
        let request =
            Request { method, url: &url, headers: &HeaderMap::new(), content: Bytes::from_static(b"a=b") };
        let (_, body) = client.send(&request, Limits::default(), TIMEOUT).await.unwrap();
        String::from_utf8(body).unwrap()
    };
    assert_eq!(send(Method::PUT, "/end").await, "PUT /end HTTP/1.1 a=b");
    assert_eq!(send(Method::POST, "/307").await, "POST /end HTTP/1.1 a=b");
    assert_eq!(send(Method::POST, "/302").await, "GET /end HTTP/1.1 ");
    let gone = Url::parse("http://127.0.0.1:1/x").unwrap();
    let headers = HeaderMap::new();
    let request = Request { method: Method::POST, ..Request::get(&gone, &headers) };
    let err = client.send(&request, Limits::default(), TIMEOUT).await.unwrap_err().to_string();
    assert_eq!(err, "Post \"http://127.0.0.1:1/x\": dial tcp 127.0.0.1:1: connect: connection refused");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let elsewhere = echo().await;
    let location = format!("http://localhost:{}/", elsewhere.port());
    let address = plain(Arc::new(move |_: &str| {
        format!("HTTP/1.1 307 T\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    }))
    .await;
    let options = ClientOptions {
        authorization: Some(Authorization { kind: "Bearer".to_owned(), credentials: Some(inline("token")) }),
        ..ClientOptions::default()
    };
    let head = get(&options, &format!("http://{address}/")).await.unwrap();
    assert!(head.starts_with("GET / ") && !head.contains("token"), "{head}");
    assert!(get(&options, &format!("http://{elsewhere}/")).await.unwrap().contains("token"));
}

#[tokio::test]
async fn answers_are_bounded_in_time_and_size() {
    let address = plain(Arc::new(|head: &str| {
        let path = head.split(' ').nth(1).unwrap();
        match path {
            "/silent" => Vec::new(),
            "/endless-head" => format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(1 << 20)).into_bytes(),
            "/chunks" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n".to_vec(),
            _ => ok(&"z".repeat(2000)),
        }
    }))
    .await;
    let client = Client::new(&ClientOptions::default()).unwrap();
    let limits = Limits { body: 1000, decompressed: 1000 };
    let ask = |path: &str| {
        let url = Url::parse(&format!("http://{address}{path}")).unwrap();
        let client = client.clone();
        async move { client.get(&url, &HeaderMap::new(), limits, Duration::from_millis(300)).await.unwrap_err() }
    };
    assert!(matches!(ask("/long").await, Error::BodyTooLarge));
    assert!(matches!(ask("/silent").await, Error::Timeout { .. }));
    assert!(matches!(ask("/chunks").await, Error::BodyTimeout));
    assert!(matches!(ask("/endless-head").await, Error::Request { .. }));
}
