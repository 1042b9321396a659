//! The metrics that a program keeps about itself.
//!
//! A [`Registry`] hands out cheap handles; observing through one is a few atomic operations. [`Registry::gather`] reads everything.

mod children;
mod histogram;
mod quantile;
mod scalar;
mod summary;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::{Labels, is_legacy_label_name, is_legacy_metric_name};
use parking_lot::{Mutex, RwLock};

use crate::family::{Family, Metric, MetricKind};
use children::{Child, Children};

pub use children::MetricVec;
pub use histogram::Histogram;
pub use scalar::{Counter, Gauge};
pub use summary::Summary;

/// Counters that differ in label values.
pub type CounterVec = MetricVec<Counter>;
/// Gauges that differ in label values.
pub type GaugeVec = MetricVec<Gauge>;
/// Histograms that differ in label values.
pub type HistogramVec = MetricVec<Histogram>;
/// Summaries that differ in label values.
pub type SummaryVec = MetricVec<Summary>;

/// A set of metrics. Clones share it.
#[derive(Clone, Default)]
pub struct Registry(Arc<Inner>);

type Collector = Box<dyn Fn(&mut Vec<Family>) + Send + Sync>;

#[derive(Default)]
struct Inner {
    families: RwLock<BTreeMap<String, Registered>>,
    collectors: RwLock<Vec<Collector>>,
    /// Registrations that contradict an earlier one; their metrics work but are not gathered.
    conflicts: Mutex<Vec<String>>,
}

struct Registered {
    help: String,
    kind: MetricKind,
    children: AnyChildren,
}

enum AnyChildren {
    Counter(Arc<Children<Counter>>),
    Gauge(Arc<Children<Gauge>>),
    Histogram(Arc<Children<Histogram>>),
    Summary(Arc<Children<Summary>>),
}

impl AnyChildren {
    fn metrics(&self) -> Vec<Metric> {
        match self {
            AnyChildren::Counter(c) => c.metrics(),
            AnyChildren::Gauge(c) => c.metrics(),
            AnyChildren::Histogram(c) => c.metrics(),
            AnyChildren::Summary(c) => c.metrics(),
        }
    }

    fn label_names(&self) -> &[String] {
        match self {
            AnyChildren::Counter(c) => c.label_names(),
            AnyChildren::Gauge(c) => c.label_names(),
            AnyChildren::Histogram(c) => c.label_names(),
            AnyChildren::Summary(c) => c.label_names(),
        }
    }
}

/// What tells the four kinds of children apart.
trait Kind: Child {
    const KIND: MetricKind;
    fn wrap(children: Arc<Children<Self>>) -> AnyChildren;
    fn unwrap(any: &AnyChildren) -> Option<&Arc<Children<Self>>>;
}

macro_rules! kind {
    ($name:ident) => {
        impl Kind for $name {
            const KIND: MetricKind = MetricKind::$name;

            fn wrap(children: Arc<Children<Self>>) -> AnyChildren {
                AnyChildren::$name(children)
            }

            fn unwrap(any: &AnyChildren) -> Option<&Arc<Children<Self>>> {
                match any {
                    AnyChildren::$name(children) => Some(children),
                    _ => None,
                }
            }
        }
    };
}

