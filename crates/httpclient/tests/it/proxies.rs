//! Proxies of all kinds.

use std::net::SocketAddr;

use httpclient::{ClientOptions, ExtraHeader, ProxyOptions};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Identity, Speaks, echo, get, inline, ok, read_head, self_signed, tls_server, trusting};

/// Sends heads of plain requests back, and opens tunnels to `behind` for who has a password.
async fn proxy(mut stream: impl AsyncRead + AsyncWrite + Unpin, behind: SocketAddr) {
    while let Some(head) = read_head(&mut stream).await {
        if !head.starts_with("CONNECT ") {
            stream.write_all(&ok(&head)).await.unwrap();
        } else if head.to_lowercase().contains("proxy-authorization: basic dtpwqda=\r\n") {
            // What was asked comes back as the name of a header.
            let lines: Vec<&str> = head.lines().filter(|line| !line.is_empty()).collect();
            let answer = format!("HTTP/1.1 200 {}\r\n\r\n", lines.join("|"));
            stream.write_all(answer.as_bytes()).await.unwrap();
            let mut onward = TcpStream::connect(behind).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
            return;
        } else {
            stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        }
        stream.flush().await.unwrap();
    }
}

async fn start_proxy(behind: SocketAddr, identity: Option<&Identity>) -> SocketAddr {
    let acceptor = identity.map(crate::support::acceptor);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            match &acceptor {
                None => drop(tokio::spawn(proxy(stream, behind))),
                Some(acceptor) => {
                    let acceptor = acceptor.clone();
                    tokio::spawn(async move { proxy(acceptor.accept(stream).await.unwrap(), behind).await });
                }
            }
        }
    });
    address
}

#[tokio::test]
async fn http_proxies_get_absolute_requests_and_open_tunnels() {
    let identity = self_signed(true);
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let behind = tls_server(&identity, None, speaks).await;
        for encrypted in [false, true] {
            let proxy = start_proxy(behind.address, encrypted.then_some(&identity)).await;
            let scheme = if encrypted { "https" } else { "http" };
            let through = |user: &str| ClientOptions {
                proxy: ProxyOptions::url(&format!("{scheme}://{user}localhost:{}", proxy.port())),
                ..trusting(&identity)
            };
            let absolute = get(&through("u:p%400@"), "http://far.example/path?q=1").await.unwrap();
            assert!(absolute.starts_with("GET http://far.example/path?q=1 HTTP/1.1\r\n"), "{absolute}");
            for line in ["Host: far.example\r\n", "Proxy-Authorization: Basic dTpwQDA=\r\n"] {
                assert!(absolute.contains(line), "{absolute}");
            }
            let url = behind.url("/in");
            let tunnelled = get(&through("u:p%400@"), &url).await.unwrap();
            assert!(
                !tunnelled.to_lowercase().contains("proxy-") && tunnelled.contains("/in "),
                "{tunnelled}"
            );
            assert_eq!(
                get(&through(""), &url).await.unwrap_err(),
                format!("Get \"{url}\": Proxy Authentication Required")
            );
        }
    }
}

#[tokio::test]
async fn requests_for_a_tunnel_carry_the_headers_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await.unwrap()
    });
    let options = ClientOptions {
        proxy: ProxyOptions {
            connect_headers: vec![ExtraHeader {
                name: "X-Why".to_owned(),
                values: vec![inline("a"), inline("b")],
            }],
            ..ProxyOptions::url(&format!("http://{address}"))
        },
        ..ClientOptions::default()
    };
    assert_eq!(get(&options, "https://[fd00::1]/x").await.unwrap_err(), "Get \"https://[fd00::1]/x\": EOF");
    let agent = httpclient::USER_AGENT;
    assert_eq!(
        seen.await.unwrap(),
        format!(
            "CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\nUser-Agent: {agent}\r\nX-Why: a\r\nX-Why: b\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn exceptions_are_reached_directly() {
    let (direct, elsewhere) = (echo().await, echo().await);
    let options = |except: Option<&str>| ClientOptions {
        proxy: ProxyOptions {
            except: except.map(str::to_owned),
            ..ProxyOptions::url(&format!("http://{elsewhere}"))
        },
        ..ClientOptions::default()
    };
    let url = format!("http://{direct}/x");
    let asked = async |except| get(&options(except), &url).await.unwrap().lines().next().unwrap().to_owned();
    assert_eq!(asked(None).await, format!("GET {url} HTTP/1.1"), "this machine is none without a list");
    assert_eq!(asked(Some("other.example")).await, "GET /x HTTP/1.1", "and always one with it");
    let far = get(&options(Some("other.example")), "http://some.example/").await.unwrap();
    assert!(far.starts_with("GET http://some.example/ "), "{far}");
    let schemeless = ClientOptions {
        proxy: ProxyOptions { except: Some("x".to_owned()), ..ProxyOptions::url(&elsewhere.to_string()) },
        ..ClientOptions::default()
    };
    assert!(get(&schemeless, "http://some.example/").await.unwrap().starts_with("GET http://some.example/ "));
}

#[tokio::test]
async fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    let through = |url: &str| ClientOptions { proxy: ProxyOptions::url(url), ..ClientOptions::default() };
    for (proxy, reason) in [
        ("ftp://u:pw@h", "the scheme of the proxy's URL is \"ftp\", not http, https, socks5 or socks5h"),
        ("h:port", "the URL of the proxy is not valid"),
        ("http://u:pw@127.0.0.1:1", "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused"),
    ] {
        let err = get(&through(proxy), "http://far.example/").await.unwrap_err();
        assert_eq!(err, format!("Get \"http://far.example/\": {reason}"));
        assert!(!format!("{:?}", through(proxy)).contains("pw"));
    }
}

