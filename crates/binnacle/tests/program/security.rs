//! What a hostile client may try, one test for each: it does no harm to those who are served beside it.
//!
//! Elsewhere: who comes in at all and what a tenant sees (`web`), connections that fill all places, stalled readers and
//! heads byte by byte (`crates/httpserver/tests`), hostile targets of scraping (`bad_input`).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::http;
use crate::site::{Program, Site};
use crate::stub::Stub;

/// MiB that a server without data never needs, whatever is sent to it.
const MEMORY_BOUND: u64 = 400;
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// It goes on answering, has not grown and has not panicked.
fn is_unharmed(program: &Program<'_>, after: &str) {
    let began = Instant::now();
    assert_eq!(program.get("/api/v1/query?query=1").status, 200, "{after}");
    assert!(began.elapsed() < Duration::from_secs(5), "{after}");
    assert!(program.peak_memory() < MEMORY_BOUND, "{after}: {} MiB", program.peak_memory());
    assert!(!program.log().contains("panicked"), "{after}: {}", program.log());
}

#[test]
fn no_path_leads_out_of_the_directories_that_are_served() {
    let site = Site::server("global: {}\n");
    for (dir, file) in [("assets", "own.txt"), ("consoles", "own.html"), ("elsewhere", "secret.txt")] {
        std::fs::create_dir(site.path(dir)).unwrap();
        std::fs::write(site.path(dir).join(file), "own").unwrap();
    }
    site.write("secret.txt", "hidden words");
    std::fs::write(site.path("elsewhere/secret.txt"), "hidden words").unwrap();
    std::os::unix::fs::symlink(site.path("secret.txt"), site.path("assets/link.txt")).unwrap();
    std::os::unix::fs::symlink(site.path("elsewhere"), site.path("assets/dir")).unwrap();
    let flag = format!("--web.user-assets={}", site.path("assets").display());
    let site = site.flag(&flag);
    let program = site.start();
    assert_eq!(program.get("/user/own.txt").text(), "own");
    let up = [
        "..",
        "%2e%2e",
        ".%2e",
        "%2E.",
        "..%2f",
        "..%5c",
        "..\\",
        "%252e%252e",
        "%c0%ae%c0%ae",
        "..;",
        "..%00",
    ];
    let mut asked = 0;
    for root in ["/user/", "/consoles/", "/assets/", "/static/", "/", "//", "/user//"] {
        for step in up {
            for depth in [1, 2, 6] {
                for file in
                    ["secret.txt", "elsewhere/secret.txt", "etc/passwd", "prometheus.yml", "Cargo.toml"]
                {
                    let target = format!("{root}{}{file}", format!("{step}/").repeat(depth));
                    let answer = program.request("GET", &target, &[], b"");
                    let text = answer.text();
                    let leaked =
                        ["hidden words", "root:", "global:", "[package]"].iter().any(|s| text.contains(s));
                    assert!(!leaked && answer.status != 200, "{target}: {} {text}", answer.status);
                    asked += 1;
                }
            }
        }
    }
    for target in ["/user/link.txt", "/user/dir/secret.txt", "/user/%2fetc/passwd", "/user//etc/passwd"] {
        assert!(!program.get(target).text().contains("hidden words"), "{target}");
    }
    assert!(asked > 1000);
}

#[test]
fn heads_and_bodies_without_end_are_refused_and_not_kept() {
    let site = Site::server("global: {}\n").flag("--web.enable-remote-write-receiver");
    let program = site.start();
    // A head without end, and one of many short lines.
    for piece in ["h".repeat(1 << 20), "X: y\r\n".repeat(170_000)] {
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let sent = (0..32).take_while(|_| stream.write_all(piece.as_bytes()).is_ok()).count();
        assert!(sent < 32, "a head of 32 MiB was read");
    }
    let long = format!("/api/v1/query?query={}", "a".repeat(200_000));
    let answer = http::request(site.port, "GET", &long, &[], b"");
    assert!(answer.is_err() || answer.is_ok_and(|a| matches!(a.status, 414 | 431)));
    // Bodies that say how long they are, and such that do not.
    let write = ("Content-Encoding", "snappy");
    let targets = [
        ("POST", "/api/v1/query", vec![FORM], 413),
        ("POST", "/api/v1/write", vec![write, ("Content-Type", "application/x-protobuf")], 413),
        ("POST", "/api/v1/read", vec![write], 413),
        ("GET", "/api/v1/query?query=1", vec![], 200),
        ("POST", "/-/reload", vec![], 403),
    ];
    for (method, target, headers, status) in &targets {
        for length in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
            let (answer, sent) = flood(site.port, method, target, headers, length);
            let expected = format!("HTTP/1.1 {status}");
            // The connection may be reset before the answer is read.
            assert!(answer.is_empty() || answer.starts_with(&expected), "{target}, {length}: {answer}");
            assert!(sent < 1 << 30, "{target}, {length}: a GiB was read");
            is_unharmed(&program, target);
        }
    }
}