kind!(Counter);
kind!(Gauge);
kind!(Histogram);
kind!(Summary);

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that only grows. The name should end in `_total`.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.register::<Counter>(name, help, &[], ()).with(&[])
    }

    /// A counter for each combination of values of `labels`.
    pub fn counter_vec(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.register(name, help, labels, ())
    }

    /// A value that goes up and down.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.register::<Gauge>(name, help, &[], ()).with(&[])
    }

    /// A gauge for each combination of values of `labels`.
    pub fn gauge_vec(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(name, help, labels, ())
    }

    /// Counts of observations by upper bound. `bounds` are ascending; `+Inf` is added.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.register::<Histogram>(name, help, &[], bounds.into()).with(&[])
    }

    /// A histogram for each combination of values of `labels`.
    pub fn histogram_vec(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
        self.register(name, help, labels, bounds.into())
    }

    /// Quantiles (0 to 1) of the observations of the last ten minutes.
    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.register::<Summary>(name, help, &[], quantiles.into()).with(&[])
    }

    /// A summary for each combination of values of `labels`.
    pub fn summary_vec(&self, name: &str, help: &str, labels: &[&str], quantiles: &[f64]) -> SummaryVec {
        self.register(name, help, labels, quantiles.into())
    }

    /// A gauge that is always 1 and tells by its labels, as `prometheus_build_info` does.
    pub fn info(&self, name: &str, help: &str, labels: &[(&str, &str)]) {
        let (names, values): (Vec<&str>, Vec<&str>) = labels.iter().copied().unzip();
        self.gauge_vec(name, help, &names).with(&values).set(1.0);
    }

    /// A gauge whose value is computed when asked for.
    pub fn gauge_fn(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.value_fn(name, help, MetricKind::Gauge, value);
    }

    /// A counter whose value is computed when asked for.
    pub fn counter_fn(&self, name: &str, help: &str, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.value_fn(name, help, MetricKind::Counter, value);
    }

    fn value_fn(
        &self,
        name: &str,
        help: &str,
        kind: MetricKind,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        let (name, help) = (name.to_owned(), help.to_owned());
        self.collector(move |out| out.push(Family::new(&*name, &*help, kind).with(Labels::empty(), value())));
    }

    /// Families computed when asked for. `collect` must not register metrics here.
    pub fn collector(&self, collect: impl Fn(&mut Vec<Family>) + Send + Sync + 'static) {
        self.0.collectors.write().push(Box::new(collect));
    }

    /// Everything that has a value now, sorted by name, and in a family by label values.
    #[must_use]
    pub fn gather(&self) -> Vec<Family> {
        let mut families = self.registered(false);
        for collect in self.0.collectors.read().iter() {
            collect(&mut families);
        }
        families.retain(|family| !family.metrics.is_empty());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families.dedup_by(|later, first| {
            let same = later.name == first.name;
            if same {
                first.metrics.append(&mut later.metrics);
            }
            same
        });
        for family in &mut families {
            family.metrics.sort_by(|a, b| a.labels.iter().map(|l| l.1).cmp(b.labels.iter().map(|l| l.1)));
        }
        families
    }

    fn registered(&self, with_empty: bool) -> Vec<Family> {
        let registered = self.0.families.read();
        registered
            .iter()
            .map(|(name, r)| Family {
                name: name.clone(),
                help: r.help.clone(),
                kind: r.kind,
                metrics: r.children.metrics(),
            })
            .filter(|family| with_empty || !family.metrics.is_empty())
            .collect()
    }

    /// What is wrong with the names and help texts, one sentence each: for tests that hold every component to the conventions.
    #[must_use]
    pub fn lint(&self) -> Vec<String> {
        let mut problems = self.0.conflicts.lock().clone();
        let mut families = self.registered(true);
        for collect in self.0.collectors.read().iter() {
            collect(&mut families);
        }
        for family in &families {
            lint_family(family, &mut problems);
        }
        for (name, registered) in self.0.families.read().iter() {
            for label in registered.children.label_names() {
                lint_label(name, registered.kind, label, &mut problems);
            }
        }
        families.sort_by(|a, b| a.name.cmp(&b.name));
        for pair in families.windows(2) {
            if let [a, b] = pair
                && a.name == b.name
                && (a.kind != b.kind || a.help != b.help)
            {
                problems.push(format!("{}: collected with different types or help texts", a.name));
            }
        }
        problems
    }

    fn register<T: Kind>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        options: T::Options,
    ) -> MetricVec<T> {
        let mut families = self.0.families.write();
        if let Some(earlier) = families.get(name) {
            match T::unwrap(&earlier.children) {
                Some(children) if children.label_names() == labels => {
                    return MetricVec::new(Arc::clone(children));
                }
                _ => self
                    .0
                    .conflicts
                    .lock()
                    .push(format!("{name}: registered twice with different types or labels")),
            }
            return MetricVec::new(Arc::new(Children::new(labels, options)));
        }
        let children = Arc::new(Children::new(labels, options));
        let registered =
            Registered { help: help.to_owned(), kind: T::KIND, children: T::wrap(Arc::clone(&children)) };
        families.insert(name.to_owned(), registered);
        MetricVec::new(children)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("families", &self.0.families.read().len()).finish_non_exhaustive()
    }
}

