//! Classic histograms as native ones with custom bounds.

use std::collections::BTreeMap;

use model::histogram::CUSTOM_BUCKETS;
use model::{FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, number};

use super::script::LoadedSeries;

/// What a classic histogram has at one time.
#[derive(Default)]
struct Classic {
    /// Upper bound and cumulative count, ascending.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms of all classic ones among `series`.
pub(super) fn from_classic(series: &[LoadedSeries]) -> Vec<LoadedSeries> {
    let mut all: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for s in series {
        let name = s.labels.value(METRIC_NAME);
        let of = |name: &str| LabelsBuilder::new(&s.labels).set(METRIC_NAME, name).del("le").build();
        let bound = number::parse_float(s.labels.value("le")).filter(|b| !b.is_nan());
        let mut each = |name: &str, f: &dyn Fn(&mut Classic, f64)| {
            let times = all.entry(of(name)).or_default();
            for sample in &s.floats {
                f(times.entry(sample.t).or_default(), sample.v);
            }
        };
        if let (Some(name), Some(bound)) = (name.strip_suffix("_bucket"), bound) {
            each(name, &|classic, v| classic.buckets.push((bound, v)));
        } else if let (Some(name), None) = (name.strip_suffix("_count"), s.labels.get("le")) {
            each(name, &|classic, v| classic.count = Some(v));
        } else if let (Some(name), None) = (name.strip_suffix("_sum"), s.labels.get("le")) {
            each(name, &|classic, v| classic.sum = v);
        }
    }
    let native = |(labels, times): (Labels, BTreeMap<i64, Classic>)| LoadedSeries {
        labels,
        floats: Vec::new(),
        starts: Vec::new(),
        histograms: times.into_iter().map(|(t, classic)| (t, classic.into_native())).collect(),
    };
    all.into_iter().map(native).collect()
}

impl Classic {
    fn into_native(mut self) -> FloatHistogram {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let count = self.count.or_else(|| self.buckets.last().map(|b| b.1)).unwrap_or(0.0);
        let finite: Vec<(f64, f64)> = self.buckets.into_iter().filter(|b| b.0.is_finite()).collect();
        let cumulative = finite.iter().map(|b| b.1).chain([count]);
        let mut below = 0.0;
        let mut positive = Vec::new();
        for (index, reached) in (0..).zip(cumulative) {
            positive.push((index, reached - below));
            below = reached;
        }
        let mut native = FloatHistogram {
            schema: CUSTOM_BUCKETS,
            count,
            sum: self.sum,
            positive,
            custom_values: finite.iter().map(|b| b.0).collect(),
            ..FloatHistogram::default()
        };
        native.compact();
        native
    }
}
