//! The content of one request on its way into the store.

use std::ops::Range;

use exposition::ParseError;
use model::Labels;
use model::histogram::HistogramValue;
use storage::{
    Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Metadata, Outcome, SeriesRef,
};

/// One series of a request.
#[derive(Debug, Clone)]
pub(super) struct SeriesSpan {
    /// Its message in the body.
    pub(super) message: Range<usize>,
    pub(super) samples: u32,
    pub(super) histograms: u32,
    pub(super) exemplars: u32,
    pub(super) metadata: u32,
}

/// In which order Prometheus tells what is wrong with a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Labels,
    Samples,
    Histograms,
    Exemplars,
}

/// Something that is wrong.
#[derive(Debug)]
pub(super) struct Complaint {
    pub(super) series: u32,
    pub(super) phase: Phase,
    /// The sample of the batch that it is about, or that comes after the one that it is about.
    pub(super) index: u32,
    pub(super) text: String,
}

impl Complaint {
    /// Tells in which order they are told.
    pub(super) fn place(&self) -> (u32, Phase, u32) {
        (self.series, self.phase, self.index)
    }
}

/// Reused from request to request.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) batch: Batch,
    /// Zeros at times at which counting began.
    pub(super) zeros: Batch,
    /// Such zeros among the samples of the batch, and among its histograms. Nobody asked for them, and nobody is told of them.
    pub(super) zeros_between: Vec<u32>,
    pub(super) zeros_between_histograms: Vec<u32>,
    pub(super) outcome: Outcome,
    pub(super) series: Vec<SeriesSpan>,
    pub(super) complaints: Vec<Complaint>,
    /// Samples and histograms that were dropped for their series' labels.
    pub(super) invalid: usize,
}

/// Series of one request. With a label and a sample each, this many are longer than the longest request: more are made
/// of nothing, to cost the receiver more than the sender.
const MAX_SERIES: usize = 4 << 20;

/// Complaints about one request that are told; nobody reads as many.
const MAX_COMPLAINTS: usize = 10_000;

/// Of memory that a large request took, no more is kept.
const KEPT_SAMPLES: usize = 64 * 1024;

impl Incoming {
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.batch.samples.shrink_to(KEPT_SAMPLES);
        self.zeros.clear();
        self.zeros_between.clear();
        self.zeros_between_histograms.clear();
        self.outcome.clear();
        self.series.clear();
        self.series.shrink_to(KEPT_SAMPLES);
        self.complaints.clear();
        self.complaints.shrink_to(KEPT_SAMPLES);
        self.invalid = 0;
    }

    /// A series begins. Until its labels are known, what it has stands under no reference.
    #[inline]
    pub(super) fn begin(&mut self, message: Range<usize>) -> Result<(), ParseError> {
        if self.series.len() == MAX_SERIES {
            return Err(ParseError::new(format!("more than {MAX_SERIES} series in one request")));
        }
        self.series.push(SeriesSpan {
            message,
            samples: self.batch.samples.len() as u32,
            histograms: self.batch.histograms.len() as u32,
            exemplars: self.batch.exemplars.len() as u32,
            metadata: self.batch.metadata.len() as u32,
        });
        Ok(())
    }

    #[inline]
    pub(super) fn sample(&mut self, t: i64, v: f64) {
        self.batch.samples.push(BatchSample { series: SeriesRef(0), t, v });
    }

    pub(super) fn histogram(&mut self, t: i64, value: HistogramValue) {
        self.batch.histograms.push(BatchHistogram { series: SeriesRef(0), t, start_time: 0, value });
    }

    pub(super) fn exemplar(&mut self, labels: Labels, t: i64, v: f64) {
        self.batch.exemplars.push(BatchExemplar { series: SeriesRef(0), labels, t, timed: true, v });
    }

    pub(super) fn metadata(&mut self, metadata: Metadata) {
        self.batch.metadata.push(BatchMetadata { series: SeriesRef(0), metadata });
    }

    /// The newest series is this one.
    #[inline]
    pub(super) fn is(&mut self, series: SeriesRef) {
        if let Some(last) = self.series.len().checked_sub(1) {
            self.assign(last, series);
        }
    }

    /// Puts all that a series of the request has under a reference.
    pub(super) fn assign(&mut self, number: usize, series: SeriesRef) {
        let range = self.range(number);
        let Some((from, to)) = range else { return };
        let Batch { samples, histograms, exemplars, metadata, .. } = &mut self.batch;
        samples[from.samples as usize..to.samples as usize].iter_mut().for_each(|s| s.series = series);
        histograms[from.histograms as usize..to.histograms as usize]
            .iter_mut()
            .for_each(|h| h.series = series);
        exemplars[from.exemplars as usize..to.exemplars as usize].iter_mut().for_each(|e| e.series = series);
        metadata[from.metadata as usize..to.metadata as usize].iter_mut().for_each(|m| m.series = series);
    }

    fn range(&self, number: usize) -> Option<(SeriesSpan, SeriesSpan)> {
        let from = self.series.get(number)?.clone();
        let to = self.series.get(number + 1).cloned().unwrap_or(SeriesSpan {
            message: 0..0,
            samples: self.batch.samples.len() as u32,
            histograms: self.batch.histograms.len() as u32,
            exemplars: self.batch.exemplars.len() as u32,
            metadata: self.batch.metadata.len() as u32,
        });
        Some((from, to))
    }

    /// Nothing of the newest series is stored.
    pub(super) fn drop_newest(&mut self) {
        let Some(last) = self.series.last() else { return };
        self.batch.samples.truncate(last.samples as usize);
        self.batch.histograms.truncate(last.histograms as usize);
        self.batch.exemplars.truncate(last.exemplars as usize);
        self.batch.metadata.truncate(last.metadata as usize);
    }

    /// Notes what is wrong with the newest series.
    pub(super) fn complain(&mut self, phase: Phase, text: String) {
        if self.complaints.len() == MAX_COMPLAINTS {
            return;
        }
        let series = self.series.len().saturating_sub(1) as u32;
        let index = match phase {
            Phase::Labels => 0,
            Phase::Samples => self.batch.samples.len(),
            Phase::Histograms => self.batch.histograms.len(),
            Phase::Exemplars => self.batch.exemplars.len(),
        };
        self.complaints.push(Complaint { series, phase, index: index as u32, text });
    }

    /// Which series a sample, histogram or exemplar of the batch is of.
    pub(super) fn series_of(&self, phase: Phase, index: u32) -> usize {
        let begin = |span: &SeriesSpan| match phase {
            Phase::Labels | Phase::Samples => span.samples,
            Phase::Histograms => span.histograms,
            Phase::Exemplars => span.exemplars,
        };
        self.series.partition_point(|span| begin(span) <= index).saturating_sub(1)
    }
}
