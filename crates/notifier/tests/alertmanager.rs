//! What an Alertmanager gets, over real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use discovery::{ProviderOptions, TargetGroup};
use exposition::registry::Registry;
use model::Labels;
use model::relabel::{Action, Config};
use notifier::{Alert, Manager, ManagerOptions, SetOptions};
use serde_json::{Value, json};

/// An Alertmanager that writes down what it gets.
struct Alertmanager {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// What it answers.
    status: AtomicU16,
    refused: AtomicUsize,
    posts: Mutex<Vec<(Vec<String>, String)>>,
}

impl Alertmanager {
    fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { status: AtomicU16::new(status), ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || while serve(&state, &stream).is_some() {});
            }
        });
        Alertmanager { port, state }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("http://{}/api/v2/alerts", self.address())
    }

    fn answer_with(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    fn bodies(&self) -> Vec<Value> {
        let posts = self.state.posts.lock().unwrap();
        posts.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }

    /// The name and end of each alert, post by post.
    fn told(&self) -> Vec<Vec<String>> {
        let of_alert = |alert: &Value| {
            format!(
                "{}@{}",
                alert["labels"]["alertname"].as_str().unwrap(),
                alert["endsAt"].as_str().unwrap()
            )
        };
        self.bodies().iter().map(|body| body.as_array().unwrap().iter().map(of_alert).collect()).collect()
    }

    fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }
}

fn serve(state: &State, mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let length =
        head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let status = state.status.load(Ordering::SeqCst);
    match status {
        200 => state.posts.lock().unwrap().push((head, String::from_utf8(body).unwrap())),
        _ => {
            state.refused.fetch_add(1, Ordering::SeqCst);
        }
    }
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").ok()
}

/// Notifier and discovery as the program puts them together.
struct Running {
    manager: Arc<Manager>,
    discovery: discovery::Manager,
    registry: Registry,
}

impl Running {
    fn start(options: ManagerOptions) -> Self {
        let registry = Registry::new();
        let manager = Arc::new(Manager::new(options, &registry));
        let metrics = discovery::Metrics::register(&registry);
        let discovery = discovery::Manager::new("notify", &metrics, Duration::from_secs(5));
        let (following, found) = (Arc::clone(&manager), discovery.subscribe());
        tokio::spawn(async move { following.follow(found).await });
        Running { manager, discovery, registry }
    }

    /// Puts one entry in force and waits until its Alertmanagers are known.
    async fn apply(&self, set: SetOptions, addresses: &[String]) {
        let name = set.name.clone();
        self.manager.apply(vec![set], Vec::new(), Labels::default()).unwrap();
        self.discovery.apply([(name, vec![of_addresses(addresses)])]);
        until(|| self.manager.alertmanagers().0.len() == addresses.len()).await;
    }

    fn value(&self, metric: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == metric);
        let metrics = family.iter().flat_map(|family| &family.metrics);
        metrics
            .map(|metric| match metric.value {
                exposition::MetricValue::Float(value) => value,
                _ => f64::NAN,
            })
            .sum()
    }
}

fn of_addresses(addresses: &[String]) -> ProviderOptions {
    let targets = addresses.iter().map(|address| Labels::from_pairs([("__address__", address)]).into());
    ProviderOptions::Static(vec![TargetGroup {
        source: String::new(),
        targets: targets.collect(),
        labels: Default::default(),
    }])
}

fn set() -> SetOptions {
    SetOptions {
        name: "config-0".into(),
        hash: "a".into(),
        scheme: "http".into(),
        path_prefix: String::new(),
        timeout: Duration::from_secs(10),
        relabel: Vec::new(),
        alert_relabel: Vec::new(),
        client: Default::default(),
        signer: None,
    }
}

fn alert(name: &str, ends_at: i64) -> Arc<Alert> {
    Arc::new(Alert {
        labels: Labels::from_pairs([("alertname", name)]),
        annotations: Arc::default(),
        starts_at: 0,
        ends_at,
        generator_url: String::new(),
    })
}