fn lint_family(family: &Family, problems: &mut Vec<String>) {
    let name = &family.name;
    if !is_legacy_metric_name(name) || name.contains(':') {
        problems.push(format!("{name:?}: not a metric name"));
    }
    if family.help.trim() != family.help || family.help.is_empty() {
        problems.push(format!("{name}: help is missing or has blanks around it"));
    }
    let total = name.ends_with("_total");
    match family.kind {
        MetricKind::Counter if !total => problems.push(format!("{name}: a counter's name ends in _total")),
        MetricKind::Counter => {}
        _ if total => problems.push(format!("{name}: only a counter's name ends in _total")),
        _ => {}
    }
    let own = matches!(family.kind, MetricKind::Histogram | MetricKind::Summary);
    if own && ["_bucket", "_sum", "_count"].iter().any(|suffix| name.ends_with(suffix)) {
        problems.push(format!("{name}: ends like one of its own series"));
    }
    for metric in &family.metrics {
        for (label, _) in &metric.labels {
            lint_label(name, family.kind, label, problems);
        }
    }
}

fn lint_label(name: &str, kind: MetricKind, label: &str, problems: &mut Vec<String>) {
    let reserved = match kind {
        MetricKind::Histogram => label == "le",
        MetricKind::Summary => label == "quantile",
        _ => false,
    };
    if !is_legacy_label_name(label) || label.starts_with("__") || reserved {
        problems.push(format!("{name}: label name {label:?} is not allowed"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::MetricValue::{self, Float};

    fn value(registry: &Registry, name: &str) -> Vec<(String, MetricValue)> {
        let families = registry.gather();
        let family = families.into_iter().find(|family| family.name == name).unwrap();
        family.metrics.into_iter().map(|metric| (metric.labels.to_string(), metric.value)).collect()
    }

    #[test]
    fn the_same_name_is_the_same_metric() {
        let registry = Registry::new();
        registry.counter("a_total", "A.").inc();
        registry.counter("a_total", "A.").add(2.5);
        assert_eq!(value(&registry, "a_total"), [("{}".to_owned(), Float(3.5))]);
        assert!(registry.lint().is_empty());
    }

    #[test]
    fn a_name_registered_as_something_else_is_reported_and_not_gathered() {
        let registry = Registry::new();
        registry.counter("a_total", "A.").inc();
        registry.gauge("a_total", "A.").set(7.0);
        let _ = registry.counter_vec("a_total", "A.", &["x"]).with(&["1"]);
        assert_eq!(value(&registry, "a_total"), [("{}".to_owned(), Float(1.0))]);
        assert_eq!(registry.lint().len(), 2);
    }

    #[test]
    fn a_counter_never_falls() {
        let counter = Registry::new().counter("a_total", "A.");
        counter.add(-1.0);
        counter.add(f64::NAN);
        assert_eq!(counter.get(), 0.0);
        counter.add(1e300);
        assert_eq!(counter.get(), 1e300);
    }

    #[test]
    fn children_are_shared_sorted_and_removable() {
        let registry = Registry::new();
        let by_code = registry.gauge_vec("g", "G.", &["code", "method"]);
        by_code.with(&["500", "get"]).set(1.0);
        by_code.with(&["200", "put"]).inc();
        by_code.with(&["200", "put"]).inc();
        by_code.with(&["200", "get"]).sub(1.0);
        assert!(by_code.remove(&["500", "get"]));
        assert!(!by_code.remove(&["500", "get"]));
        let got = value(&registry, "g");
        assert_eq!(got.iter().map(|(_, v)| v.clone()).collect::<Vec<_>>(), [Float(-1.0), Float(2.0)]);
        assert_eq!(got[0].0, r#"{code="200", method="get"}"#);
    }

    #[test]
    fn a_family_without_metrics_is_left_out() {
        let registry = Registry::new();
        let _unused = registry.counter_vec("a_total", "A.", &["x"]);
        assert_eq!(registry.gather(), []);
    }

    #[test]
    fn histogram_buckets_are_cumulative_and_bounds_inclusive() {
        let registry = Registry::new();
        let histogram = registry.histogram("h", "H.", &[1.0, 2.0, f64::INFINITY]);
        for v in [0.5, 1.0, 1.5, 3.0] {
            histogram.observe(v);
        }
        let buckets = vec![(1.0, 2), (2.0, 3), (f64::INFINITY, 4)];
        assert_eq!(value(&registry, "h")[0].1, MetricValue::Histogram { buckets, sum: 6.0, count: 4 });
        histogram.observe(f64::NAN);
        assert_eq!(histogram.count(), 5);
        assert!(histogram.sum().is_nan());
    }

    #[test]
    fn summaries_give_quantiles_sum_and_count() {
        let registry = Registry::new();
        let summary = registry.summary("s_seconds", "S.", &[0.9, 0.5]);
        for i in 1..=100 {
            summary.observe(f64::from(i));
        }
        let (_, MetricValue::Summary { quantiles, sum, count }) = value(&registry, "s_seconds").remove(0)
        else {
            panic!("not a summary")
        };
        assert_eq!((sum, count), (5050.0, 100));
        assert_eq!(quantiles.iter().map(|q| q.0).collect::<Vec<_>>(), [0.5, 0.9]);
        assert!((45.0..=55.0).contains(&quantiles[0].1), "{quantiles:?}");
        assert!((89.0..=91.0).contains(&quantiles[1].1), "{quantiles:?}");
    }

    #[test]
    fn collected_families_join_registered_ones() {
        let registry = Registry::new();
        registry.info("x_build_info", "Build.", &[("version", "1"), ("branch", "main")]);
        registry.gauge_fn("b", "B.", || 2.0);
        registry.collector(|out| {
            out.push(
                Family::new("c_total", "C.", MetricKind::Counter).with(Labels::from_pairs([("x", "2")]), 2.0),
            );
            out.push(
                Family::new("c_total", "C.", MetricKind::Counter).with(Labels::from_pairs([("x", "1")]), 1.0),
            );
        });
        let names: Vec<String> = registry.gather().into_iter().map(|family| family.name).collect();
        assert_eq!(names, ["b", "c_total", "x_build_info"]);
        assert_eq!(value(&registry, "c_total")[0], (r#"{x="1"}"#.to_owned(), Float(1.0)));
        assert!(registry.lint().is_empty());
    }

    #[test]
    fn lint_finds_what_is_against_the_conventions() {
        type Case = (&'static str, fn(&Registry));
        let cases: [Case; 9] = [
            ("a counter's name ends in _total", |r| drop(r.counter("a", "A."))),
            ("only a counter's name ends in _total", |r| drop(r.gauge("a_total", "A."))),
            ("help is missing", |r| drop(r.gauge("a", ""))),
            ("not a metric name", |r| drop(r.gauge("a b", "A."))),
            ("not a metric name", |r| drop(r.gauge("a:b", "A."))),
            ("label name \"le\" is not allowed", |r| drop(r.histogram_vec("a", "A.", &["le"], &[]))),
            ("label name \"__x\" is not allowed", |r| drop(r.gauge_vec("a", "A.", &["__x"]))),
            ("ends like one of its own series", |r| drop(r.summary("a_count", "A.", &[]))),
            ("different types or help texts", |r| {
                r.gauge_fn("a", "A.", || 1.0);
                r.gauge_fn("a", "B.", || 1.0);
            }),
        ];
        for (problem, register) in cases {
            let registry = Registry::new();
            register(&registry);
            let found = registry.lint();
            assert!(found.len() == 1 && found[0].contains(problem), "{problem}: {found:?}");
        }
    }
}