/// A SOCKS 5 proxy that wants `user` and connects everything to `behind`; answers what it was asked for.
async fn socks(mut stream: TcpStream, behind: SocketAddr, user: Option<&'static str>) -> String {
    let mut greeting = [0; 2];
    stream.read_exact(&mut greeting).await.unwrap();
    let mut methods = vec![0; usize::from(greeting[1])];
    stream.read_exact(&mut methods).await.unwrap();
    let wanted = if user.is_some() { 2 } else { 0 };
    if !methods.contains(&wanted) {
        stream.write_all(&[5, 0xff]).await.unwrap();
        return "no method".to_owned();
    }
    stream.write_all(&[5, wanted]).await.unwrap();
    if let Some(user) = user {
        assert_eq!(stream.read_u8().await.unwrap(), 1);
        let mut words = Vec::new();
        for _ in 0..2 {
            let mut word = vec![0; usize::from(stream.read_u8().await.unwrap())];
            stream.read_exact(&mut word).await.unwrap();
            words.push(String::from_utf8(word).unwrap());
        }
        let good = words.join(":") == user;
        stream.write_all(&[1, u8::from(!good)]).await.unwrap();
    }
    let mut request = [0; 4];
    if stream.read_exact(&mut request).await.is_err() {
        return "went away".to_owned();
    }
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(stream.read_u32().await.unwrap()).to_string(),
        _ => {
            let mut name = vec![0; usize::from(stream.read_u8().await.unwrap())];
            stream.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
    };
    let port = stream.read_u16().await.unwrap();
    let reply = if host == "refused.example" { 5 } else { 0 };
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let mut onward = TcpStream::connect(behind).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
    format!("{host}:{port}")
}

async fn through_socks(
    behind: SocketAddr,
    wants: Option<&'static str>,
    user: &str,
    url: &str,
    options: ClientOptions,
) -> (Result<String, String>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move { socks(listener.accept().await.unwrap().0, behind, wants).await });
    let proxy_options = ProxyOptions::url(&format!("socks5://{user}{proxy}"));
    let got = get(&ClientOptions { proxy: proxy_options, ..options }, url).await;
    let got = got.map_err(|err| err.replace(&proxy.to_string(), "PROXY"));
    (got, asked.await.unwrap())
}

#[tokio::test]
async fn socks_proxies_connect_by_name() {
    let identity = self_signed(false);
    let (plain, encrypted) = (echo().await, tls_server(&identity, None, Speaks::Http2).await);
    let plain_options = ClientOptions::default;
    let (got, asked) = through_socks(plain, None, "", "http://far.example:81/x", plain_options()).await;
    assert!(got.unwrap().starts_with("GET /x HTTP/1.1\r\nHost: far.example:81\r\n"));
    assert_eq!(asked, "far.example:81");
    let (got, asked) =
        through_socks(encrypted.address, Some("u:p"), "u:p@", "https://localhost/x", trusting(&identity))
            .await;
    assert_eq!(got.unwrap().lines().next(), Some("GET https://localhost/x HTTP/2.0"));
    assert_eq!(asked, "localhost:443");
    for (wants, user, url, reason) in [
        (Some("u:p"), "", "http://h/", "no acceptable authentication methods"),
        (Some("u:p"), "u:x@", "http://h/", "username/password authentication failed"),
        (None, "u:x@", "http://refused.example/", "unknown error connection refused"),
    ] {
        let (got, _) = through_socks(plain, wants, user, url, plain_options()).await;
        let host = url.trim_start_matches("http://").trim_end_matches('/');
        assert_eq!(got.unwrap_err(), format!("Get \"{url}\": socks connect tcp PROXY->{host}:80: {reason}"));
    }
}