/// Sends up to a GiB; tells how the answer begins and how much was taken.
fn flood(port: u16, method: &str, target: &str, headers: &[(&str, &str)], length: &str) -> (String, usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    write!(stream, "{method} {target} HTTP/1.1\r\nHost: h\r\n{headers}{length}\r\n\r\n").unwrap();
    let data = vec![b'a'; 1 << 20];
    let piece = match length.starts_with("Transfer") {
        true => [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat(),
        false => data,
    };
    let sent = (0..1024).take_while(|_| stream.write_all(&piece).is_ok()).count();
    let mut answer = [0; 12];
    let read = stream.read(&mut answer).unwrap_or(0);
    (String::from_utf8_lossy(&answer[..read]).into_owned(), sent << 20)
}

#[test]
fn forms_take_no_more_memory_than_they_are_long_and_all_together_no_more_than_there_is_for_them() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    let length = 10 << 20;
    // Of a pair of two bytes a hundred are made, were all of them kept.
    let pairs = "a&".repeat(length / 2);
    let answer = http::request(site.port, "POST", "/api/v1/query", &[FORM], pairs.as_bytes()).unwrap();
    assert_eq!(answer.status, 400);
    is_unharmed(&program, "a form of five million pairs");
    // Forms that lack their last byte.
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\nHost: h\r\n{}: {}\r\nContent-Length: {length}\r\n\r\n",
        FORM.0, FORM.1
    );
    let port = site.port;
    let held: Vec<_> = (0..60)
        .map(|_| {
            let (head, body) = (head.clone(), vec![b'x'; length - 1]);
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
                stream
            })
        })
        .collect();
    let held: Vec<TcpStream> = held.into_iter().map(|one| one.join().unwrap()).collect();
    is_unharmed(&program, "forms that lack their last byte");
    // They had their time: a form that comes now is taken.
    let answer = http::request(site.port, "POST", "/api/v1/query", &[FORM], b"query=1").unwrap();
    assert_eq!(answer.status, 200);
    drop(held);
}

#[test]
fn bodies_that_are_announced_and_do_not_come_keep_nobody_out() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    let held: Vec<TcpStream> = (0..20)
        .map(|i| {
            let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
            let length = if i % 2 == 0 { "Content-Length: 33554432" } else { "Transfer-Encoding: chunked" };
            write!(stream, "POST /api/v1/read HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n").unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let answer = http::request(site.port, "POST", "/api/v1/read", &[], b"\0").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(began.elapsed() < Duration::from_secs(5));
    is_unharmed(&program, "bodies that do not come");
    drop(held);
}

#[test]
fn clients_that_send_byte_by_byte_lose_their_places() {
    let site = Site::server("global: {}\n").flag("--web.read-timeout=1s").flag("--web.max-connections=20");
    let program = site.start();
    let head = b"GET /api/v1/query?query=1 HTTP/1.1\r\nHost: h\r\nX: ";
    let body =
        b"POST /api/v1/query HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\n\
        Content-Length: 100000\r\n\r\nquery=";
    let mut slow: Vec<TcpStream> = Vec::new();
    for i in 0..40 {
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).unwrap();
        let _ = stream.write_all(if i % 2 == 0 { head } else { body });
        slow.push(stream);
    }
    // Each goes on with a byte now and then, and would for ever.
    let began = Instant::now();
    let mut left = slow.len();
    while left > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{left} of {} are still served", slow.len());
        slow.retain_mut(|stream| {
            stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            let ended = matches!(stream.read(&mut [0; 1024]), Ok(0)) || stream.write_all(b"a").is_err();
            !ended
        });
        left = slow.len();
        let answer = http::request(site.port, "GET", "/-/healthy", &[], b"").unwrap();
        assert_eq!(answer.status, 200);
    }
    is_unharmed(&program, "slow clients");
}

