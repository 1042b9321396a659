//! Providers and manager: what is discovered, and what stays when a source breaks.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support;
use discovery::{
    ADDRESS, FileOptions, HttpOptions, LabelParts, Manager, Metrics, ProviderOptions, TargetGroup, TargetSets,
};
use exposition::Registry;
use httpclient::ClientOptions;
use model::Labels;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(300);

struct World {
    manager: Manager,
    registry: Registry,
    sets: watch::Receiver<TargetSets>,
}

impl World {
    fn new() -> Self {
        let registry = Registry::new();
        let manager = Manager::new("scrape", &Metrics::register(&registry), Duration::from_millis(200));
        let sets = manager.subscribe();
        World { manager, registry, sets }
    }

    /// Addresses of a job, and the labels of their groups.
    fn found(&self, job: &str) -> Vec<String> {
        let sets = self.sets.borrow();
        let groups = sets.get(job).cloned().unwrap_or_default();
        let mut found: Vec<String> = groups
            .iter()
            .flat_map(|g| {
                g.targets.iter().map(|t| format!("{} {}", t.to_labels().value(ADDRESS), g.labels.to_labels()))
            })
            .collect();
        found.sort();
        found
    }

    async fn finds(&mut self, job: &str, expected: &[&str]) {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while self.found(job) != expected {
                self.sets.changed().await.unwrap();
            }
        });
        assert!(waited.await.is_ok(), "found {:?}, not {expected:?}", self.found(job));
    }

    fn metric(&self, name: &str) -> f64 {
        support::metric(&self.registry, name, &[])
    }
}

fn fixed(address: &str) -> ProviderOptions {
    ProviderOptions::Static(vec![TargetGroup {
        source: String::new(),
        targets: [Labels::from_pairs([(ADDRESS, address)]).into()].into(),
        labels: LabelParts::default(),
    }])
}

fn files(pattern: &Path) -> ProviderOptions {
    ProviderOptions::File(FileOptions { files: vec![pattern.to_owned()], refresh_interval: LONG })
}

