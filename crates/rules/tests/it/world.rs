//! A server as rules see it: a store, a clock that is moved by hand, and what was sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use exposition::Registry;
use model::{Labels, Matcher, STALE_NAN, Sample, is_stale};
use parking_lot::Mutex;
use promql::{Engine, EngineOptions};
use rules::{
    AlertToSend, Group, GroupOptions, Manager, ManagerOptions, Notify, RuleKind, RuleOptions, Settings, Time,
};
use storage::{
    Affinity, Append, Batch, BatchSample, ChunkView, MemoryBudget, MemoryStore, Outcome, Projection,
    QueryContext, Request, Select,
};

/// What was sent, and when.
#[derive(Default)]
pub(crate) struct Sent(pub(crate) Mutex<Vec<AlertToSend>>);

impl Notify for Sent {
    fn notify(&self, alerts: Vec<AlertToSend>) {
        assert!(!alerts.is_empty());
        self.0.lock().extend(alerts);
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) sent: Arc<Sent>,
    pub(crate) registry: Registry,
    pub(crate) manager: Manager,
}

/// Seconds, to the millisecond, as a point in time.
pub(crate) fn at(seconds: f64) -> Time {
    Time((seconds * 1e3).round() as i64 * 1_000_000)
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn record(name: &str, expr: &str, labels: &[(&str, &str)]) -> RuleOptions {
    RuleOptions { name: name.into(), expr: expr.into(), labels: texts(labels), kind: RuleKind::Recording }
}

/// `hold` and `keep_firing_for` in seconds.
pub(crate) fn alert(name: &str, expr: &str, hold: u64, keep_firing_for: u64) -> RuleOptions {
    let annotations = BTreeMap::new();
    let kind = RuleKind::Alerting { hold: secs(hold), keep_firing_for: secs(keep_firing_for), annotations };
    RuleOptions { name: name.into(), expr: expr.into(), labels: BTreeMap::new(), kind }
}

pub(crate) trait With {
    fn labelled(self, labels: &[(&str, &str)]) -> Self;
    fn annotated(self, annotations: &[(&str, &str)]) -> Self;
}

impl With for RuleOptions {
    fn labelled(self, labels: &[(&str, &str)]) -> Self {
        RuleOptions { labels: texts(labels), ..self }
    }

    fn annotated(mut self, pairs: &[(&str, &str)]) -> Self {
        if let RuleKind::Alerting { annotations, .. } = &mut self.kind {
            *annotations = texts(pairs);
        }
        self
    }
}

/// A group that is evaluated each second.
pub(crate) fn group(name: &str, rules: Vec<RuleOptions>) -> GroupOptions {
    GroupOptions {
        file: "r.yml".into(),
        name: name.into(),
        interval: secs(1),
        query_offset: None,
        limit: 0,
        labels: BTreeMap::new(),
        rules,
    }
}

impl World {
    /// One that runs already: there is nothing to restore.
    pub(crate) fn new(groups: Vec<GroupOptions>) -> Self {
        let world = Self::with(Arc::default(), Vec::new(), |options| options);
        world.reload(groups);
        world
    }

    /// One that starts, over a store that there may be already.
    pub(crate) fn with(
        store: Arc<MemoryStore>,
        groups: Vec<GroupOptions>,
        change: impl FnOnce(ManagerOptions) -> ManagerOptions,
    ) -> Self {
        let engine = Arc::new(Engine::new(EngineOptions { threads: 1, ..EngineOptions::default() }));
        let (sent, registry) = (Arc::new(Sent::default()), Registry::new());
        let options = ManagerOptions::new(
            engine,
            Arc::clone(&store) as _,
            Arc::clone(&store) as _,
            Arc::clone(&sent) as _,
            MemoryBudget::new(0),
        );
        let manager = Manager::new(change(options), &registry);
        let world = World { store, sent, registry, manager };
        world.reload(groups);
        world
    }

    pub(crate) fn reload(&self, groups: Vec<GroupOptions>) {
        let settings = Settings {
            external_labels: Labels::from_pairs([("cluster", "c1")]),
            query_offset: Duration::ZERO,
        };
        self.manager.apply(self.manager.prepare(groups).unwrap(), settings);
    }

    pub(crate) fn group(&self, name: &str) -> Arc<Group> {
        self.manager.groups().into_iter().find(|group| group.name() == name).unwrap()
    }

    /// Evaluates every group.
    pub(crate) fn evaluate(&self, seconds: f64) {
        for group in self.manager.groups() {
            group.evaluate(at(seconds));
        }
    }

    /// `metric{label="value"}` has this value from then on.
    pub(crate) fn sample(&self, series: &str, seconds: f64, v: f64) {
        let labels = promql::parse_metric(series).unwrap();
        let series = self.store.resolve(Affinity(0), &labels).unwrap().series;
        let sample = BatchSample { series, t: at(seconds).millis(), v };
        let mut outcome = Outcome::default();
        self.store.append(&Batch { samples: vec![sample], ..Batch::default() }, &mut outcome).unwrap();
        assert!(outcome.rejected.is_empty());
    }

    pub(crate) fn ends(&self, series: &str, seconds: f64) {
        self.sample(series, seconds, STALE_NAN);
    }

    /// All samples of series of this name, staleness markers as none.
    pub(crate) fn stored(&self, name: &str) -> BTreeMap<String, Vec<(i64, Option<f64>)>> {
        let matchers = [Matcher::equal("__name__", name)];
        let request = Request {
            matchers: &matchers,
            min_time: i64::MIN,
            max_time: i64::MAX,
            labels: Projection::All,
            newest: None,
        };
        let mut all = BTreeMap::new();
        for mut part in self.store.select(&QueryContext::unlimited(), &request).unwrap() {
            while let Some(series) = part.next().unwrap() {
                let samples = series.chunks.iter().flat_map(|chunk| match chunk {
                    ChunkView::Samples(samples) => samples.to_vec(),
                    _ => panic!("not in memory"),
                });
                let told = |s: Sample| (s.t, (!is_stale(s.v)).then_some(s.v));
                all.insert(series.labels.to_string(), samples.map(told).collect());
            }
        }
        all
    }

    /// Of every alert its name and state, with a label's value if there is one.
    pub(crate) fn alerts(&self, label: &str) -> Vec<String> {
        let groups = self.manager.groups();
        let mut all: Vec<String> = Vec::new();
        for rule in groups.iter().flat_map(|group| group.rules()) {
            for alert in rule.active_alerts() {
                let value = alert.labels.value(label);
                all.push(format!("{} {value} {}", rule.name(), alert.state.as_str()).replace("  ", " "));
            }
        }
        all
    }

    pub(crate) fn error(&self, rule: &str) -> Option<String> {
        let groups = self.manager.groups();
        let mut rules = groups.iter().flat_map(|group| group.rules());
        rules.find(|known| known.name() == rule).unwrap().status().last_error.map(|error| error.to_string())
    }

    pub(crate) fn take_sent(&self) -> Vec<AlertToSend> {
        std::mem::take(&mut *self.sent.0.lock())
    }
}
