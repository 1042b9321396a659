//! A store in plain memory: for tests, rule unit tests and small tools.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::histogram::{FloatHistogram, HistogramSample};
use model::{Labels, METRIC_NAME, MatchOp, Matcher, Sample};
use parking_lot::RwLock;

use crate::{
    Affinity, Append, AppendError, Batch, ChunkView, Outcome, Projection, QueryContext, Rejection, Request,
    Resolved, Select, SelectError, SeriesPart, SeriesRef, SeriesSamples, SeriesView,
};

/// Answers with fewer series than this come in one part: splitting them would cost more than it saves.
const SERIES_PER_PART: usize = 64;

/// Series in order of their labels, samples in order of time. Nothing is ever dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_labels: BTreeMap<Labels, usize>,
    /// Nearly every selector has a name.
    by_name: HashMap<String, BTreeMap<Labels, usize>>,
    series: Vec<Stored>,
}

#[derive(Debug)]
struct Stored {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
}

/// What a part delivers of a series.
#[derive(Default)]
struct Delivered {
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores samples of one series. They must be newer than those that the series has.
    ///
    /// # Errors
    /// Names the first sample that was refused and why; those before it are stored.
    pub fn insert(
        &self,
        labels: &Labels,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<(), (Sample, Rejection)> {
        let mut inner = self.inner.write();
        let (at, _) = inner.resolve(labels);
        for sample in samples {
            inner.push(at, sample).map_err(|rejection| (sample, rejection))?;
        }
        Ok(())
    }

    /// Stores native histograms of one series, as [`insert`](Self::insert) stores floats. What is known about counter
    /// resets is noted as a block does.
    ///
    /// # Errors
    /// Time and reason of the first sample that was refused; those before it are stored.
    pub fn insert_histograms(
        &self,
        labels: &Labels,
        samples: impl IntoIterator<Item = (i64, FloatHistogram)>,
    ) -> Result<(), (i64, Rejection)> {
        let mut inner = self.inner.write();
        let (at, _) = inner.resolve(labels);
        for (t, histogram) in samples {
            inner.push_histogram(at, t, histogram).map_err(|rejection| (t, rejection))?;
        }
        Ok(())
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.inner.read().series.len()
    }

    /// Takes everything out, in order of labels.
    pub fn take(&self) -> Vec<SeriesSamples> {
        let Inner { by_labels, mut series, .. } = std::mem::take(&mut *self.inner.write());
        let taken = by_labels.into_iter().filter_map(|(labels, at)| {
            let stored = series.get_mut(at)?;
            let (samples, histograms) =
                (std::mem::take(&mut stored.samples), std::mem::take(&mut stored.histograms));
            Some(SeriesSamples { labels, samples, histograms })
        });
        taken.collect()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.inner.write() = Inner::default();
    }
}

impl Inner {
    fn resolve(&mut self, labels: &Labels) -> (usize, bool) {
        if let Some(&at) = self.by_labels.get(labels) {
            return (at, false);
        }
        let at = self.series.len();
        self.series.push(Stored { labels: labels.clone(), samples: Vec::new(), histograms: Vec::new() });
        self.by_labels.insert(labels.clone(), at);
        let name = labels.value(METRIC_NAME).to_owned();
        self.by_name.entry(name).or_default().insert(labels.clone(), at);
        (at, true)
    }

    /// Whether a sample was added; the newest sample over again is accepted without being stored twice.
    fn push(&mut self, at: usize, sample: Sample) -> Result<bool, Rejection> {
        let Some(series) = self.series.get_mut(at) else { return Err(Rejection::UnknownSeries) };
        match series.samples.last() {
            Some(last) if sample.t < last.t => Err(Rejection::OutOfOrder),
            Some(last) if sample.t == last.t && sample.v.to_bits() == last.v.to_bits() => Ok(false),
            Some(last) if sample.t == last.t => Err(Rejection::Duplicate),
            _ => {
                series.samples.push(sample);
                Ok(true)
            }
        }
    }

    fn push_histogram(&mut self, at: usize, t: i64, mut histogram: FloatHistogram) -> Result<(), Rejection> {
        let Some(series) = self.series.get_mut(at) else { return Err(Rejection::UnknownSeries) };
        let previous = series.histograms.last();
        match previous {
            Some(last) if t < last.t => return Err(Rejection::OutOfOrder),
            Some(last) if t == last.t => return Err(Rejection::Duplicate),
            _ => {}
        }
        // A marker or a float in between begins a new chunk.
        let floats_before = |t: i64| series.samples.partition_point(|s| s.t <= t);
        let adjacent = previous.filter(|p| floats_before(p.t) == floats_before(t));
        histogram.reset = histogram.stored_reset(adjacent.map(|p| &*p.histogram));
        series.histograms.push(HistogramSample { t, histogram: Arc::new(histogram) });
        Ok(())
    }

    /// Series that match, in order of labels.
    fn matching<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = &'a Stored> {
        let name = matchers.iter().find(|m| m.op == MatchOp::Equal && &*m.name == METRIC_NAME);
        let candidates = match name {
            Some(name) => self.by_name.get(&*name.value),
            None => Some(&self.by_labels),
        };
        candidates
            .into_iter()
            .flatten()
            .filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels)))
            .filter_map(|(_, &at)| self.series.get(at))
    }
}