async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come to pass");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_alert_is_written_as_prometheus_writes_it() {
    let to = Alertmanager::start(200);
    let running = Running::start(ManagerOptions::default());
    let mut set = set();
    set.alert_relabel =
        vec![Config { target_label: "am".into(), replacement: "one".into(), ..Config::default() }];
    let name = set.name.clone();
    let drop_secret = Config {
        action: Action::Drop,
        source_labels: vec!["alertname".into()],
        regex: model::Regex::new("Secret").unwrap(),
        ..Config::default()
    };
    let external = Labels::from_pairs([("cluster", "c1"), ("own", "no")]);
    running.manager.apply(vec![set], vec![drop_secret], external).unwrap();
    running.discovery.apply([(name, vec![of_addresses(&[to.address()])])]);
    until(|| !running.manager.alertmanagers().0.is_empty()).await;
    let told = Alert {
        labels: Labels::from_pairs([("alertname", "Down"), ("own", "<yes>")]),
        annotations: [("empty".to_owned(), String::new()), ("v".to_owned(), "1".to_owned())].into(),
        starts_at: 1_795_423_365_835,
        ends_at: 1_795_423_501_000,
        generator_url: "http://h:9090/graph?g0.expr=up+%3E+0&g0.tab=1".into(),
    };
    running.manager.send(&[Arc::new(told), alert("Secret", 0)]);
    until(|| !to.bodies().is_empty()).await;
    let posts = to.state.posts.lock().unwrap();
    let (head, body) = &posts[0];
    assert_eq!(head[0], "POST /api/v2/alerts HTTP/1.1");
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case("content-type: application/json")), "{head:?}");
    assert_eq!(
        body,
        "[{\"annotations\":{\"empty\":\"\",\"v\":\"1\"},\"endsAt\":\"2026-11-23T08:45:01.000Z\",\"startsAt\":\"2026-11-23T08:42:45.835Z\",\
         \"generatorURL\":\"http://h:9090/graph?g0.expr=up+%3E+0\\u0026g0.tab=1\",\
         \"labels\":{\"alertname\":\"Down\",\"am\":\"one\",\"cluster\":\"c1\",\"own\":\"\\u003cyes\\u003e\"}}]"
    );
}

#[tokio::test]
async fn alerts_go_out_in_batches_in_their_order() {
    let to = Alertmanager::start(200);
    let running = Running::start(ManagerOptions { batch_size: 2, ..ManagerOptions::default() });
    running.apply(set(), &[to.address()]).await;
    running.manager.send(&[alert("a", 1), alert("b", 1), alert("c", 1), alert("a", 2), alert("d", 1)]);
    until(|| to.bodies().len() == 3).await;
    let names = |i: usize| {
        let body = &to.bodies()[i];
        json!(body.as_array().unwrap().iter().map(|a| a["labels"]["alertname"].clone()).collect::<Vec<_>>())
    };
    assert_eq!([names(0), names(1), names(2)], [json!(["a", "b"]), json!(["c", "a"]), json!(["d"])]);
    until(|| running.value("prometheus_notifications_sent_total") == 5.0).await;
    assert_eq!(running.value("prometheus_notifications_queue_length"), 0.0);
    assert_eq!(running.value("prometheus_notifications_alertmanagers_discovered"), 1.0);
}

#[tokio::test]
async fn alerts_wait_for_an_alertmanager_in_trouble_and_come_once_as_they_are_then() {
    let (troubled, well) = (Alertmanager::start(503), Alertmanager::start(200));
    let running = Running::start(ManagerOptions::default());
    running.apply(set(), &[troubled.address(), well.address()]).await;
    running.manager.send(&[alert("a", 1_000), alert("b", 1_000)]);
    until(|| troubled.refused() == 1).await;
    running.manager.send(&[alert("a", 2_000)]);
    until(|| well.told().concat().len() == 3).await;
    troubled.answer_with(200);
    until(|| !troubled.told().is_empty()).await;
    assert_eq!(troubled.told(), [["b@1970-01-01T00:00:01.000Z", "a@1970-01-01T00:00:02.000Z"]]);
    assert_eq!(running.value("prometheus_notifications_dropped_total"), 0.0);
    assert!(running.value("prometheus_notifications_errors_total") >= 2.0);
}

