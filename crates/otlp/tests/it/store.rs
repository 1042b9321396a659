//! A receiver in front of a store in a temporary directory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use exposition::{MetricValue, Registry};
use model::number::push_api_value;
use model::{FloatHistogram, MatchOp, Matcher};
use otlp::{Answer, Receiver, ReceiverOptions, Translation};
use serde_json::{Value, json};
use storage::{ChunkView, MemoryBudget, Projection, QueryContext, Request, Select as _};
use tsdb::{Db, DbOptions, HeadOptions};

pub(crate) const JSON: &str = "application/json";
pub(crate) const PROTOBUF: &str = "application/x-protobuf";

/// The time at which requests arrive, unless they say so themselves: long after their samples.
pub(crate) const NOW: i64 = 1_790_000_000_000;

/// Series as the API shows them.
pub(crate) type Content = BTreeMap<String, Value>;

pub(crate) struct Server {
    pub(crate) receiver: Receiver,
    pub(crate) registry: Registry,
    pub(crate) db: Arc<Db>,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn new(options: ReceiverOptions, translation: Translation) -> Self {
        let head = HeadOptions {
            out_of_order_window: Duration::from_secs(1000 * 24 * 3600),
            metadata_wal_records: true,
            exemplars: true,
            max_exemplars: 1000,
            ..HeadOptions::default()
        };
        Self::with_head(options, translation, head)
    }

    pub(crate) fn with_head(options: ReceiverOptions, translation: Translation, head: HeadOptions) -> Self {
        let (dir, registry) = (tempfile::tempdir().unwrap(), Registry::new());
        let db = Db::open(dir.path(), DbOptions { head, ..DbOptions::default() }, &registry).unwrap();
        let db = Arc::new(db);
        let receiver = Receiver::new(db.clone(), options, &MemoryBudget::new(0), &registry);
        receiver.apply(translation);
        Server { receiver, registry, db, _dir: dir }
    }

    pub(crate) fn post(&self, content_type: &str, body: &[u8]) -> Answer {
        self.receiver.receive("", content_type, body, NOW)
    }

    pub(crate) fn post_json(&self, request: &Value) -> (u16, String) {
        let Answer { status, text } = self.post(JSON, request.to_string().as_bytes());
        (status, text.unwrap_or_default())
    }

    /// The value of a metric of the server's own without labels, or with that one label value.
    pub(crate) fn metric(&self, name: &str, label: Option<&str>) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let of = |metric: &&exposition::Metric| {
            label.is_none_or(|label| metric.labels.iter().any(|(_, v)| v == label))
        };
        match family.metrics.iter().find(of).map(|metric| &metric.value) {
            Some(MetricValue::Float(v)) => *v,
            _ => 0.0,
        }
    }

    /// All series by their labels; what has ended is not shown, as with queries.
    pub(crate) fn content(&self) -> Content {
        let matchers = [Matcher::new(MatchOp::NotEqual, "__nothing__", "x").unwrap()];
        let request = Request {
            matchers: &matchers,
            min_time: i64::MIN,
            max_time: i64::MAX,
            labels: Projection::All,
            newest: None,
        };
        let mut content = Content::new();
        for mut part in self.db.select(&QueryContext::unlimited(), &request).unwrap() {
            while let Some(series) = part.next().unwrap() {
                let (mut floats, mut native) = (BTreeMap::new(), BTreeMap::new());
                for chunk in series.chunks.iter() {
                    let mut histograms = Vec::new();
                    chunk.histograms(&mut histograms).unwrap();
                    native.extend(histograms.into_iter().map(|h| (h.t, h.histogram)));
                    match *chunk {
                        ChunkView::Encoded { encoding, samples, bytes, .. } if encoding.is_float() => {
                            let mut columns = chunk::Columns::default();
                            chunk::decode(encoding, bytes, samples, &mut columns).unwrap();
                            floats.extend(columns.times.into_iter().zip(columns.values));
                        }
                        ChunkView::Samples(all) => floats.extend(all.iter().map(|s| (s.t, s.v))),
                        ChunkView::Encoded { .. } | ChunkView::Histograms(_) => {}
                    }
                }
                let labels: BTreeMap<&str, &str> = series.labels.iter().collect();
                let shown = shown(&labels, &floats, native);
                if shown.as_object().unwrap().len() > 1 {
                    content.insert(json!(labels).to_string(), shown);
                }
            }
        }
        content
    }
}

fn shown(
    labels: &BTreeMap<&str, &str>,
    floats: &BTreeMap<i64, f64>,
    native: BTreeMap<i64, Arc<FloatHistogram>>,
) -> Value {
    let seconds = |t: i64| if t % 1000 == 0 { json!(t / 1000) } else { json!(t as f64 / 1000.0) };
    let floats = floats.iter().filter(|(_, v)| !model::is_stale(**v));
    let values: Vec<Value> = floats.map(|(&t, &v)| json!([seconds(t), number(v)])).collect();
    let native = native.into_iter().filter(|(_, h)| !model::is_stale(h.sum));
    let histograms: Vec<Value> = native.map(|(t, h)| json!([seconds(t), histogram(&h)])).collect();
    let mut series = json!({ "labels": labels });
    if !values.is_empty() {
        series["values"] = values.into();
    }
    if !histograms.is_empty() {
        series["histograms"] = histograms.into();
    }
    series
}

fn number(v: f64) -> String {
    let mut out = String::new();
    push_api_value(&mut out, v);
    out
}

fn histogram(h: &FloatHistogram) -> Value {
    let bucket = |b: model::histogram::Bucket| {
        let kind = match (b.lower_inclusive, b.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        json!([kind, number(b.lower), number(b.upper), number(b.count)])
    };
    let buckets: Vec<Value> = h.buckets().filter(|b| b.count != 0.0).map(bucket).collect();
    let mut shown = json!({ "count": number(h.count), "sum": number(h.sum) });
    if !buckets.is_empty() {
        shown["buckets"] = buckets.into();
    }
    shown
}