#[test]
fn what_unpacks_to_more_than_it_seems_is_refused() {
    let site = Site::server("global: {}\n").flag("--web.enable-remote-write-receiver");
    let program = site.start();
    let zeros = vec![0; 256 << 20];
    let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    // It says that four GiB follow.
    let liar = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 64]].concat();
    // Sixteen million empty series, and labels in labels in labels.
    let empty = snap::raw::Encoder::new().compress_vec(&b"\x0a\x00".repeat(15 << 20)).unwrap();
    let mut nested = Vec::new();
    for _ in 0..5_000 {
        let mut outer = vec![0x0a];
        let mut length = nested.len();
        while length > 127 {
            outer.push((length & 127) as u8 | 128);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend_from_slice(&nested);
        nested = outer;
    }
    let nested = snap::raw::Encoder::new().compress_vec(&nested).unwrap();
    // A field that says to be longer than there are bytes.
    let overlong = snap::raw::Encoder::new().compress_vec(b"\x0a\xff\xff\xff\xff\x0f").unwrap();
    drop(zeros);
    for (what, body) in [
        ("zeros", &snappy),
        ("a liar", &liar),
        ("empty", &empty),
        ("nested", &nested),
        ("overlong", &overlong),
    ] {
        for target in ["/api/v1/write", "/api/v1/read"] {
            for kind in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
                let kind = format!("application/x-protobuf;proto={kind}");
                let headers = [("Content-Type", kind.as_str()), ("Content-Encoding", "snappy")];
                let Ok(answer) = http::request(site.port, "POST", target, &headers, body) else { continue };
                assert!(
                    (400..500).contains(&answer.status) || matches!(what, "empty" | "nested"),
                    "{what} to {target}: {} {}",
                    answer.status,
                    answer.text()
                );
                is_unharmed(&program, &format!("{what} to {target}"));
            }
        }
    }
    // Codings that are not the protocol's are not unpacked at all; nor are those of forms.
    for coding in ["gzip", "zstd", "deflate"] {
        let headers = [("Content-Type", "application/x-protobuf"), ("Content-Encoding", coding)];
        assert_eq!(
            program.request("POST", "/api/v1/write", &headers, &snappy[..1000]).status,
            415,
            "{coding}"
        );
        let packed = crate::stub::gzip(b"query=1");
        let answer = program.request("POST", "/api/v1/query", &[FORM, ("Content-Encoding", coding)], &packed);
        assert_eq!(answer.status, 400, "{coding}");
    }
}

#[test]
fn targets_whose_pages_unpack_to_too_much_fail_alone() {
    let stub = Stub::start();
    let page = crate::stub::gzip("# a line that says nothing\n".repeat(2 << 20).as_bytes());
    let headers = [("Content-Type", crate::stub::TEXT), ("Content-Encoding", "gzip")];
    stub.set("/bomb", crate::stub::Answer::with(&headers, page));
    let protobuf =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    // A message that says to be two GiB long; and messages in messages.
    stub.set("/long", crate::stub::Answer::with(&[("Content-Type", protobuf)], *b"\xff\xff\xff\xff\x07\x0a"));
    let deep = [&[0x90, 0x4e][..], &b"\x22\x8c\x4e".repeat(3_000), &[0; 1_000]].concat();
    stub.set("/deep", crate::stub::Answer::with(&[("Content-Type", protobuf)], deep));
    let jobs: String = ["bomb", "long", "deep"]
        .iter()
        .map(|job| {
            format!(
                "- job_name: {job}\n  metrics_path: /{job}\n  scrape_interval: 1s\n  body_size_limit: 10MB\n  \
                 static_configs: [{{targets: ['{}']}}]\n",
                stub.address
            )
        })
        .collect();
    let site = Site::server(&format!("scrape_configs:\n{jobs}"));
    let program = site.start();
    for job in ["bomb", "long", "deep"] {
        let (health, error) = program.scraped(job);
        assert!(health == "down" && !error.is_empty(), "{job}: {health} {error}");
    }
    is_unharmed(&program, "pages that unpack to too much");
}

