//! TLS: versions, certificates of both sides, and what happens when they are replaced.

use std::path::PathBuf;

use http::HeaderMap;
use httpclient::{ClientOptions, Secret, Source, TlsVersion};
use httpserver::{ClientAuth, ServerTls, Version, WebOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{LIMITS, WebFile, get, plain, trusting};

/// A certificate and its key, as PEM.
struct Pair {
    cert: String,
    key: String,
}

struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    cert: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap().pem();
        Authority { issuer: rcgen::Issuer::new(params, key), cert }
    }

    fn sign(&self, common_name: &str, alternative_names: &[&str]) -> Pair {
        let names: Vec<String> = alternative_names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        let key = rcgen::KeyPair::generate().unwrap();
        Pair { cert: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

fn inline(text: &str) -> Source {
    Source::Inline(Secret::new(text))
}

fn tls(of: &Pair) -> ServerTls {
    ServerTls {
        cert: inline(&of.cert),
        key: inline(&of.key),
        client_ca: None,
        client_auth: ClientAuth::None,
        allowed_sans: None,
        min_version: Version::Tls12,
        max_version: Version::Tls13,
        cipher_suites: Vec::new(),
        curves: Vec::new(),
        prefer_server_cipher_suites: true,
    }
}

fn with(tls: ServerTls) -> WebOptions {
    WebOptions { tls: Some(tls), ..plain() }
}

async fn who(served: &super::Served, client: &ClientOptions) -> Result<String, String> {
    get(served.address, "https", client, &HeaderMap::new()).await.map(|(_, _, body)| body)
}

#[tokio::test]
async fn clients_show_what_is_asked_of_them() {
    let (authority, stranger) = (Authority::new("ours"), Authority::new("theirs"));
    let server = authority.sign("localhost", &["localhost"]);
    let friend = authority.sign("ann", &["ann.example.org", "10.1.2.3"]);
    let foe = stranger.sign("eve", &["ann.example.org"]);
    let show = |pair: &Pair| trusting(&authority.cert, Some((&pair.cert, &pair.key)));
    let nothing = trusting(&authority.cert, None);
    let file = WebFile::new(with(tls(&server)));
    let served = file.serve(LIMITS).await;

    let name = "ann ann.example.org,10.1.2.3";
    let cases: [(ClientAuth, Option<&[&str]>, [Option<&str>; 3]); 8] = [
        (ClientAuth::None, None, [Some("-"), Some("-"), Some("-")]),
        (ClientAuth::Request, None, [Some("-"), Some("shown"), Some("shown")]),
        (ClientAuth::RequireAny, None, [None, Some("shown"), Some("shown")]),
        (ClientAuth::VerifyIfGiven, None, [Some("-"), Some("verified"), None]),
        (ClientAuth::RequireAndVerify, None, [None, Some("verified"), None]),
        (ClientAuth::RequireAndVerify, Some(&["10.1.2.3"]), [None, Some("verified"), None]),
        (ClientAuth::VerifyIfGiven, Some(&["ann"]), [None, None, None]),
        (ClientAuth::RequireAny, Some(&["ann.example.org"]), [None, Some("shown"), Some("shown")]),
    ];
    for (client_auth, allowed, want) in cases {
        file.change(Ok(with(ServerTls {
            client_auth,
            client_ca: (client_auth != ClientAuth::None).then(|| inline(&authority.cert)),
            allowed_sans: allowed.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            ..tls(&server)
        })));
        for ((client, of), want) in
            [(&nothing, ""), (&show(&friend), name), (&show(&foe), "eve ann.example.org")].iter().zip(want)
        {
            let got = who(&served, client).await;
            let want = want.map(|kind| match kind {
                "-" => "HTTP/2.0 - -".to_owned(),
                kind => format!("HTTP/2.0 - {kind} {of}"),
            });
            assert_eq!(got.as_deref().ok(), want.as_deref(), "{client_auth:?} {allowed:?} {of}: {got:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_trusted_itself_is_taken_though_it_is_an_authoritys() {
    let authority = Authority::new("ours");
    let server = authority.sign("localhost", &["localhost"]);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["self".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap().pem();
    let client_auth = ClientAuth::RequireAndVerify;
    let file = WebFile::new(with(ServerTls { client_auth, client_ca: Some(inline(&own)), ..tls(&server) }));
    let served = file.serve(LIMITS).await;
    let client = trusting(&authority.cert, Some((&own, &key.serialize_pem())));
    assert_eq!(who(&served, &client).await.unwrap(), "HTTP/2.0 - verified rcgen self signed cert self");
    // And nobody where there is no authority.
    file.change(Ok(with(ServerTls { client_auth, client_ca: Some(inline("nothing")), ..tls(&server) })));
    assert!(who(&served, &client).await.is_err());
}

#[tokio::test]
async fn replaced_files_count_at_the_next_handshake() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { dir.path().join(name) };
    let put = |pair: &Pair| {
        std::fs::write(at("cert"), &pair.cert).unwrap();
        std::fs::write(at("key"), &pair.key).unwrap();
    };
    put(&old.sign("localhost", &["localhost"]));
    let friend = old.sign("ann", &["ann"]);
    std::fs::write(at("ca"), &old.cert).unwrap();
    let file = WebFile::new(with(ServerTls {
        cert: Source::File(at("cert")),
        key: Source::File(at("key")),
        client_ca: Some(Source::File(at("ca"))),
        client_auth: ClientAuth::RequireAndVerify,
        ..tls(&friend)
    }));
    let served = file.serve(LIMITS).await;
    let client = |authority: &Authority| trusting(&authority.cert, Some((&friend.cert, &friend.key)));
    assert!(who(&served, &client(&old)).await.is_ok());
    put(&new.sign("localhost", &["localhost"]));
    assert!(who(&served, &client(&old)).await.unwrap_err().contains("unknown authority"));
    assert!(who(&served, &client(&new)).await.is_ok());
    std::fs::write(at("ca"), &new.cert).unwrap();
    assert!(who(&served, &client(&new)).await.is_err());
    std::fs::write(at("ca"), &old.cert).unwrap();
    assert!(who(&served, &client(&new)).await.is_ok());
    // A pair that does not belong together is no pair.
    std::fs::write(at("key"), &friend.key).unwrap();
    assert!(who(&served, &client(&new)).await.is_err());
    served.wait_for("counted", "binnacle_http_connections_given_up_total", "handshake", |n| n >= 3.0).await;
}

#[tokio::test]
async fn versions_suites_and_http2_are_as_the_file_says() {
    let authority = Authority::new("ours");
    let server = authority.sign("localhost", &["localhost"]);
    let only = |version| {
        let mut client = trusting(&authority.cert, None);
        (client.tls.min_version, client.tls.max_version) = (Some(version), Some(version));
        client
    };
    let (tls12, tls13) = (only(TlsVersion::Tls12), only(TlsVersion::Tls13));
    let cbc = "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA";
    let gcm = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    let cases: [(Version, Version, &[&str], &[&str], bool, bool); 7] = [
        (Version::Tls12, Version::Tls13, &[], &[], true, true),
        (Version::Tls10, Version::Tls12, &[], &[], true, false),
        (Version::Tls13, Version::Tls13, &[], &[], false, true),
        (Version::Tls12, Version::Tls13, &[cbc], &[], false, true),
        (Version::Tls12, Version::Tls13, &[cbc, gcm], &["CurveP521", "CurveP384"], true, true),
        // Keys of this certificate are not RSA's.
        (
            Version::Tls12,
            Version::Tls13,
            &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
            &["X25519"],
            false,
            true,
        ),
        (Version::Tls12, Version::Tls12, &[gcm], &["CurveP256"], true, false),
    ];
    let file = WebFile::new(with(tls(&server)));
    let served = file.serve(LIMITS).await;
    for (min_version, max_version, suites, curves, speaks12, speaks13) in cases {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        file.change(Ok(with(ServerTls {
            min_version,
            max_version,
            cipher_suites: owned(suites),
            curves: owned(curves),
            ..tls(&server)
        })));
        let got = (who(&served, &tls12).await.is_ok(), who(&served, &tls13).await.is_ok());
        assert_eq!(got, (speaks12, speaks13), "{min_version:?} {max_version:?} {suites:?} {curves:?}");
    }
    // What cannot be offered at all is refused at the start.
    let refused = |tls: ServerTls| {
        let file = WebFile::new(with(tls));
        let options = file.options.lock().unwrap().clone();
        let read = std::sync::Arc::new(move |_: &[u8], _: &std::path::Path| options.clone());
        let registry = exposition::registry::Registry::new();
        let made = httpserver::Server::new(LIMITS, Some((&file.path(), read)), &registry);
        made.err().map(|err| err.to_string()).unwrap_or_default()
    };
    assert!(refused(ServerTls { max_version: Version::Tls11, ..tls(&server) }).contains("no version"));
    let suites = vec![cbc.to_owned()];
    let tls12_only = ServerTls { max_version: Version::Tls12, cipher_suites: suites, ..tls(&server) };
    assert!(refused(tls12_only).contains("none of cipher_suites"));
    assert!(refused(ServerTls { curves: vec!["CurveP521".into()], ..tls(&server) }).contains("CurveP521"));

    let http1 = WebFile::new(WebOptions { http2: false, ..with(tls(&server)) });
    let served = http1.serve(LIMITS).await;
    assert_eq!(who(&served, &tls13).await.unwrap(), "HTTP/1.1 - -");
}

#[tokio::test]
async fn who_forgets_the_s_of_https_is_told() {
    let authority = Authority::new("ours");
    let served = WebFile::new(with(tls(&authority.sign("localhost", &["localhost"])))).serve(LIMITS).await;
    let mut stream = tokio::net::TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert_eq!(answer, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n");
}
