//! TLS as Go's programs have it.

use std::io::Write;

use httpclient::{Client, ClientOptions, HeaderMap, Limits, Source, TlsOptions, TlsVersion, Url};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Identity, Speaks, TIMEOUT, ask, get, inline, self_signed, tls, tls_server};

#[tokio::test]
async fn certificates_are_verified_as_go_verifies_them() {
    for ca in [false, true] {
        let (own, other) = (self_signed(ca), self_signed(ca));
        let port = tls_server(&own, None, Speaks::Http1).await.address.port();
        let (named, by_address) =
            (format!("https://localhost:{port}/"), format!("https://127.0.0.1:{port}/"));
        let trusting =
            |identity: &Identity| TlsOptions { ca: Some(inline(&identity.cert)), ..TlsOptions::default() };
        assert!(get(&tls(trusting(&own)), &named).await.is_ok(), "trusted, CA mark {ca}");
        let misnamed = get(&tls(trusting(&own)), &by_address).await.unwrap_err();
        assert!(
            misnamed.ends_with(
                "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"
            ),
            "{misnamed}"
        );
        let renamed = TlsOptions { server_name: Some("localhost".to_owned()), ..trusting(&own) };
        assert!(get(&tls(renamed), &by_address).await.is_ok(), "server_name, CA mark {ca}");
        let refused = get(&tls(trusting(&other)), &named).await.unwrap_err();
        let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert_eq!(refused, format!("Get \"{named}\": {unknown}"));
        assert!(get(&ClientOptions::default(), &named).await.is_err(), "system roots, CA mark {ca}");
        let any = TlsOptions { insecure_skip_verify: true, ..TlsOptions::default() };
        assert!(get(&tls(any), &by_address).await.is_ok(), "skipped, CA mark {ca}");
    }
}

#[tokio::test]
async fn client_certificates_are_sent_and_read_again_when_they_change() {
    let (server, client, stranger) = (self_signed(false), self_signed(false), self_signed(false));
    let address = tls_server(&server, Some(&client), Speaks::Http1).await.address;
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
    assert!(ask().await.unwrap_err().to_string().contains("unable to read client cert: unable to read file"));
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
async fn a_kept_connection_is_not_used_after_files_changed() {
    let (server, stranger) = (self_signed(false), self_signed(false));
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let running = tls_server(&server, None, speaks).await;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca");
        std::fs::write(&file, &server.cert).unwrap();
        let options = tls(TlsOptions { ca: Some(Source::File(file.clone())), ..TlsOptions::default() });
        let client = Client::new(&options).unwrap();
        let mut connection = client.connection();
        for _ in 0..3 {
            ask(&mut connection, &running.url("/")).await.unwrap();
        }
        assert_eq!(running.connections(), 1);
        std::fs::write(&file, &stranger.cert).unwrap();
        let refused = ask(&mut connection, &running.url("/")).await.unwrap_err();
        assert!(refused.contains("certificate signed by unknown authority"), "{refused}");
        std::fs::write(&file, "nothing").unwrap();
        let unusable = ask(&mut connection, &running.url("/")).await.unwrap_err();
        assert!(
            unusable.ends_with(&format!("unable to use specified CA cert file {}", file.display())),
            "{unusable}"
        );
        std::fs::write(&file, format!("{}{}", stranger.cert, server.cert)).unwrap();
        ask(&mut connection, &running.url("/")).await.unwrap();
        assert_eq!(running.connections(), 2);
    }
}

#[tokio::test]
async fn what_is_wrong_with_keys_and_servers_is_said_as_go_says_it() {
    let (server, other) = (self_signed(false), self_signed(false));
    let running = tls_server(&server, Some(&other), Speaks::Http1).await;
    let with = |cert: &str, key: &str| {
        tls(TlsOptions {
            ca: Some(inline(&server.cert)),
            cert: Some(inline(cert)),
            key: Some(inline(key)),
            ..TlsOptions::default()
        })
    };
    let url = running.url("/");
    let unusable = "unable to use specified client cert (inline) & key (inline): tls: ";
    for (cert, key, end) in [
        (&*server.cert, &*other.key, format!("{unusable}private key does not match public key")),
        ("x", &*other.key, format!("{unusable}failed to find any PEM data in certificate input")),
        (&*other.cert, "x", format!("{unusable}failed to find any PEM data in key input")),
    ] {
        assert_eq!(get(&with(cert, key), &url).await.unwrap_err(), format!("Get \"{url}\": {end}"));
    }
    assert!(get(&with(&other.cert, &other.key), &url).await.is_ok());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    assert_eq!(
        get(&ClientOptions::default(), &plain).await.unwrap_err(),
        format!("Get \"{plain}\": http: server gave HTTP response to HTTPS client")
    );
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_says_so() {
    let (server, other) = (self_signed(false), self_signed(false));
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let running = tls_server(&server, Some(&other), speaks).await;
        let none = tls(TlsOptions { ca: Some(inline(&server.cert)), ..TlsOptions::default() });
        let url = running.url("/");
        let err = get(&none, &url).await.unwrap_err();
        assert_eq!(err, format!("Get \"{url}\": remote error: tls: certificate required"));
    }
}
