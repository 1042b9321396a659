//! Tokens of an OAuth 2 server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use httpclient::{
    Assertion, Client, ClientOptions, Grant, OAuth2, ProxyOptions, SignatureAlgorithm, Source, TlsOptions,
};
use rustls::SignatureScheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{ask, echo, get, inline, read_head};

/// What it was asked, head and form, and what it answers.
#[derive(Clone, Default)]
struct TokenServer {
    asked: Arc<Mutex<Vec<(String, String)>>>,
    answers: Arc<Mutex<Vec<(u16, &'static str)>>>,
}

impl TokenServer {
    async fn start(answers: &[(u16, &'static str)]) -> (SocketAddr, TokenServer) {
        let server = TokenServer::default();
        *server.answers.lock().unwrap() = answers.iter().rev().copied().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let running = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(head) = read_head(&mut stream).await else { continue };
                let length = head.split("Content-Length: ").nth(1).and_then(|h| h.split('\r').next());
                let mut form = vec![0; length.map_or(0, |n| n.parse().unwrap())];
                stream.read_exact(&mut form).await.unwrap();
                running.asked.lock().unwrap().push((head, String::from_utf8(form).unwrap()));
                let (status, body) = running.answers.lock().unwrap().pop().unwrap_or((500, "no more"));
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, server)
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }
}

fn oauth2(server: SocketAddr, grant: Grant) -> OAuth2 {
    OAuth2 {
        client_id: "me & you".to_owned(),
        grant,
        token_url: format!("http://{server}/token"),
        scopes: Vec::new(),
        endpoint_params: BTreeMap::new(),
        tls: TlsOptions::default(),
        proxy: ProxyOptions::default(),
    }
}

fn options(oauth2: OAuth2) -> ClientOptions {
    ClientOptions { oauth2: Some(Box::new(oauth2)), ..ClientOptions::default() }
}

const LONG: (u16, &str) = (200, r#"{"access_token":"long","token_type":"bearer","expires_in":3600}"#);
const SHORT: (u16, &str) = (200, r#"{"access_token":"short","expires_in":10}"#);
const FOR_EVER: (u16, &str) = (200, r#"{"access_token":"for-ever","token_type":"Odd"}"#);

fn authorization(head: &str) -> &str {
    head.lines().find_map(|line| line.strip_prefix("Authorization: ")).unwrap_or("none")
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_before_it_expires() {
    let target = format!("http://{}/", echo().await);
    let (address, server) = TokenServer::start(&[SHORT, SHORT, LONG]).await;
    let mut asked = oauth2(address, Grant::Secret(Some(inline("s cret/"))));
    asked.scopes = vec!["a".to_owned(), "b c".to_owned()];
    asked.endpoint_params.insert("resource".to_owned(), "ü".to_owned());
    let client = Client::new(&options(asked)).unwrap();
    let (mut one, mut other) = (client.connection(), client.connection());
    let mut used = Vec::new();
    for connection in [&mut one, &mut other] {
        for _ in 0..2 {
            used.push(authorization(&ask(connection, &target).await.unwrap()).to_owned());
        }
    }
    assert_eq!(used, ["Bearer short", "Bearer short", "Bearer long", "Bearer long"]);
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    let (head, form) = &asked[0];
    assert!(head.starts_with("POST /token HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Content-Type: application/x-www-form-urlencoded\r\n"), "{head}");
    assert_eq!(authorization(head), "Basic bWUrJTI2K3lvdTpzK2NyZXQlMkY=", "of me+%26+you:s+cret%2F");
    assert_eq!(form, "grant_type=client_credentials&resource=%C3%BC&scope=a+b+c");
}

#[tokio::test]
async fn a_secret_goes_where_the_server_wants_it() {
    let target = format!("http://{}/", echo().await);
    let (address, server) = TokenServer::start(&[(401, "{}"), SHORT, FOR_EVER]).await;
    let mut connection =
        Client::new(&options(oauth2(address, Grant::Secret(Some(inline("s")))))).unwrap().connection();
    for used in ["Bearer short", "Odd for-ever", "Odd for-ever"] {
        assert_eq!(authorization(&ask(&mut connection, &target).await.unwrap()), used);
    }
    let asked = server.asked();
    let forms: Vec<&str> = asked.iter().map(|(_, form)| form.as_str()).collect();
    let in_form = "client_id=me+%26+you&client_secret=s&grant_type=client_credentials";
    assert_eq!(forms, ["grant_type=client_credentials", in_form, in_form]);
    assert!(asked[1..].iter().all(|(head, _)| authorization(head) == "none"));
}

#[tokio::test]
async fn another_secret_is_another_token() {
    let target = format!("http://{}/", echo().await);
    let (address, server) = TokenServer::start(&[LONG, FOR_EVER]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "one\n").unwrap();
    let grant = Grant::Secret(Some(Source::File(file.clone())));
    let mut connection = Client::new(&options(oauth2(address, grant))).unwrap().connection();
    for (secret, used) in [("one", "Bearer long"), ("one\n", "Bearer long"), ("two", "Odd for-ever")] {
        std::fs::write(&file, secret).unwrap();
        assert_eq!(authorization(&ask(&mut connection, &target).await.unwrap()), used);
    }
    assert_eq!(server.asked().len(), 2);
    std::fs::remove_file(&file).unwrap();
    let err = ask(&mut connection, &target).await.unwrap_err();
    assert!(err.contains("unable to read oauth2 client secret: unable to read file"), "{err}");
}

#[tokio::test]
async fn a_password_grant_is_a_matter_of_parameters() {
    let target = format!("http://{}/", echo().await);
    let (address, server) = TokenServer::start(&[LONG]).await;
    let mut asked = oauth2(address, Grant::Secret(None));
    for (name, value) in [("grant_type", "password"), ("username", "u"), ("password", "p")] {
        asked.endpoint_params.insert(name.to_owned(), value.to_owned());
    }
    get(&options(asked), &target).await.unwrap();
    assert_eq!(server.asked()[0].1, "grant_type=password&password=p&username=u");
}

#[tokio::test]
async fn what_the_server_has_against_it_is_said() {
    let target = format!("http://{}/", echo().await);
    for (answer, reason) in [
        (
            (401, r#"{"error":"invalid_client","error_description":"who?"}"#),
            r#"oauth2: "invalid_client" "who?""#,
        ),
        ((503, "busy"), "oauth2: cannot fetch token: 503 X\nResponse: busy"),
        ((200, "{}"), "oauth2: server response missing access_token"),
    ] {
        let (address, server) = TokenServer::start(&[answer, answer, LONG]).await;
        let client = Client::new(&options(oauth2(address, Grant::Secret(None)))).unwrap();
        let expected = format!("Get \"{target}\": {reason}");
        assert_eq!(ask(&mut client.connection(), &target).await.unwrap_err(), expected);
        assert_eq!(ask(&mut client.connection(), &target).await.unwrap_err(), expected);
        assert_eq!(server.asked().len(), 2, "not again for everybody who needs a token at the same time");
    }
    let gone: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let err = get(&options(oauth2(gone, Grant::Secret(None))), &target).await.unwrap_err();
    assert_eq!(
        err,
        format!(
            "Get \"{target}\": Post \"http://127.0.0.1:1/token\": dial tcp 127.0.0.1:1: connect: connection refused"
        )
    );
    let mut twice = oauth2(gone, Grant::Secret(None));
    twice.scopes.push("a".to_owned());
    twice.endpoint_params.insert("scope".to_owned(), "b".to_owned());
    let err = get(&options(twice), &target).await.unwrap_err();
    assert!(err.ends_with("oauth2: cannot overwrite parameter \"scope\""), "{err}");
}

#[tokio::test]
async fn a_token_stays_with_whom_it_is_for() {
    let elsewhere = echo().await;
    let location = format!("http://localhost:{}/", elsewhere.port());
    let moved = crate::support::plain(Arc::new(move |_: &str| {
        format!("HTTP/1.1 307 T\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    }))
    .await;
    let (address, _) = TokenServer::start(&[LONG]).await;
    let head =
        get(&options(oauth2(address, Grant::Secret(None))), &format!("http://{moved}/")).await.unwrap();
    assert_eq!(authorization(&head), "none");
}

fn from_base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => b - b'A',
        b'a'..=b'z' => b - b'a' + 26,
        b'0'..=b'9' => b - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        other => panic!("{other} in {text}"),
    };
    let bits = text.bytes().flat_map(|b| (0..6).rev().map(move |i| digit(b) >> i & 1));
    let bits: Vec<u8> = bits.collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)).collect()
}

#[tokio::test]
async fn assertions_are_signed_and_say_who_asks() {
    let target = format!("http://{}/", echo().await);
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let (address, server) = TokenServer::start(&[LONG]).await;
    let mut asked = oauth2(
        address,
        Grant::Assertion(Assertion {
            key: Some(inline(&key.serialize_pem())),
            key_id: Some("k1".to_owned()),
            algorithm: SignatureAlgorithm::Rs384,
            issuer: None,
            audience: None,
            claims: BTreeMap::from([("role".to_owned(), serde_json::json!({"admin": true}))]),
        }),
    );
    asked.scopes = vec!["a".to_owned()];
    let head = get(&options(asked.clone()), &target).await.unwrap();
    assert_eq!(authorization(&head), "Bearer long");
    let (head, form) = server.asked().remove(0);
    assert_eq!(authorization(&head), "none");
    let form: BTreeMap<&str, &str> = form.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    assert_eq!(form["grant_type"], "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    assert_eq!(form["scope"], "a");
    let parts: Vec<&str> = form["assertion"].split('.').collect();
    let json = |part: &str| -> serde_json::Value { serde_json::from_slice(&from_base64(part)).unwrap() };
    assert_eq!(json(parts[0]), serde_json::json!({"alg": "RS384", "kid": "k1", "typ": "JWT"}));
    let mut claims = json(parts[1]);
    let claims = claims.as_object_mut().unwrap();
    let time =
        |claims: &serde_json::Map<String, serde_json::Value>, name: &str| claims[name].as_u64().unwrap();
    assert_eq!(time(claims, "exp") - time(claims, "iat"), 600);
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
    for name in ["exp", "iat", "jti"] {
        claims.remove(name);
    }
    let expected = serde_json::json!({
        "iss": "me & you", "sub": "me & you", "aud": format!("http://{address}/token"), "scope": "a",
        "role": {"admin": true},
    });
    assert_eq!(serde_json::Value::Object(claims.clone()), expected);
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let of_rsa = algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA384);
    let signed = format!("{}.{}", parts[0], parts[1]);
    let signature = from_base64(parts[2]);
    of_rsa.unwrap().1[0].verify_signature(key.public_key_raw(), signed.as_bytes(), &signature).unwrap();

    asked.grant = Grant::Assertion(Assertion {
        key: Some(inline("no key")),
        key_id: None,
        algorithm: SignatureAlgorithm::Rs256,
        issuer: None,
        audience: None,
        claims: BTreeMap::new(),
    });
    let err = get(&options(asked), &target).await.unwrap_err();
    assert!(err.ends_with("invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key"), "{err}");
}