#[tokio::test]
async fn static_groups_are_there_at_once() {
    let world = World::new();
    world
        .manager
        .apply([("a".to_owned(), vec![fixed("x:1"), fixed("y:2")]), ("b".to_owned(), vec![fixed("x:1")])]);
    assert_eq!(world.found("a"), ["x:1 {}", "y:2 {}"]);
    assert_eq!(world.found("b"), ["x:1 {}"]);
    assert_eq!(world.metric("prometheus_sd_discovered_targets"), 2.0);
    world.manager.apply([("b".to_owned(), vec![fixed("z:3")])]);
    assert_eq!((world.found("a"), world.found("b")), (vec![], vec!["z:3 {}".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_watched_and_what_was_good_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (json, yaml) = (dir.path().join("a.json"), dir.path().join("b.yml"));
    std::fs::write(&json, r#"[{"targets":["x:1"],"labels":{"env":"e"}},{"targets":["x:2"]}]"#).unwrap();
    std::fs::write(dir.path().join("c.txt"), "[]").unwrap();
    let mut world = World::new();
    let both = ProviderOptions::File(FileOptions {
        files: vec![dir.path().join("*.json"), dir.path().join("*.yml")],
        refresh_interval: LONG,
    });
    world.manager.apply([("j".to_owned(), vec![both])]);
    let label = |path: &Path| format!("__meta_filepath={:?}", path.display().to_string());
    let (of_json, of_yaml) = (label(&json), label(&yaml));
    let first = format!("x:1 {{{of_json}, env=\"e\"}}");
    let second = format!("x:2 {{{of_json}}}");
    world.finds("j", &[&first, &second]).await;

    std::fs::write(&yaml, "- targets: ['y:1']\n").unwrap();
    let third = format!("y:1 {{{of_yaml}}}");
    world.finds("j", &[&first, &second, &third]).await;

    std::fs::write(&json, "[{\"targets\":").unwrap();
    let fresh = dir.path().join(".next");
    std::fs::write(&fresh, "- targets: ['y:2']\n").unwrap();
    std::fs::rename(&fresh, &yaml).unwrap();
    let replaced = format!("y:2 {{{of_yaml}}}");
    world.finds("j", &[&first, &second, &replaced]).await;
    assert!(world.metric("prometheus_sd_file_read_errors_total") >= 1.0);

    std::fs::write(&json, r#"[{"targets":["x:3"]}]"#).unwrap();
    let fewer = format!("x:3 {{{of_json}}}");
    world.finds("j", &[&fewer, &replaced]).await;
    std::fs::remove_file(&yaml).unwrap();
    world.finds("j", &[&fewer]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_link_as_in_kubernetes_volumes_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (version, target) in [("v1", "a:1"), ("v2", "b:2")] {
        std::fs::create_dir(path(version)).unwrap();
        std::fs::write(path(version).join("t.json"), format!("[{{\"targets\":[\"{target}\"]}}]")).unwrap();
    }
    std::os::unix::fs::symlink("v1", path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/t.json", path("t.json")).unwrap();
    let mut world = World::new();
    world.manager.apply([("j".to_owned(), vec![files(&path("t.json"))])]);
    let label = format!("{{__meta_filepath={:?}}}", path("t.json").display().to_string());
    world.finds("j", &[&format!("a:1 {label}")]).await;
    std::os::unix::fs::symlink("v2", path("..tmp")).unwrap();
    std::fs::rename(path("..tmp"), path("..data")).unwrap();
    world.finds("j", &[&format!("b:2 {label}")]).await;
}

/// Answers every request with what is set; remembers the last head.
async fn server() -> (String, Arc<Mutex<(String, String)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sd", listener.local_addr().unwrap());
    let state: Arc<Mutex<(String, String)>> = Arc::default();
    let shared = state.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let answer = {
                let mut state = shared.lock();
                state.1 = String::from_utf8_lossy(&head).into_owned();
                state.0.clone()
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, state)
}

fn answer(status: &str, content_type: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_url_is_asked_again_and_what_was_good_stays() {
    let (url, server) = server().await;
    let json = "application/json; charset=utf-8";
    server.lock().0 =
        answer("200 OK", json, r#"[{"targets":["a:1"],"labels":{"x":"y"}},{"targets":["b:2"]}]"#);
    let mut world = World::new();
    let options = HttpOptions {
        url: url.clone(),
        refresh_interval: Duration::from_millis(100),
        client: ClientOptions::default(),
    };
    world.manager.apply([("j".to_owned(), vec![ProviderOptions::Http(Box::new(options))])]);
    let (a, b) = (format!("a:1 {{__meta_url=\"{url}\", x=\"y\"}}"), format!("b:2 {{__meta_url=\"{url}\"}}"));
    world.finds("j", &[&a, &b]).await;
    let head = server.lock().1.to_lowercase();
    assert!(
        head.contains("x-prometheus-refresh-interval-seconds: 0.1\r\n")
            && head.contains("accept: application/json\r\n")
    );

    for bad in [
        answer("500 Oops", json, "[]"),
        answer("200 OK", "text/html", "[]"),
        answer("200 OK", json, "[null]"),
        answer("200 OK", json, "{"),
    ] {
        let failures = world.metric("prometheus_sd_http_failures_total");
        server.lock().0 = bad;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while world.metric("prometheus_sd_http_failures_total") < failures + 2.0 {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.found("j"), [a.as_str(), b.as_str()]);
    }
    server.lock().0 = answer("200 OK", json, r#"[{"targets":["c:3"]}]"#);
    world.finds("j", &[&format!("c:3 {{__meta_url=\"{url}\"}}")]).await;
}

#[tokio::test]
async fn options_that_cannot_work_are_refused() {
    let http = |url: &str| {
        let options =
            HttpOptions { url: url.to_owned(), refresh_interval: LONG, client: ClientOptions::default() };
        ProviderOptions::Http(Box::new(options)).validate().unwrap_err()
    };
    assert_eq!(http(""), "URL is missing");
    assert_eq!(http("ftp://x"), "URL scheme must be 'http' or 'https'");
    assert_eq!(http("http:///x"), "host is missing in URL");
    assert_eq!(
        files(Path::new("a.txt")).validate().unwrap_err(),
        "path name \"a.txt\" is not valid for file discovery"
    );
}
