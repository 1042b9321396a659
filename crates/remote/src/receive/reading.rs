//! What both versions of the protocol need while a request is read.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use model::{Labels, SortedLabels};
use storage::{
    Affinity, Append, AppendError, BatchHistogram, BatchSample, SeriesCache, SeriesKey, SeriesLookups,
    SeriesRef, TOO_FAR_AHEAD,
};

use super::ReceiverOptions;
use super::incoming::{Incoming, Phase};
use super::wire_labels::{BadLabels, Pair, labels_of};
use crate::histogram::WireHistogram;

pub(super) struct Reading<'a> {
    pub(super) incoming: &'a mut Incoming,
    pub(super) cache: &'a SeriesCache,
    pub(super) lookups: SeriesLookups<'a>,
    pub(super) store: &'a dyn Append,
    pub(super) options: &'a ReceiverOptions,
    /// What is later than that is refused.
    pub(super) max_time: i64,
    /// Series that were not known.
    pub(super) found: Vec<(SeriesKey, SeriesRef)>,
    /// Why series could not be created.
    pub(super) limited: Option<String>,
    /// Why nothing can be stored.
    pub(super) failed: Option<AppendError>,
    pub(super) builder: SortedLabels,
    pub(super) current: SeriesRef,
    /// When the counting of the newest series' samples began.
    pub(super) starts: Vec<Start>,
    /// Of series with zeros, the newest sample of this request.
    pub(super) newest: HashMap<SeriesRef, i64, FixedState>,
}

/// A zero to store before a sample or a histogram of the batch.
pub(super) struct Start {
    pub(super) t: i64,
    pub(super) before: usize,
    pub(super) is_histogram: bool,
}

impl Reading<'_> {
    #[inline]
    pub(super) fn sample(&mut self, t: i64, v: f64, start_time: i64) {
        if t > self.max_time {
            return self.incoming.complain(Phase::Samples, TOO_FAR_AHEAD.to_owned());
        }
        if self.options.start_zeros && start_time != 0 && t != 0 && start_time < t {
            let before = self.incoming.batch.samples.len();
            self.starts.push(Start { t: start_time, before, is_histogram: false });
        }
        self.incoming.sample(t, v);
    }

    pub(super) fn histogram(&mut self, wire: WireHistogram) {
        let (t, start_time) = (wire.t, wire.start_time);
        if t > self.max_time {
            return self.incoming.complain(Phase::Histograms, TOO_FAR_AHEAD.to_owned());
        }
        match wire.into_value() {
            Ok(value) => {
                if self.options.start_zeros && start_time != 0 && t != 0 && start_time < t {
                    let before = self.incoming.batch.histograms.len();
                    self.starts.push(Start { t: start_time, before, is_histogram: true });
                }
                self.incoming.histogram(t, value);
            }
            Err(why) => self.incoming.complain(Phase::Histograms, why),
        }
    }

    pub(super) fn exemplar(&mut self, labels: Labels, t: i64, v: f64) {
        // Prometheus notes that in its log alone.
        if t <= self.max_time {
            self.incoming.exemplar(labels, t, v);
        }
    }

    /// Whether the newest series is one that was written before.
    #[inline]
    pub(super) fn knows(&mut self, key: Option<SeriesKey>) -> bool {
        let Some(known) = key.and_then(|key| self.lookups.find(key)) else { return false };
        self.current = known.series();
        self.assign_newest();
        true
    }

    /// Whether that was not said of the series before.
    pub(super) fn is_news(&self, key: Option<SeriesKey>, said: SeriesKey) -> bool {
        key.and_then(|key| self.lookups.find(key)).is_none_or(|known| known.is_news(said.short()))
    }

    pub(super) fn check(&mut self, pairs: &mut [Pair<'_>]) -> Result<Labels, BadLabels> {
        labels_of(pairs, &mut self.builder)
    }

    /// Finds or creates the newest series.
    pub(super) fn resolve(
        &mut self,
        key: Option<SeriesKey>,
        pairs: &mut [Pair<'_>],
    ) -> Result<(), BadLabels> {
        let labels = self.check(pairs)?;
        match self.store.resolve(Affinity::of_target(&labels), &labels) {
            Ok(resolved) => {
                self.current = resolved.series;
                self.found.extend(key.map(|key| (key, resolved.series)));
                self.assign_newest();
            }
            Err(refused) => {
                self.incoming.drop_newest();
                self.starts.clear();
                match refused {
                    AppendError::SeriesLimit(why) => self.limited = Some(why),
                    other => self.failed = Some(other),
                }
            }
        }
        Ok(())
    }

    /// Puts what the newest series has under its reference.
    pub(super) fn assign_newest(&mut self) {
        if !self.starts.is_empty() {
            self.place_zeros();
        }
        self.incoming.is(self.current);
    }

    /// Zeros at times at which counting began. Those that come before all that the request has of the series are appended
    /// before it; where counting began anew in between they stand between the samples.
    fn place_zeros(&mut self) {
        let Self { incoming, newest, starts, current, .. } = self;
        let Some(span) = incoming.series.last() else { return };
        let series = *current;
        let (from, from_histograms) = (span.samples as usize, span.histograms as usize);
        let Incoming { batch, zeros, zeros_between, zeros_between_histograms, .. } = &mut **incoming;
        let mut starts = starts.drain(..).peekable();
        for (number, sample) in (from..).zip(batch.samples.split_off(from)) {
            let start = starts.next_if(|start| !start.is_histogram && start.before == number);
            match (start, newest.get(&series)) {
                (Some(Start { t, .. }), None) => zeros.samples.push(BatchSample { series, t, v: 0.0 }),
                (Some(Start { t, .. }), Some(&before)) if t > before => {
                    zeros_between.push(batch.samples.len() as u32);
                    batch.samples.push(BatchSample { series, t, v: 0.0 });
                }
                _ => {}
            }
            note_time(newest, series, sample.t);
            batch.samples.push(sample);
        }
        for (number, histogram) in (from_histograms..).zip(batch.histograms.split_off(from_histograms)) {
            let start = starts.next_if(|start| start.is_histogram && start.before == number);
            let zero = |t| BatchHistogram { series, t, start_time: 0, value: histogram.value.zero() };
            match (start, newest.get(&series)) {
                (Some(Start { t, .. }), None) => zeros.histograms.push(zero(t)),
                (Some(Start { t, .. }), Some(&before)) if t > before => {
                    zeros_between_histograms.push(batch.histograms.len() as u32);
                    batch.histograms.push(zero(t));
                }
                _ => {}
            }
            note_time(newest, series, histogram.t);
            batch.histograms.push(histogram);
        }
    }

    /// What was said of samples of a series that nothing is stored of does not matter.
    pub(super) fn forget_complaints(&mut self) {
        self.starts.clear();
        let newest = self.incoming.series.len().saturating_sub(1) as u32;
        self.incoming.complaints.retain(|complaint| complaint.series != newest);
    }
}

fn note_time(newest: &mut HashMap<SeriesRef, i64, FixedState>, series: SeriesRef, t: i64) {
    newest.entry(series).and_modify(|newest| *newest = t.max(*newest)).or_insert(t);
}