impl Stored {
    fn between(&self, min_time: i64, max_time: i64) -> &[Sample] {
        let from = self.samples.partition_point(|s| s.t < min_time);
        let to = self.samples.partition_point(|s| s.t <= max_time);
        self.samples.get(from..to).unwrap_or_default()
    }

    fn histograms_between(&self, min_time: i64, max_time: i64) -> &[HistogramSample] {
        let from = self.histograms.partition_point(|s| s.t < min_time);
        let to = self.histograms.partition_point(|s| s.t <= max_time);
        self.histograms.get(from..to).unwrap_or_default()
    }

    fn has_any(&self, min_time: i64, max_time: i64) -> bool {
        !self.between(min_time, max_time).is_empty()
            || !self.histograms_between(min_time, max_time).is_empty()
    }
}

impl Append for MemoryStore {
    fn resolve(&self, _affinity: Affinity, labels: &Labels) -> Result<Resolved, AppendError> {
        let (at, created) = self.inner.write().resolve(labels);
        Ok(Resolved { series: SeriesRef(at as u64), created })
    }

    fn append(&self, batch: &Batch, outcome: &mut Outcome) -> Result<(), AppendError> {
        outcome.appended = 0;
        outcome.rejected.clear();
        let mut inner = self.inner.write();
        for (i, sample) in batch.samples.iter().enumerate() {
            let at = usize::try_from(sample.series.0).unwrap_or(usize::MAX);
            match inner.push(at, Sample { t: sample.t, v: sample.v }) {
                Ok(_) => outcome.appended += 1,
                Err(rejection) => outcome.rejected.push((i as u32, rejection)),
            }
        }
        outcome.appended_histograms = 0;
        outcome.rejected_histograms.clear();
        for (i, histogram) in batch.histograms.iter().enumerate() {
            let at = usize::try_from(histogram.series.0).unwrap_or(usize::MAX);
            match inner.push_histogram(at, histogram.t, histogram.value.to_float()) {
                Ok(()) => outcome.appended_histograms += 1,
                Err(rejection) => outcome.rejected_histograms.push((i as u32, rejection)),
            }
        }
        Ok(())
    }
}

/// A copy of what a part delivers: the view is fixed when `select` returns.
struct MemoryPart {
    series: std::vec::IntoIter<(Labels, Delivered)>,
    current: Delivered,
}

impl SeriesPart for MemoryPart {
    fn next(&mut self) -> Result<Option<SeriesView<'_>>, SelectError> {
        let Some((labels, delivered)) = self.series.next() else { return Ok(None) };
        self.current = delivered;
        let mut chunks = Vec::with_capacity(2);
        if !self.current.samples.is_empty() {
            chunks.push(ChunkView::Samples(&self.current.samples));
        }
        if !self.current.histograms.is_empty() {
            chunks.push(ChunkView::Histograms(&self.current.histograms));
        }
        Ok(Some(SeriesView::new(labels, chunks)))
    }

    fn size_hint(&self) -> usize {
        self.series.len()
    }
}

fn project(labels: &Labels, projection: Projection<'_>) -> Labels {
    match projection {
        Projection::All => labels.clone(),
        Projection::Only(names) => labels.filter(|n| names.binary_search(&n).is_ok()),
        Projection::Without(names) => labels.filter(|n| names.binary_search(&n).is_err()),
    }
}

impl Select for MemoryStore {
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        ctx.check()?;
        let inner = self.inner.read();
        let mut answer: Vec<(Labels, Delivered)> = Vec::new();
        for series in inner.matching(request.matchers) {
            let mut samples = series.between(request.min_time, request.max_time);
            let last_only = request.newest == Some(crate::Newest::Last);
            if last_only && samples.len() > 1 {
                samples = samples.get(samples.len() - 1..).unwrap_or_default();
            }
            let mut histograms = series.histograms_between(request.min_time, request.max_time);
            if last_only && histograms.len() > 1 {
                histograms = histograms.get(histograms.len() - 1..).unwrap_or_default();
            }
            if !samples.is_empty() || !histograms.is_empty() {
                let delivered = Delivered { samples: samples.to_vec(), histograms: histograms.to_vec() };
                answer.push((project(&series.labels, request.labels), delivered));
            }
        }
        let mut parts: Vec<Box<dyn SeriesPart + '_>> = Vec::new();
        while !answer.is_empty() {
            let rest = answer.split_off(answer.len().min(SERIES_PER_PART));
            parts.push(Box::new(MemoryPart { series: answer.into_iter(), current: Delivered::default() }));
            answer = rest;
        }
        Ok(parts)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        ctx.check()?;
        let inner = self.inner.read();
        let mut names: Vec<String> = inner
            .matching(matchers)
            .filter(|series| series.has_any(min_time, max_time))
            .flat_map(|series| series.labels.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>())
            .collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        ctx.check()?;
        let inner = self.inner.read();
        let mut values: Vec<String> = inner
            .matching(matchers)
            .filter(|series| series.has_any(min_time, max_time))
            .filter_map(|series| series.labels.get(name).map(str::to_owned))
            .collect();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        assert_eq!(crate::conformance::check(MemoryStore::new), Ok(()));
    }
}