#[tokio::test]
async fn what_an_alertmanager_refuses_is_counted_and_not_sent_again() {
    let to = Alertmanager::start(400);
    let running = Running::start(ManagerOptions::default());
    running.apply(set(), &[to.address()]).await;
    running.manager.send(&[alert("bad", 1)]);
    until(|| running.value("prometheus_notifications_dropped_total") == 1.0).await;
    to.answer_with(200);
    running.manager.send(&[alert("good", 1_000)]);
    until(|| !to.told().is_empty()).await;
    assert_eq!(to.told(), [["good@1970-01-01T00:00:01.000Z"]]);
    assert_eq!((to.refused(), running.value("prometheus_notifications_errors_total")), (1, 1.0));
}

#[tokio::test]
async fn the_oldest_make_room_in_a_full_queue() {
    let to = Alertmanager::start(503);
    let running = Running::start(ManagerOptions { queue_capacity: 3, ..ManagerOptions::default() });
    running.apply(set(), &[to.address()]).await;
    running.manager.send(&["a", "b", "c", "d", "e"].map(|name| alert(name, 1_000)));
    until(|| running.value("prometheus_notifications_dropped_total") == 2.0).await;
    to.answer_with(200);
    until(|| !to.told().is_empty()).await;
    let expected = ["c", "d", "e"].map(|name| format!("{name}@1970-01-01T00:00:01.000Z"));
    assert_eq!(to.told(), [expected]);
    assert_eq!(running.value("prometheus_notifications_queue_capacity"), 3.0);
}

#[tokio::test]
async fn at_the_end_what_waits_is_sent_or_dropped_as_the_flag_says() {
    for drain in [true, false] {
        let to = Alertmanager::start(503);
        let running = Running::start(ManagerOptions { drain, ..ManagerOptions::default() });
        running.apply(set(), &[to.address()]).await;
        running.manager.send(&[alert("a", 1_000)]);
        until(|| to.refused() == 1).await;
        // It waits for its next attempt now, or soon.
        to.answer_with(200);
        running.manager.send(&[alert("b", 1_000)]);
        running.manager.stop().await;
        running.manager.send(&[alert("late", 1_000)]);
        let told = to.told().concat();
        assert_eq!(told.len(), if drain { 2 } else { 0 }, "{told:?}");
    }
}

#[tokio::test]
async fn a_reload_keeps_what_waits_and_takes_new_credentials() {
    let to = Alertmanager::start(503);
    let running = Running::start(ManagerOptions::default());
    running.apply(set(), &[to.address()]).await;
    running.manager.send(&[alert("a", 1_000)]);
    until(|| to.refused() == 1).await;
    let mut changed = set();
    changed.client.authorization = Some(httpclient::Authorization {
        kind: "Bearer".into(),
        credentials: Some(httpclient::Source::Inline(httpclient::Secret::new("new"))),
    });
    to.answer_with(200);
    running.apply(changed, &[to.address()]).await;
    until(|| !to.told().is_empty()).await;
    assert_eq!(to.told(), [["a@1970-01-01T00:00:01.000Z"]]);
    let posts = to.state.posts.lock().unwrap();
    let authorized = posts[0].0.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer new"));
    assert!(authorized, "{:?}", posts[0].0);
}

#[tokio::test]
async fn an_alertmanager_that_is_gone_is_forgotten_with_its_metrics() {
    let (first, second) = (Alertmanager::start(200), Alertmanager::start(200));
    let running = Running::start(ManagerOptions::default());
    running.apply(set(), &[first.address()]).await;
    running.apply(set(), &[second.address()]).await;
    until(|| running.manager.alertmanagers().0 == [second.url()]).await;
    running.manager.send(&[alert("a", 1_000)]);
    until(|| !second.told().is_empty()).await;
    assert!(first.told().is_empty());
    until(|| {
        let families = running.registry.gather();
        let family = families.iter().find(|family| family.name == "prometheus_notifications_sent_total");
        family.is_some_and(|family| {
            family.metrics.len() == 1 && family.metrics[0].labels.value("alertmanager") == second.url()
        })
    })
    .await;
}
