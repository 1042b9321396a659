//! A store in a temporary directory, filled and read by tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use exposition::Registry;
use model::histogram::HistogramValue;
use model::{Labels, MatchOp, Matcher};
use storage::{
    Affinity, Append as _, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, ChunkView,
    Metadata, Outcome, Projection, QueryContext, Request, Select, SelectError,
};
use tsdb::{Db, DbOptions, HeadOptions};

/// Values by labels, each as text with its time.
pub(crate) type Content = BTreeMap<String, Vec<(i64, String)>>;

pub(crate) struct Store {
    pub(crate) db: Arc<Db>,
    pub(crate) registry: Registry,
}

pub(crate) fn labels(name: &str, number: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "j"), ("number", &number.to_string())])
}

impl Store {
    pub(crate) fn open(dir: &Path) -> Store {
        let head = HeadOptions {
            exemplars: true,
            metadata_wal_records: true,
            wal_segment_size: 32 * 1024,
            ..HeadOptions::default()
        };
        Store::open_with(dir, head)
    }

    pub(crate) fn open_with(dir: &Path, head: HeadOptions) -> Store {
        let registry = Registry::new();
        let db = Db::open(dir, DbOptions { head, ..DbOptions::default() }, &registry).unwrap();
        Store { db: Arc::new(db), registry }
    }

    /// One sample for each of so many series.
    pub(crate) fn append(&self, name: &str, series: usize, t: i64) {
        let mut batch = Batch::default();
        for number in 0..series {
            let resolved = self.db.resolve(Affinity(7), &labels(name, number)).unwrap();
            batch.samples.push(BatchSample { series: resolved.series, t, v: number as f64 + t as f64 / 1e3 });
        }
        self.append_batch(&batch);
    }

    pub(crate) fn append_batch(&self, batch: &Batch) {
        let mut outcome = Outcome::default();
        self.db.append(batch, &mut outcome).unwrap();
        assert!(outcome.rejected.is_empty() && outcome.rejected_histograms.is_empty(), "{outcome:?}");
    }

    pub(crate) fn append_histogram(&self, labels: &Labels, t: i64, value: HistogramValue) {
        let series = self.db.resolve(Affinity(7), labels).unwrap().series;
        let histograms = vec![BatchHistogram { series, t, start_time: 0, value }];
        self.append_batch(&Batch { histograms, ..Batch::default() });
    }

    pub(crate) fn append_exemplar(&self, of: &Labels, labels: &Labels, t: i64, v: f64) {
        let series = self.db.resolve(Affinity(7), of).unwrap().series;
        let exemplars = vec![BatchExemplar { series, labels: labels.clone(), t, timed: true, v }];
        self.append_batch(&Batch { exemplars, ..Batch::default() });
    }

    pub(crate) fn describe(&self, of: &Labels, metadata: Metadata) {
        let series = self.db.resolve(Affinity(7), of).unwrap().series;
        let metadata = vec![BatchMetadata { series, metadata }];
        self.append_batch(&Batch { metadata, ..Batch::default() });
    }

    /// All that is in it.
    pub(crate) fn content(&self) -> Content {
        let matchers = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
        content_of(&*self.db, &QueryContext::unlimited(), &matchers).unwrap()
    }
}

/// All that matches.
pub(crate) fn content_of(
    store: &dyn Select,
    ctx: &QueryContext,
    matchers: &[Matcher],
) -> Result<Content, SelectError> {
    let request =
        Request { matchers, min_time: i64::MIN, max_time: i64::MAX, labels: Projection::All, newest: None };
    let mut content = Content::new();
    for mut part in store.select(ctx, &request)? {
        while let Some(series) = part.next()? {
            let mut samples = Vec::new();
            for chunk in series.chunks.iter() {
                let mut histograms = Vec::new();
                chunk.histograms(&mut histograms).unwrap();
                samples.extend(histograms.iter().map(|h| (h.t, format!("{:?}", plain(&h.histogram)))));
                match *chunk {
                    ChunkView::Encoded { encoding, samples: count, bytes, .. } if encoding.is_float() => {
                        let mut columns = chunk::Columns::default();
                        chunk::decode(encoding, bytes, count, &mut columns).unwrap();
                        let values = columns.values.iter().map(f64::to_string);
                        samples.extend(columns.times.iter().copied().zip(values));
                    }
                    ChunkView::Samples(all) => samples.extend(all.iter().map(|s| (s.t, s.v.to_string()))),
                    ChunkView::Encoded { .. } | ChunkView::Histograms(_) => {}
                }
            }
            samples.sort();
            if !samples.is_empty() {
                content.insert(series.labels.to_string(), samples);
            }
        }
    }
    Ok(content)
}

/// What is known about counter resets is each store's own business.
fn plain(histogram: &model::FloatHistogram) -> model::FloatHistogram {
    model::FloatHistogram { reset: Default::default(), ..histogram.clone() }
}
