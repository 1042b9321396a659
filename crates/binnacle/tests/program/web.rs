//! `--web.config.file`: who comes in, and by which door.

use std::path::PathBuf;

use serde_json::Value;

use crate::http;
use crate::site::{Program, Site, is_peer};

/// As recorded: the password of `admin` is `test`.
const USERS: &str = "basic_auth_users: {admin: '$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay'}\n\
    http_server_config: {headers: {X-Frame-Options: deny, X-Content-Type-Options: nosniff}}\n";
const ADMIN: (&str, &str) = ("Authorization", "Basic YWRtaW46dGVzdA==");

fn site_with_web(config: &str, web: &str) -> Site {
    let site = Site::server(config);
    site.write("web.yml", web);
    let flag = format!("--web.config.file={}", site.path("web.yml").display());
    site.flag(&flag)
}

/// The server is up when it asks who is there.
fn wait_for_door(program: &Program<'_>) {
    let ready = |p: &Program<'_>| {
        let answer = http::request(p.site.port, "GET", "/-/ready", &[ADMIN], b"").ok()?;
        (answer.status == 200).then_some(())
    };
    program.wait_for("readiness", ready);
}

#[test]
fn users_are_let_in_as_recorded() {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = PathBuf::from(std::env::var("BINNACLE_SHARED").unwrap_or(fallback.to_owned()));
    let recorded = std::fs::read_to_string(shared.join("golden/remote/basic-auth.jsonl"));
    let Ok(recorded) = recorded else {
        println!("skipped: no recordings at {}", shared.display());
        return;
    };
    let site = site_with_web("global: {}\n", USERS);
    let program = site.launch();
    wait_for_door(&program);
    let mut rows = 0;
    for row in recorded.lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let path = row["path"].as_str().unwrap();
        let sent = row["headers"].as_object().unwrap();
        let sent: Vec<(&str, &str)> = sent.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap())).collect();
        let answer = program.request("GET", path, &sent, b"");
        assert_eq!(u64::from(answer.status), row["status"].as_u64().unwrap(), "{path} {sent:?}");
        for (name, value) in row["resp_headers"].as_object().unwrap() {
            assert_eq!(answer.header(name), value.as_str(), "{path} {sent:?}: {name}");
        }
        if path != "/metrics" || answer.status != 200 {
            assert_eq!(answer.text(), row["text"].as_str().unwrap(), "{path} {sent:?}");
        }
        rows += 1;
    }
    assert!(rows > 10);
}

#[test]
fn a_server_behind_tls_and_passwords_scrapes_itself() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let config = "scrape_configs:\n- job_name: self\n  scrape_interval: 200ms\n  scheme: https\n  \
        tls_config: {ca_file: cert.pem}\n  basic_auth: {username: admin, password: test}\n  \
        static_configs: [{targets: ['127.0.0.1:@PORT@']}]\n\
        - job_name: stranger\n  scrape_interval: 200ms\n  scheme: https\n  tls_config: {ca_file: cert.pem}\n  \
        static_configs: [{targets: ['127.0.0.1:@PORT@']}]\n";
    let site = site_with_web(
        config,
        &format!("tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\n{USERS}"),
    );
    site.write("cert.pem", &params.self_signed(&key).unwrap().pem());
    site.write("key.pem", &key.serialize_pem());
    let program = site.launch();
    let secure = Secure::of(&site);
    for (job, value) in [("self", "1"), ("stranger", "0")] {
        let target = format!("/api/v1/query?{}", http::form(&[("query", &format!("up{{job=\"{job}\"}}"))]));
        program.wait_for("scrapes", |_| {
            let (status, text) = secure.get(&target).ok()?;
            (status == 200 && text.contains(&format!(",\"{value}\"]"))).then_some(())
        });
    }
    let plain = http::request(site.port, "GET", "/-/healthy", &[ADMIN], b"").unwrap();
    assert_eq!((plain.status, &*plain.text()), (400, "Client sent an HTTP request to an HTTPS server.\n"));
    // The password changes while the server runs, and so does the certificate.
    let new = rcgen::KeyPair::generate().unwrap();
    site.write("cert.pem", &params.self_signed(&new).unwrap().pem());
    site.write("key.pem", &new.serialize_pem());
    assert!(secure.get("/-/healthy").is_err());
    let secure = Secure::of(&site);
    assert_eq!(secure.get("/-/healthy").unwrap().0, 200);
    let tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";
    site.write("web.yml", &format!("{tls}{}", USERS.replace("admin", "root")));
    assert_eq!(secure.get("/-/healthy").unwrap().0, 401);
    if !is_peer() {
        assert!(program.log().contains("https://"), "{}", program.log());
    }
}

/// A client over TLS, who is `admin`.
struct Secure {
    runtime: tokio::runtime::Runtime,
    client: httpclient::Client,
    port: u16,
}

impl Secure {
    /// Trusts the certificate that the site has now.
    fn of(site: &Site) -> Secure {
        let text = |text: String| Some(httpclient::Source::Inline(text.into()));
        let ca = text(std::fs::read_to_string(site.path("cert.pem")).unwrap());
        let client = httpclient::Client::new(&httpclient::ClientOptions {
            tls: httpclient::TlsOptions { ca, ..Default::default() },
            basic_auth: Some(httpclient::BasicAuth {
                username: text("admin".to_owned()),
                password: text("test".to_owned()),
            }),
            ..Default::default()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Secure { runtime, client: client.unwrap(), port: site.port }
    }

    fn get(&self, target: &str) -> Result<(u16, String), String> {
        let url = httpclient::Url::parse(&format!("https://localhost:{}{target}", self.port)).unwrap();
        let (headers, limits) = (httpclient::HeaderMap::new(), httpclient::Limits::default());
        let get = self.client.get(&url, &headers, limits, std::time::Duration::from_secs(30));
        let (head, body) = self.runtime.block_on(get).map_err(|err| err.to_string())?;
        Ok((head.status.as_u16(), String::from_utf8(body).unwrap()))
    }
}

#[test]
fn a_file_that_is_not_good_is_refused_at_the_start() {
    for (web, why) in [
        ("basic_auth_users: {ann: secret}\n", "hashedSecret too short"),
        ("tls_server_config: {cert_file: none.pem, key_file: none.pem}\n", "none.pem"),
        ("http_server_config: {headers: {Server: x}}\n", "can not be configured"),
        ("what: {}\n", "field what not found"),
    ] {
        let (status, log) = site_with_web("global: {}\n", web).run_to_end();
        assert!(!status.success() && log.contains(why), "{web}: {log}");
        assert!(!log.contains("secret"), "{log}");
    }
}
