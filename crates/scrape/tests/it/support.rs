//! A stub target, a store that remembers everything, and ways to wait for them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use discovery::{ADDRESS, LabelParts, TargetGroup, TargetSets};
use exposition::Registry;
use model::Labels;
use parking_lot::Mutex;
use scrape::{ActiveTarget, JobOptions, Manager, ManagerOptions};
use storage::{
    Affinity, Append, AppendError, Batch, BatchExemplar, BatchHistogram, Outcome, Rejection, Resolved,
    SeriesRef,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A recording of the original program, one JSON object a line: the full one if it is there, else the crate's own copy.
pub(crate) fn recorded(path: &str, copy: &str) -> Vec<serde_json::Value> {
    let root = std::env::var_os("BINNACLE_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let full = root.join(path);
    let file = if full.exists() {
        full
    } else {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata").join(copy)
    };
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Prometheus' rules about order, duplicates and samples of long ago, and nothing else.
#[derive(Default)]
pub(crate) struct Recorder {
    state: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    refs: HashMap<Labels, u64>,
    series: BTreeMap<u64, (Labels, Vec<(i64, f64)>)>,
    next: u64,
    resolved: usize,
    histograms: Vec<BatchHistogram>,
    exemplars: Vec<BatchExemplar>,
    /// Of floats.
    start_times: HashMap<u64, i64>,
    /// More series are not created.
    most: Option<usize>,
}

impl Recorder {
    /// Samples of the series with these labels (beside `instance`).
    pub(crate) fn samples(&self, labels: &str) -> Vec<(i64, f64)> {
        let state = self.state.lock();
        let found = state.series.values().find(|(l, _)| l.filter(|n| n != "instance").to_string() == labels);
        found.map(|(_, samples)| samples.clone()).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<(Labels, Vec<(i64, f64)>)> {
        self.state.lock().series.values().cloned().collect()
    }

    /// The newest histogram of each series that has one.
    pub(crate) fn histograms(&self) -> Vec<(Labels, BatchHistogram)> {
        let state = self.state.lock();
        let newest: BTreeMap<u64, &BatchHistogram> =
            state.histograms.iter().map(|h| (h.series.0, h)).collect();
        newest.into_iter().map(|(id, h)| (state.series[&id].0.clone(), h.clone())).collect()
    }

    pub(crate) fn exemplars(&self) -> Vec<(Labels, BatchExemplar)> {
        let state = self.state.lock();
        state.exemplars.iter().map(|e| (state.series[&e.series.0].0.clone(), e.clone())).collect()
    }

    /// Series that have a start time, and that of their newest float.
    pub(crate) fn start_times(&self) -> Vec<(Labels, i64)> {
        let state = self.state.lock();
        state.start_times.iter().map(|(id, t)| (state.series[id].0.clone(), *t)).collect()
    }

    /// From now on no series are created beyond this number.
    pub(crate) fn limit_series(&self, most: usize) {
        self.state.lock().most = Some(most);
    }

    /// How often labels were looked up.
    pub(crate) fn resolved(&self) -> usize {
        self.state.lock().resolved
    }

    /// Drops all series, as a head does with series that nobody writes to.
    pub(crate) fn forget_handles(&self) {
        let mut state = self.state.lock();
        state.refs.clear();
        let old = std::mem::take(&mut state.series);
        // Their samples stay readable under numbers that no handle has.
        state.series = old.into_iter().map(|(id, series)| (id | 1 << 40, series)).collect();
    }
}

impl Append for Recorder {
    fn resolve(&self, _: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        let mut state = self.state.lock();
        state.resolved += 1;
        if let Some(&id) = state.refs.get(labels) {
            return Ok(Resolved { series: SeriesRef(id), created: false });
        }
        if state.most.is_some_and(|most| state.refs.len() >= most) {
            return Err(AppendError::SeriesLimit("no more than that".to_owned()));
        }
        let id = state.next;
        state.next += 1;
        state.refs.insert(labels.clone(), id);
        state.series.insert(id, (labels.clone(), Vec::new()));
        Ok(Resolved { series: SeriesRef(id), created: true })
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        let mut state = self.state.lock();
        let oldest = now_nanos() / 1_000_000 - 3_600_000;
        outcome.clear();
        assert!(batch.start_times.is_empty() || batch.start_times.len() == batch.samples.len());
        for (sample, &time) in batch.samples.iter().zip(&batch.start_times).filter(|(_, time)| **time != 0) {
            state.start_times.insert(sample.series.0, time);
        }
        state.histograms.extend(batch.histograms.iter().cloned());
        let known = state.series.keys().copied().collect::<std::collections::BTreeSet<_>>();
        for exemplar in &batch.exemplars {
            assert!(known.contains(&exemplar.series.0));
            let news = |e: &BatchExemplar| {
                e.series != exemplar.series || e.v != exemplar.v || e.labels != exemplar.labels
            };
            if state.exemplars.iter().all(news) {
                state.exemplars.push(exemplar.clone());
            }
        }
        for (i, sample) in batch.samples.iter().enumerate() {
            let late_marker = model::is_stale(sample.v) && !batch.in_order_markers;
            assert!(!late_marker, "a staleness marker that may land between the samples of somebody else");
            let refused = match state.series.get_mut(&sample.series.0) {
                None => Some(Rejection::UnknownSeries),
                Some(_) if sample.t < oldest => Some(Rejection::OutOfBounds),
                Some((_, samples)) => match samples.last() {
                    Some(last) if last.0 > sample.t => Some(Rejection::OutOfOrder),
                    Some(last) if last.0 == sample.t && last.1.to_bits() != sample.v.to_bits() => {
                        Some(Rejection::Duplicate)
                    }
                    Some(last) if last.0 == sample.t => None,
                    _ => {
                        samples.push((sample.t, sample.v));
                        None
                    }
                },
            };
            match refused {
                Some(reason) => outcome.rejected.push((i as u32, reason)),
                None => outcome.appended += 1,
            }
        }
        Ok(())
    }
}

/// What a stub answers.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of body announced but never sent; the connection is closed instead.
    pub(crate) missing: usize,
    /// Says no length: the body ends where the connection does.
    pub(crate) unannounced: bool,
    /// Never answers.
    pub(crate) hangs: bool,
}

impl Answer {
    pub(crate) fn text(body: impl Into<Vec<u8>>) -> Self {
        Answer::typed("text/plain; version=0.0.4", body)
    }

    pub(crate) fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut headers = Vec::new();
        if !content_type.is_empty() {
            headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        }
        Answer {
            status: "200 OK".to_owned(),
            headers,
            body: body.into(),
            missing: 0,
            unannounced: false,
            hangs: false,
        }
    }
}

/// An HTTP server that answers each path with what was set for it.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl Stub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Stub {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let server = stub.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *server.connections.lock() += 1;
                tokio::spawn(server.clone().serve(stream));
            }
        });
        stub
    }

    /// A server at a socket of the file system.
    pub(crate) fn listen_at(path: &std::path::Path) -> Self {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let stub = Stub {
            address: ([0, 0, 0, 0], 0).into(),
            answers: Arc::default(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let server = stub.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *server.connections.lock() += 1;
                tokio::spawn(server.clone().serve(stream));
            }
        });
        stub
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.answers.lock().insert(path.to_owned(), answer);
    }

    /// Heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock()
    }

    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while let Ok(byte) = stream.read_u8().await {
            head.push(byte);
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut head)).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
            self.requests.lock().push(text);
            let answer = self.answers.lock().get(&path).cloned();
            let answer =
                answer.unwrap_or_else(|| Answer { status: "404 Not Found".to_owned(), ..Answer::text("") });
            if answer.hangs {
                std::future::pending::<()>().await;
            }
            let mut out = format!("HTTP/1.1 {}\r\n", answer.status);
            if !answer.unannounced {
                out.push_str(&format!("Content-Length: {}\r\n", answer.body.len() + answer.missing));
            }
            for (name, value) in &answer.headers {
                out.push_str(&format!("{name}: {value}\r\n"));
            }
            out.push_str("\r\n");
            let sent = async {
                stream.write_all(out.as_bytes()).await?;
                stream.write_all(&answer.body).await
            };
            if sent.await.is_err() || answer.missing > 0 || answer.unannounced {
                return;
            }
        }
    }
}

