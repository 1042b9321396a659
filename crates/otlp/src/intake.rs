//! The content of one request on its way into the store, in the order in which Prometheus would append it.

use storage::{
    Append, AppendError, Batch, BatchHistogram, BatchSample, Outcome, Rejection, SeriesKey, SeriesRef,
    append_within, refusal_of_histogram, refusal_of_sample,
};

/// Why a metric or a request is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) text: String,
    /// Whether sending it again is of no use.
    pub(crate) bad_request: bool,
}

impl Refusal {
    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Refusal { text: text.into(), bad_request: false }
    }

    pub(crate) fn bad_request(text: impl Into<String>) -> Self {
        Refusal { text: text.into(), bad_request: true }
    }
}

/// A metric, or the `target_info` of a resource: what comes after the first thing that is wrong with it does not matter.
#[derive(Debug)]
struct Group {
    samples: usize,
    histograms: usize,
    refusal: Option<Refusal>,
}

/// Of memory that a large request took, no more is kept.
const KEPT_SAMPLES: usize = 64 * 1024;

/// A zero in front of a sample or histogram of the batch.
#[derive(Debug, Default)]
struct Zeros {
    batch: Batch,
    before_samples: Vec<usize>,
    before_histograms: Vec<usize>,
}

/// Reused from request to request.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) batch: Batch,
    outcome: Outcome,
    zeros: Zeros,
    groups: Vec<Group>,
    /// Series whose metadata is in the batch.
    pub(crate) described: Vec<(SeriesKey, SeriesRef)>,
    /// Samples of metrics of which nothing is known.
    pub(crate) undescribed: usize,
    /// Why series could not be created.
    pub(crate) limited: Option<String>,
    /// Why nothing can be stored.
    pub(crate) failed: Option<AppendError>,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Stored {
    Whole {
        samples: usize,
        late_exemplars: usize,
    },
    /// Nothing of it.
    Refused(Vec<Refusal>),
    /// Nothing of it: series that were known are gone.
    SeriesGone,
}

