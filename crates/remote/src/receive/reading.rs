//! What both versions of the protocol need while a request is read.

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
}

/// A zero to store: a sample or, with a number, that histogram of the batch.
pub(super) struct Start {
    pub(super) t: i64,
    pub(super) histogram: Option<usize>,
}

impl Reading<'_> {
    #[inline]
    pub(super) fn sample(&mut self, t: i64, v: f64, start_time: i64) {
        if t > self.max_time {
            return self.incoming.complain(Phase::Samples, TOO_FAR_AHEAD.to_owned());
        }
        if self.options.start_zeros && start_time != 0 && t != 0 && start_time < t {
            self.starts.push(Start { t: start_time, histogram: None });
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
                    let number = self.incoming.batch.histograms.len();
                    self.starts.push(Start { t: start_time, histogram: Some(number) });
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
        self.incoming.is(self.current);
        for Start { t, histogram } in self.starts.drain(..) {
            let (series, zeros) = (self.current, &mut self.incoming.zeros);
            match histogram.and_then(|number| self.incoming.batch.histograms.get(number)) {
                Some(of) => {
                    zeros.histograms.push(BatchHistogram {
                        series,
                        t,
                        start_time: 0,
                        value: of.value.zero(),
                    });
                }
                None => zeros.samples.push(BatchSample { series, t, v: 0.0 }),
            }
        }
    }

    /// What was said of samples of a series that nothing is stored of does not matter.
    pub(super) fn forget_complaints(&mut self) {
        self.starts.clear();
        let newest = self.incoming.series.len().saturating_sub(1) as u32;
        self.incoming.complaints.retain(|complaint| complaint.series != newest);
    }
}