/// A manager with a recorder behind it.
pub(crate) struct World {
    pub(crate) manager: Arc<Manager>,
    pub(crate) store: Arc<Recorder>,
    pub(crate) registry: Registry,
    pub(crate) sets: tokio::sync::watch::Sender<TargetSets>,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(ManagerOptions::default())
    }

    pub(crate) fn with(options: ManagerOptions) -> Self {
        let (store, registry) = (Arc::new(Recorder::default()), Registry::new());
        let manager = Arc::new(Manager::new(options, store.clone(), &registry));
        let sets = tokio::sync::watch::Sender::new(TargetSets::default());
        let (running, received) = (manager.clone(), sets.subscribe());
        tokio::spawn(async move { running.run(received).await });
        World { manager, store, registry, sets }
    }

    /// Puts jobs in force, each with targets given as their labels.
    pub(crate) fn run(&self, jobs: Vec<(JobOptions, Vec<Labels>)>) {
        let sets = jobs.iter().map(|(job, targets)| {
            let group = TargetGroup {
                source: "0".to_owned(),
                targets: targets.iter().map(Into::into).collect(),
                labels: LabelParts::default(),
            };
            (job.name.clone(), vec![Arc::new(group)])
        });
        let sets: TargetSets = Arc::new(sets.collect());
        self.manager.apply(jobs.into_iter().map(|(job, _)| job).collect()).unwrap();
        self.sets.send_replace(sets);
    }

    pub(crate) fn target(&self, job: &str) -> Option<ActiveTarget> {
        self.manager.targets(Some(job)).active.into_iter().next()
    }

    /// Waits until the job's first target was scraped at or after `since` (nanoseconds); its state then.
    pub(crate) async fn scraped_since(&self, job: &str, since: i64) -> ActiveTarget {
        wait_for(&format!("a scrape of {job}"), || {
            self.target(job).filter(|target| target.last_scrape.is_some_and(|at| at >= since))
        })
        .await
    }

    pub(crate) async fn scraped(&self, job: &str) -> ActiveTarget {
        self.scraped_since(job, 0).await
    }

    /// The value of a metric of the manager's own; labels are not looked at.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no metric {name}"));
        match family.metrics.first().map(|m| &m.value) {
            Some(exposition::MetricValue::Float(v)) => *v,
            other => panic!("{name}: {other:?}"),
        }
    }
}

