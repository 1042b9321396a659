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
pub(crate) struct Secure {
    runtime: tokio::runtime::Runtime,
    client: httpclient::Client,
    port: u16,
}

impl Secure {
    /// Trusts the certificate that the site has now.
    pub(crate) fn of(site: &Site) -> Secure {
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

    pub(crate) fn get(&self, target: &str) -> Result<(u16, String), String> {
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

/// `root` may see everything, `ann` what is of team a, whoever a proxy on this machine vouches for his team's; each
/// with the password `test`.
const TENANTS: &str = "\
basic_auth_users:
  root: '$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay'
  ann: '$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay'
  proxy: '$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay'
  eve: '$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay'
tenancy:
  trusted_proxies: [127.0.0.0/8]
  rules:
  - {user: root, everything: true}
  - {user: ann, selector: '{team=\"a\"}'}
  - {user: proxy, header: X-Team, label: team}
";
const ROOT: (&str, &str) = ("Authorization", "Basic cm9vdDp0ZXN0");
const ANN: (&str, &str) = ("Authorization", "Basic YW5uOnRlc3Q=");
const PROXY: (&str, &str) = ("Authorization", "Basic cHJveHk6dGVzdA==");
const EVE: (&str, &str) = ("Authorization", "Basic ZXZlOnRlc3Q=");

/// A server with series of two teams and of none, which it scrapes from itself.
fn site_of_teams() -> Site {
    let mut config = "scrape_configs:\n".to_owned();
    for team in ["team: a, secret_of: a", "team: b, secret_of: bees", "secret_of: nobody"] {
        let job = team.rsplit(' ').next().unwrap();
        config += &format!(
            "- job_name: job-{job}\n  scrape_interval: 200ms\n  basic_auth: {{username: root, password: test}}\n  \
             metric_relabel_configs: [{{source_labels: [__name__], regex: 'process_.*', action: keep}}]\n  \
             static_configs: [{{targets: ['127.0.0.1:@PORT@'], labels: {{{team}}}}}]\n"
        );
    }
    site_with_web(&config, TENANTS)
}

#[test]
fn a_tenant_sees_his_rules_and_his_alerts() {
    let site = site_with_web("global: {evaluation_interval: 200ms}\nrule_files: [rules.yml]\n", TENANTS);
    site.write(
        "rules.yml",
        r#"
groups:
- name: of-bees
  rules: [{record: bees, expr: vector(1), labels: {team: b}}]
- name: shared
  rules:
  - {alert: OfA, expr: vector(1), labels: {team: a}}
  - {alert: OfBees, expr: vector(1), labels: {team: b}, annotations: {x: bees}}
  - {alert: OfAll, expr: 'label_replace(vector(1), "team", "a", "", "") or label_replace(vector(1), "team", "bees", "", "")'}
  - {alert: Fails, expr: 'label_replace(vector(1), "who", "bees", "", "") + on () group_left (x) label_replace(vector(1), "team", "bees", "", "") + on () (up or vector(1) or label_replace(vector(1), "team", "bees", "", ""))', labels: {team: a}}
"#,
    );
    let program = site.launch();
    let ask = |who, target: &str| program.request("GET", target, &[who], b"");
    program.wait_for("alerts", |p| {
        let answer = http::request(p.site.port, "GET", "/api/v1/rules", &[ROOT], b"").ok()?;
        let text = answer.text();
        (text.matches("firing").count() >= 7 && text.contains("lastError")).then_some(())
    });
    let names = |target: &str| -> Vec<String> {
        let json = ask(ANN, target).json();
        let groups = json["data"]["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/api/v1/rules"), ["OfA", "Fails"]);
    assert_eq!(names("/api/v1/rules?type=record"), Vec::<String>::new());
    // Their past is not his to fill in.
    let backfill = "/api/v1/rules/backfill";
    let fill_in = format!("{backfill}?start=0&rule_name[]=bees");
    for (method, target) in [("POST", &*fill_in), ("GET", backfill), ("DELETE", "/api/v1/rules/backfill/1")] {
        for who in [ANN, EVE] {
            assert_eq!(program.request(method, target, &[who], b"").status, 403, "{method} {target}");
        }
        assert_eq!(program.request(method, target, &[ROOT], b"").status, 500, "{method} {target}");
    }
    for target in ["/api/v1/rules", "/api/v1/rules?group_limit=1", "/api/v1/alerts"] {
        let answer = ask(ANN, target);
        assert_eq!(answer.status, 200, "{target}");
        let foreign = ["\"bees\"", "of-bees", "OfBees", "many-to-many"];
        assert!(foreign.iter().all(|secret| !answer.text().contains(secret)), "{target}: {}", answer.text());
        assert!(ask(ROOT, target).text().contains("bees"), "{target}");
        assert_eq!(ask(EVE, target).status, 403, "{target}");
    }
    let alerts = ask(ANN, "/api/v1/alerts").json();
    let of_ann: Vec<&str> = alerts["data"]["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|alert| alert["labels"]["alertname"].as_str().unwrap())
        .collect();
    assert_eq!(of_ann, ["OfA", "OfAll"]);
}

#[test]
fn a_tenant_sees_what_is_his_and_nothing_leads_further() {
    let site = site_of_teams();
    let program = site.launch();
    let query = |who, query: &str| {
        let target = format!("/api/v1/query?{}", http::form(&[("query", query)]));
        program.request("GET", &target, &[who], b"")
    };
    program.wait_for("scrapes", |p| {
        let target = format!("/api/v1/query?{}", http::form(&[("query", "count(up == 1)")]));
        let answer = http::request(p.site.port, "GET", &target, &[ROOT], b"").ok()?;
        answer.text().contains(",\"3\"]").then_some(())
    });
    let foreign = |text: &str| ["bees", "nobody", "job-b"].iter().any(|secret| text.contains(secret));
    assert!(foreign(&query(ROOT, "up").text()));

    let expressions = [
        "up",
        r#"{__name__=~".+"}"#,
        r#"up{team="b"}"#,
        r#"up{team!="a"} or up{team=~"b|"} or vector(1)"#,
        r#"label_replace(up{team="b"}, "team", "a", "", "")"#,
        r#"count by (team, secret_of) ({__name__=~".+"})"#,
        r#"max_over_time(sum by (team, secret_of) (up)[1m:1s] @ end())"#,
        r#"up * on () group_left (secret_of) up{team="b"}"#,
        r#"count_values("x", count by (secret_of) (up{team="b"}))"#,
    ];
    let paths = ["query", "query_explain", "query_range", "query_exemplars"];
    let times = [("time", ""), ("time", ""), ("start", "0"), ("start", "0")];
    for expression in expressions {
        for (path, (name, value)) in paths.iter().zip(times) {
            let form = http::form(&[("query", expression), (name, value), ("end", "1"), ("step", "1")]);
            for (method, target, body) in [
                ("GET", format!("/api/v1/{path}?{form}"), String::new()),
                ("POST", format!("/api/v1/{path}"), form.clone()),
            ] {
                let kind = ("Content-Type", "application/x-www-form-urlencoded");
                let answer = program.request(method, &target, &[ANN, kind], body.as_bytes());
                let text = answer.text();
                assert!([200, 204].contains(&answer.status) && !foreign(&text), "{target}: {text}");
            }
        }
    }
    assert_eq!(query(ANN, "count(up)").json()["data"]["result"][0]["value"][1], "1");
    // As if there was nothing else, not even its absence.
    assert!(query(ANN, r#"absent(up{team="b"})"#).text().contains(r#""metric":{"team":"b"}"#));
    let own = [
        "/api/v1/series?match[]={__name__=~\".%2B\"}".to_owned(),
        "/api/v1/series?match[]=up{team=\"b\"}&match[]=up".to_owned(),
        "/api/v1/labels".to_owned(),
        "/api/v1/label/secret_of/values".to_owned(),
        "/api/v1/label/job/values?match[]=up".to_owned(),
        "/api/v1/metadata".to_owned(),
        "/federate?match[]={__name__=~\".%2B\"}".to_owned(),
    ];
    for target in &own {
        let (all, some) =
            (program.request("GET", target, &[ROOT], b""), program.request("GET", target, &[ANN], b""));
        assert_eq!((all.status, some.status), (200, 200), "{target}: {}", some.text());
        assert!(!foreign(&some.text()), "{target}: {}", some.text());
        assert!(some.body.len() > 30, "{target}: {}", some.text());
    }

    // prometheus.ReadRequest: one query over all of time for what has a name.
    let read = {
        let mut query = vec![0x10];
        let mut end = i64::MAX as u64;
        while end >= 0x80 {
            query.push(end as u8 | 0x80);
            end >>= 7;
        }
        query.push(end as u8);
        query.extend(b"\x1a\x10\x08\x02\x12\x08__name__\x1a\x02.+");
        let mut request = vec![0x0a, query.len() as u8];
        request.extend(query);
        snap::raw::Encoder::new().compress_vec(&request).unwrap()
    };
    let read = |who| {
        let answer = program.request("POST", "/api/v1/read", &[who], &read);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let plain = snap::raw::Decoder::new().decompress_vec(&answer.body).unwrap();
        String::from_utf8_lossy(&plain).into_owned()
    };
    assert!(foreign(&read(ROOT)));
    assert!(read(ANN).contains("job-a") && !foreign(&read(ANN)));

    // A proxy says who it asks for; and nobody may say so whom the rules do not name.
    let team = |name| ("X-Team", name);
    for (headers, want) in [
        (vec![PROXY, team("b")], Some("job-bees")),
        (vec![PROXY, team("a")], Some("job-a")),
        (vec![ANN, team("b")], Some("job-a")),
        (vec![PROXY], None),
        (vec![PROXY, team("")], None),
        (vec![PROXY, team("b"), team("a")], None),
        (vec![EVE], None),
        (vec![EVE, team("b")], None),
    ] {
        let answer = program.request("GET", "/api/v1/label/job/values", &headers, b"");
        match want {
            Some(job) => assert_eq!(answer.json()["data"], serde_json::json!([job]), "{headers:?}"),
            None => {
                assert_eq!((answer.status, answer.json()["errorType"].as_str()), (403, Some("forbidden")));
            }
        }
        assert_eq!(program.request("GET", "/-/healthy", &headers, b"").status, 200);
    }
}

#[test]
fn what_tells_of_more_than_a_tenants_series_is_not_told_to_him() {
    let site = site_of_teams().flag("--web.enable-admin-api").flag("--web.enable-lifecycle");
    let program = site.launch();
    let healthy = |p: &Program<'_>| http::request(p.site.port, "GET", "/-/ready", &[ROOT], b"").ok();
    program.wait_for("readiness", |p| healthy(p).filter(|answer| answer.status == 200));
    for (method, target) in [
        ("GET", "/metrics"),
        ("GET", "/metrics/node"),
        ("GET", "/api/v1/targets"),
        ("GET", "/api/v1/targets/metadata"),
        ("GET", "/api/v1/targets/relabel_steps?scrapePool=job-a&labels={}"),
        ("GET", "/api/v1/scrape_pools"),
        ("GET", "/api/v1/scrape_pools/config?scrapePool=job-a"),
        ("GET", "/api/v1/status/config"),
        ("GET", "/api/v1/status/flags"),
        ("GET", "/api/v1/status/runtimeinfo"),
        ("GET", "/api/v1/status/tsdb"),
        ("GET", "/api/v1/status/tsdb/blocks"),
        ("GET", "/api/v1/status/self_metrics"),
        ("GET", "/api/v1/alertmanagers"),
        ("POST", "/api/v1/admin/tsdb/delete_series?match[]=up"),
        ("POST", "/api/v1/admin/tsdb/snapshot"),
        ("POST", "/-/reload"),
        ("POST", "/-/quit"),
    ] {
        let answer = program.request(method, target, &[ANN], b"");
        assert_eq!(answer.status, 403, "{target}: {}", answer.text());
        if method == "GET" {
            assert_eq!(program.request(method, target, &[ROOT], b"").status, 200, "{target}");
        }
    }
    // What the process does may be for others, and with their data.
    for target in ["", "profile?seconds=1", "heap", "goroutine?debug=1", "cmdline", "symbol", "nosuch"] {
        let target = format!("/debug/pprof/{target}");
        for (who, method) in [(ANN, "GET"), (EVE, "GET"), (ANN, "POST")] {
            let answer = program.request(method, &target, &[who], b"");
            assert_eq!(answer.status, 403, "{method} {target}: {}", answer.text());
        }
    }
    assert_eq!(program.request("GET", "/debug/pprof/cmdline", &[ROOT], b"").status, 200);
    for target in
        ["/-/ready", "/version", "/api/v1/status/buildinfo", "/api/v1/format_query?query=up", "/query"]
    {
        assert_eq!(program.request("GET", target, &[ANN], b"").status, 200, "{target}");
        assert_eq!(program.request("GET", target, &[EVE], b"").status, 200, "{target}");
    }
}

#[test]
fn rules_that_cannot_be_meant_are_refused() {
    let users = TENANTS.split("tenancy:").next().unwrap();
    for (tenancy, why) in [
        ("{rules: []}", "there is none"),
        ("{rules: [{user: bob, everything: true}]}", "rule 1: user \"bob\" is not in basic_auth_users"),
        ("{rules: [{everything: true}]}", "for whom"),
        ("{rules: [{user: ann}]}", "exactly one of"),
        ("{rules: [{user: ann, everything: true, selector: '{a=\"b\"}'}]}", "exactly one of"),
        ("{rules: [{user: ann, selector: '{a!=\"b\"}'}]}", "none of its labels"),
        ("{rules: [{user: ann, selector: '{a='}]}", "rule 1: selector"),
        ("{rules: [{user: ann, label: a}]}", "takes its value from a header"),
        ("{rules: [{header: X-A, label: a}]}", "trusted_proxies"),
        ("{trusted_proxies: [me], rules: []}", "no network"),
        ("{rules: [{certificate: c, everything: true}]}", "client_auth_type"),
        ("{rule: []}", "field rule not found in type web.Tenancy"),
    ] {
        let site = site_with_web("global: {}\n", &format!("{users}tenancy: {tenancy}\n"));
        let (status, log) = site.run_to_end();
        // In the log quotes are escaped.
        assert!(!status.success() && log.replace('\\', "").contains(why), "{tenancy}: {log}");
    }
}
