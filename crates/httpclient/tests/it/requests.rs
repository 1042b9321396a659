//! Credentials, headers, redirects, limits, sockets.

use std::sync::Arc;
use std::time::Duration;

use httpclient::{
    Authorization, BasicAuth, Bytes, Client, ClientOptions, Error, ExtraHeader, HeaderMap, HeaderValue,
    Limits, Method, Request, Signer, Signing, Source, Unsigned, Url,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::support::{TIMEOUT, echo, get, inline, ok, plain, read_head, serve};

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
    assert!(
        get(&bearer, &url)
            .await
            .unwrap_err()
            .contains("unable to read authorization credentials: unable to read file")
    );
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

#[tokio::test]
async fn a_redirect_is_followed_as_go_follows_it() {
    let elsewhere = echo().await;
    let port = elsewhere.port();
    let moved = plain(Arc::new(move |head: &str| {
        let place = match head.split(' ').nth(1).unwrap() {
            "/away" => format!("http://localhost:{port}/end"),
            "/near" => "/end".to_owned(),
            "/nowhere" => String::new(),
            "/wrong" => "http://[".to_owned(),
            _ => return ok(head),
        };
        format!("HTTP/1.1 302 F\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    }))
    .await;
    let header = |name: &str| ExtraHeader { name: name.to_owned(), values: vec![inline("v")] };
    let options = ClientOptions {
        basic_auth: Some(BasicAuth::default()),
        headers: vec![header("X-Tenant"), header("Cookie")],
        ..ClientOptions::default()
    };
    let near = get(&options, &format!("http://{moved}/near")).await.unwrap();
    for line in [
        &format!("Referer: http://{moved}/near\r\n"),
        "Authorization: Basic Og==\r\n",
        "X-Tenant: v\r\n",
        "Cookie: v\r\n",
    ] {
        assert!(near.contains(line), "{line} {near}");
    }
    let away = get(&options, &format!("http://{moved}/away")).await.unwrap();
    for (line, there) in
        [("Referer: ", true), ("X-Tenant: ", true), ("Authorization", false), ("Cookie", false)]
    {
        assert_eq!(away.contains(line), there, "{line} {away}");
    }
    assert_eq!(get(&options, &format!("http://{moved}/nowhere")).await.unwrap(), "");
    let wrong = get(&options, &format!("http://{moved}/wrong")).await.unwrap_err();
    assert!(wrong.contains("failed to parse Location header \"http://[\": "), "{wrong}");
}

#[tokio::test]
async fn credentials_of_a_url_are_sent_and_not_shown() {
    let address = echo().await;
    let own = ClientOptions {
        authorization: Some(Authorization { kind: "Bearer".to_owned(), credentials: Some(inline("t")) }),
        ..ClientOptions::default()
    };
    let head = get(&own, &format!("http://u:p%40@{address}/")).await.unwrap();
    assert!(head.contains("Authorization: Basic dTpwQA==\r\n") && !head.contains("Bearer"), "{head}");
    let err = get(&own, "http://u:hidden@127.0.0.1:1/").await.unwrap_err();
    assert_eq!(err, "Get \"http://u:***@127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused");
}

#[tokio::test]
async fn a_socket_of_this_machine_stands_for_any_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::new(|head: &str| ok(head))));
        }
    });
    let client = Client::new(&ClientOptions::default()).unwrap();
    let ask = async |client: Client| {
        let url = Url::parse("http://some.host:9/x").unwrap();
        let got = client.get(&url, &HeaderMap::new(), Limits::default(), TIMEOUT).await;
        got.map(|(_, body)| String::from_utf8(body).unwrap()).map_err(|err| err.to_string())
    };
    let head = ask(client.clone().with_unix_socket(&path)).await.unwrap();
    assert!(head.starts_with("GET /x HTTP/1.1\r\nHost: some.host:9\r\n"), "{head}");
    let gone = dir.path().join("gone");
    assert_eq!(
        ask(client.with_unix_socket(&gone)).await.unwrap_err(),
        format!(
            "Get \"http://some.host:9/x\": dial unix {}: connect: no such file or directory",
            gone.display()
        )
    );
}