#[test]
fn what_is_nested_deeply_is_refused_and_not_followed() {
    let site = Site::server(
        "scrape_configs: [{job_name: j, relabel_configs: [{action: labelmap, regex: '(.+)'}], \
         static_configs: [{targets: ['127.0.0.1:1']}]}]\n",
    );
    let program = site.start();
    let deep = 10_000;
    let expressions = [
        format!("{}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}1", "-".repeat(deep)),
        format!("1{}", "+1".repeat(deep)),
        format!("1{}", "^1".repeat(deep)),
        format!("{}1{}", "abs(".repeat(deep), ")".repeat(deep)),
        format!("{}up{}", "sum(".repeat(deep), ")".repeat(deep)),
        format!("up{}", "[1m:1s]".repeat(deep)),
        format!("{}up{}", "max_over_time(".repeat(deep), "[1m:1s])".repeat(deep)),
        format!("up{}", " offset 1s".repeat(deep)),
        format!("up{{a=~\"{}a{}\"}}", "(".repeat(deep), ")".repeat(deep)),
        "up{a=~\"((((((a{1000}){1000}){1000}){1000}){1000}){1000})\"}".to_owned(),
        format!("up{{a=~\"{}\"}}", "(a|b)*".repeat(deep)),
        format!("up{{{}}}", "a=\"b\",".repeat(deep)),
        format!("{}\"", "\"".repeat(deep)),
        "(".repeat(100_000),
    ];
    for expression in &expressions {
        let shown = &expression[..12];
        for path in
            ["query", "query_range", "query_explain", "format_query", "parse_query", "query_exemplars"]
        {
            let form = http::form(&[
                ("query", expression),
                ("start", "0"),
                ("end", "1"),
                ("step", "1"),
                ("time", "0"),
            ]);
            let answer = program.request("POST", &format!("/api/v1/{path}"), &[FORM], form.as_bytes());
            assert!(answer.status < 500, "{shown} to {path}: {} {}", answer.status, answer.text());
        }
        let form = http::form(&[("match[]", expression)]);
        let answer = program.request("POST", "/api/v1/series", &[FORM], form.as_bytes());
        assert!(answer.status < 500, "{shown} to series: {}", answer.status);
        is_unharmed(&program, shown);
    }
    for json in [
        "[".repeat(30_000),
        "{\"a\":".repeat(8_000),
        format!("{{\"a\":{}1{}}}", "[".repeat(15_000), "]".repeat(15_000)),
    ] {
        let form = http::form(&[("scrapePool", "j"), ("labels", &json)]);
        let answer = program.get(&format!("/api/v1/targets/relabel_steps?{form}"));
        assert!((400..500).contains(&answer.status), "{}", answer.status);
        is_unharmed(&program, "deep JSON");
    }
}

#[test]
fn what_changes_the_server_is_off_unless_it_was_asked_for() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    let json = |target: &str| {
        let answer = program.request("POST", target, &[], b"");
        (answer.status, answer.text())
    };
    for name in ["delete_series?match[]=up", "clean_tombstones", "snapshot"] {
        let (status, text) = json(&format!("/api/v1/admin/tsdb/{name}"));
        assert!(status == 500 && text.contains("admin APIs disabled"), "{name}: {status} {text}");
    }
    assert_eq!(json("/-/reload").0, 403);
    assert_eq!(json("/-/quit").0, 403);
    assert_eq!(json("/api/v1/write").0, 404);
    assert!(!site.path("data/snapshots").exists());
    assert_eq!(program.get("/-/healthy").status, 200);
}

/// Secrets that the configuration below holds.
const SECRETS: [&str; 13] = [
    "swordfish-01",
    "swordfish-02",
    "swordfish-03",
    "swordfish-04",
    "swordfish-05",
    "swordfish-06",
    "swordfish-07",
    "swordfish-08",
    "swordfish-09",
    "swordfish-10",
    "swordfish-11",
    "swordfish-12",
    "swordfish-13",
];