impl Intake {
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.batch.samples.shrink_to(KEPT_SAMPLES);
        self.batch.start_times.shrink_to(KEPT_SAMPLES);
        self.outcome.clear();
        self.zeros.batch.clear();
        self.zeros.before_samples.clear();
        self.zeros.before_histograms.clear();
        self.groups.clear();
        self.described.clear();
        self.undescribed = 0;
        self.limited = None;
        self.failed = None;
    }

    /// What comes next belongs together.
    pub(crate) fn begin(&mut self) {
        let (samples, histograms) = (self.batch.samples.len(), self.batch.histograms.len());
        self.groups.push(Group { samples, histograms, refusal: None });
    }

    /// What is wrong with the newest group.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        if let Some(group) = self.groups.last_mut() {
            group.refusal.get_or_insert(refusal);
        }
    }

    /// How many samples there are.
    pub(crate) fn len(&self) -> usize {
        self.batch.samples.len() + self.batch.histograms.len()
    }

    #[inline]
    pub(crate) fn sample(&mut self, series: SeriesRef, start_time: Option<i64>, t: i64, v: f64) {
        self.batch.samples.push(BatchSample { series, t, v });
        self.batch.start_times.extend(start_time);
    }

    /// A zero in front of the next sample.
    pub(crate) fn zero(&mut self, series: SeriesRef, t: i64) {
        self.zeros.before_samples.push(self.batch.samples.len());
        self.zeros.batch.samples.push(BatchSample { series, t, v: 0.0 });
    }

    /// A histogram without observations in front of the next one.
    pub(crate) fn zero_histogram(&mut self, histogram: BatchHistogram) {
        self.zeros.before_histograms.push(self.batch.histograms.len());
        self.zeros.batch.histograms.push(histogram);
    }

    /// Stores all of it or nothing.
    ///
    /// # Errors
    /// When the store failed.
    pub(crate) fn store(&mut self, store: &dyn Append) -> Result<Stored, AppendError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        self.batch.tells_within = true;
        let wrong = self.groups.iter().any(|group| group.refusal.is_some());
        if wrong || !self.zeros.batch.is_empty() {
            self.batch.only_checked = true;
            store.append(&self.batch, &mut self.outcome)?;
            self.batch.only_checked = false;
            if let Some(stored) = self.refused() {
                return Ok(stored);
            }
            self.add_zeros(store)?;
        }
        self.batch.all_or_nothing = true;
        store.append(&self.batch, &mut self.outcome)?;
        if let Some(stored) = self.refused() {
            return Ok(stored);
        }
        append_within(store, &self.batch, &self.outcome)?;
        let late = |reason: &Rejection| *reason != Rejection::UnknownSeries;
        let late = self.outcome.rejected_exemplars.iter().filter(|(_, reason)| late(reason)).count();
        Ok(Stored::Whole { samples: self.len(), late_exemplars: late })
    }

    /// What is wrong, group by group: of each the first thing.
    fn refused(&self) -> Option<Stored> {
        let Outcome { rejected, rejected_histograms, .. } = &self.outcome;
        let gone = |(_, reason): &(u32, Rejection)| *reason == Rejection::UnknownSeries;
        if rejected.iter().any(gone) || rejected_histograms.iter().any(gone) {
            return Some(Stored::SeriesGone);
        }
        let mut refusals = Vec::new();
        let (mut samples, mut histograms) =
            (rejected.iter().peekable(), rejected_histograms.iter().peekable());
        for (number, group) in self.groups.iter().enumerate() {
            let next = self.groups.get(number + 1);
            let samples_end = next.map_or(usize::MAX, |next| next.samples);
            let histograms_end = next.map_or(usize::MAX, |next| next.histograms);
            let mut first = None;
            while let Some((i, reason)) = samples.next_if(|(i, _)| (*i as usize) < samples_end) {
                first.get_or_insert_with(|| self.sample_refusal(*i, *reason));
            }
            while let Some((i, reason)) = histograms.next_if(|(i, _)| (*i as usize) < histograms_end) {
                first.get_or_insert_with(|| self.histogram_refusal(*i, *reason));
            }
            refusals.extend(first.or_else(|| group.refusal.clone()));
        }
        (!refusals.is_empty()).then_some(Stored::Refused(refusals))
    }

    fn sample_refusal(&self, i: u32, reason: Rejection) -> Refusal {
        let existing = self.outcome.existing.iter().find(|(at, _)| *at == i).map(|(_, v)| *v);
        let text =
            self.batch.samples.get(i as usize).map(|sample| refusal_of_sample(reason, sample, existing));
        Refusal { text: text.unwrap_or_default(), bad_request: reason != Rejection::Invalid }
    }

    fn histogram_refusal(&self, i: u32, reason: Rejection) -> Refusal {
        let text = self.batch.histograms.get(i as usize).map(|of| refusal_of_histogram(reason, of));
        Refusal { text: text.unwrap_or_default(), bad_request: reason != Rejection::Invalid }
    }

    /// Puts those zeros into the batch that the series can take where they stand.
    fn add_zeros(&mut self, store: &dyn Append) -> Result<(), AppendError> {
        let Zeros { batch: zeros, before_samples, before_histograms } = &mut self.zeros;
        if zeros.is_empty() {
            return Ok(());
        }
        (zeros.in_order_only, zeros.only_checked) = (true, true);
        store.append(zeros, &mut self.outcome)?;
        let Outcome { rejected, rejected_histograms, .. } = &self.outcome;
        let Batch { samples, start_times, histograms, .. } = &mut self.batch;

        let untimed = start_times.is_empty();
        let mut times = std::mem::take(start_times).into_iter();
        let mut new = zeros.samples.iter().zip(before_samples.iter()).zip(0u32..);
        let mut refused = rejected.iter().map(|(i, _)| *i).peekable();
        let mut next = new.next();
        let mut merged = Vec::with_capacity(samples.len() + zeros.samples.len());
        for (at, sample) in samples.iter().enumerate() {
            while let Some(((zero, _), number)) = next.filter(|((_, before), _)| **before == at) {
                if refused.next_if_eq(&number).is_none() {
                    merged.push(*zero);
                    start_times.extend((!untimed).then_some(0));
                }
                next = new.next();
            }
            merged.push(*sample);
            start_times.extend(times.next());
        }
        *samples = merged;

        let mut new = zeros.histograms.drain(..).zip(before_histograms.iter()).zip(0u32..).peekable();
        let mut refused = rejected_histograms.iter().map(|(i, _)| *i).peekable();
        let mut merged = Vec::with_capacity(histograms.len());
        for (at, histogram) in histograms.drain(..).enumerate() {
            while let Some(((zero, _), number)) = new.next_if(|((_, before), _)| **before == at) {
                if refused.next_if_eq(&number).is_none() {
                    merged.push(zero);
                }
            }
            merged.push(histogram);
        }
        *histograms = merged;
        // Their places are others now; what is refused from here on was changed by others meanwhile.
        self.groups.clear();
        self.groups.push(Group { samples: 0, histograms: 0, refusal: None });
        Ok(())
    }
}