pub(crate) fn now_nanos() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// Polls until there is an answer.
pub(crate) async fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A job that is scraped ten times a second.
pub(crate) fn quick_job(name: &str) -> JobOptions {
    JobOptions {
        scrape_interval: Duration::from_millis(100),
        scrape_timeout: Duration::from_millis(100),
        ..JobOptions::new(name)
    }
}

pub(crate) fn at(stub: &Stub) -> Labels {
    Labels::from_pairs([(ADDRESS, stub.address.to_string())])
}

/// Labels of a JSON object.
pub(crate) fn labels(json: &serde_json::Value) -> Labels {
    let pairs = json.as_object().unwrap().iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
    Labels::from_pairs(pairs)
}

/// A relabelling rule as configuration spells it.
pub(crate) fn rule(json: &serde_json::Value) -> model::relabel::Config {
    use model::relabel::{Action, Config};
    let mut rule = Config::default();
    for (key, value) in json.as_object().unwrap() {
        let text = || value.as_str().unwrap().to_owned();
        match key.as_str() {
            "source_labels" => {
                rule.source_labels =
                    value.as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()).collect();
            }
            "separator" => rule.separator = text(),
            "regex" => rule.regex = model::Regex::new(&text()).unwrap(),
            "modulus" => rule.modulus = value.as_u64().unwrap(),
            "target_label" => rule.target_label = text(),
            "replacement" => rule.replacement = text(),
            "action" => rule.action = Action::parse(&text()).unwrap(),
            other => panic!("{other}"),
        }
    }
    rule
}