#[test]
fn secrets_are_shown_by_no_endpoint_and_in_no_log() {
    let stub = Stub::start();
    let at = &stub.address;
    let config = format!(
        "global: {{scrape_interval: 300ms}}\n\
         scrape_configs:\n\
         - job_name: basic\n  basic_auth: {{username: ann, password: swordfish-01}}\n  static_configs: [{{targets: ['{at}']}}]\n\
         - job_name: bearer\n  authorization: {{credentials: swordfish-02}}\n  static_configs: [{{targets: ['{at}']}}]\n\
         - job_name: oauth\n  oauth2: {{client_id: c, client_secret: swordfish-03, token_url: 'http://u:swordfish-04@{at}/token'}}\n  \
         static_configs: [{{targets: ['{at}']}}]\n\
         - job_name: headers\n  http_headers: {{X-Key: {{secrets: [swordfish-05]}}}}\n  static_configs: [{{targets: ['{at}']}}]\n\
         - job_name: proxy\n  proxy_url: http://p:swordfish-06@127.0.0.1:9\n  static_configs: [{{targets: ['{at}']}}]\n\
         - job_name: found\n  http_sd_configs: [{{url: 'http://u:swordfish-07@{at}/sd', refresh_interval: 1s}}]\n\
         - job_name: consul\n  consul_sd_configs: [{{server: '{at}', token: swordfish-08}}]\n\
         remote_write:\n\
         - url: http://u:swordfish-09@127.0.0.1:9/write\n\
         - {{url: 'http://127.0.0.1:9/w', basic_auth: {{username: b, password: swordfish-10}}}}\n\
         - {{url: 'http://127.0.0.1:9/s', sigv4: {{region: r, access_key: a, secret_key: swordfish-11}}}}\n\
         remote_read:\n\
         - {{url: 'http://u:swordfish-12@127.0.0.1:9/read', read_recent: true}}\n\
         - {{url: 'http://127.0.0.1:9/r', bearer_token: swordfish-13}}\n"
    );
    let site = Site::server(&config).flag("--log.level=debug").flag("--web.enable-lifecycle");
    let program = site.start();
    for job in ["basic", "bearer", "oauth", "headers", "proxy"] {
        program.scraped(job);
    }
    assert_eq!(program.request("POST", "/-/reload", &[], b"").status, 200);
    let mut shown = Vec::new();
    for target in [
        "/metrics",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/status/runtimeinfo",
        "/api/v1/status/self_metrics",
        "/api/v1/status/tsdb",
        "/api/v1/targets",
        "/api/v1/targets/metadata",
        "/api/v1/scrape_pools",
        "/api/v1/scrape_pools/config?scrapePool=basic",
        "/api/v1/scrape_pools/config?scrapePool=oauth",
        "/api/v1/scrape_pools/config?scrapePool=headers",
        "/api/v1/scrape_pools/config?scrapePool=proxy",
        "/api/v1/scrape_pools/config?scrapePool=found",
        "/api/v1/scrape_pools/config?scrapePool=consul",
        "/api/v1/notifications",
        "/api/v1/metadata",
        "/api/v1/query?query=up",
        "/api/v1/series?match[]={__name__!=%22%22}",
        "/api/v1/features",
        "/federate?match[]=up",
        "/config",
    ] {
        shown.push((target, program.get(target).text()));
    }
    // What went wrong with a new configuration is told, and not with what.
    site.write("prometheus.yml", &config.replace("username: ann", "user: ann"));
    shown.push(("a reload that failed", program.request("POST", "/-/reload", &[], b"").text()));
    let (_, log) = program.interrupt();
    shown.push(("the log", log));
    for (place, text) in &shown {
        let leaked: Vec<_> = SECRETS.iter().filter(|secret| text.contains(*secret)).collect();
        assert!(leaked.is_empty(), "{place} shows {leaked:?}: {text}");
    }
    let config = &shown.iter().find(|(place, _)| *place == "/api/v1/status/config").unwrap().1;
    // As Prometheus writes it: what stands for a secret holds characters of HTML.
    assert!(config.matches(r"\u003csecret\u003e").count() >= 7, "{config}");
    let went = stub.seen("/metrics");
    let sent = |value: &str| went.iter().any(|seen| seen.headers.values().any(|v| v.contains(value)));
    assert!(sent("swordfish-02") && sent("swordfish-05"), "what is hidden was not even used");
}
