//! The series of a test, and the store that they are fed to as the test's clock goes on.

use config::InputSeries;
use model::Labels;
use model::histogram::HistogramValue;
use promql::{ParseErrors, SeriesPoint, parse_series_desc};
use storage::{
    Affinity, Append as _, Batch, BatchHistogram, BatchSample, MemoryStore, Outcome, refusal_of_histogram,
    refusal_of_sample,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Input {
    series: Vec<Series>,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    /// Each with its time in milliseconds, the next one last.
    points: Vec<(i64, SeriesPoint)>,
}

impl Input {
    /// Series with a sample every `interval`, from `start`; both in milliseconds. A series that is there twice is what it is the
    /// second time.
    ///
    /// # Errors
    /// In promtool's words, which count lines as if the series stood below a command to load them.
    pub(super) fn read(series: &[InputSeries], start: i64, interval: i64) -> Result<Self, String> {
        let text: String = series.iter().map(|one| format!("  {} {}\n", one.series, one.values)).collect();
        let mut input = Input::default();
        for (line, text) in text.split('\n').map(str::trim).enumerate() {
            if text.is_empty() || text.starts_with('#') {
                break;
            }
            // When counting began is not looked at by what evaluates tests.
            if text.split_whitespace().any(|word| word == "@st") {
                continue;
            }
            let (labels, items) = parse_series_desc(text).map_err(|errors| in_line(&errors, line + 1))?;
            let mut points = Vec::new();
            let mut t = start;
            for item in &items {
                for point in item.points()? {
                    points.extend(point.map(|point| (t, point)));
                    t = t.saturating_add(interval);
                }
            }
            points.reverse();
            input.series.retain(|known| known.labels != labels);
            input.series.push(Series { labels, points });
        }
        Ok(input)
    }

    /// Stores what there is up to a time in milliseconds.
    ///
    /// # Errors
    /// When rules have stored something else there already.
    pub(super) fn feed(&mut self, store: &MemoryStore, until: i64) -> Result<(), String> {
        let mut batch = Batch::default();
        for series in &mut self.series {
            if series.points.last().is_none_or(|(t, _)| *t > until) {
                continue;
            }
            let resolved = store.resolve(Affinity(0), &series.labels).map_err(|error| error.to_string())?;
            while let Some((t, point)) = series.points.pop_if(|(t, _)| *t <= until) {
                let series = resolved.series;
                match point {
                    SeriesPoint::Float(v) => batch.samples.push(BatchSample { series, t, v }),
                    SeriesPoint::Histogram(histogram) => {
                        let value = HistogramValue::Float(histogram);
                        batch.histograms.push(BatchHistogram { series, t, start_time: 0, value });
                    }
                }
            }
        }
        let mut outcome = Outcome::default();
        store.append(&batch, &mut outcome).map_err(|error| error.to_string())?;
        let of_sample = outcome
            .rejected
            .first()
            .and_then(|(i, reason)| Some(refusal_of_sample(*reason, batch.samples.get(*i as usize)?, None)));
        let of_histogram = outcome
            .rejected_histograms
            .first()
            .and_then(|(i, reason)| Some(refusal_of_histogram(*reason, batch.histograms.get(*i as usize)?)));
        of_sample.or(of_histogram).map_or(Ok(()), Err)
    }
}

/// The first error, so many lines further down.
fn in_line(errors: &ParseErrors, line: usize) -> String {
    match errors.as_slice().first() {
        Some(first) => {
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            promql::ParseError { line: first.line.saturating_add(line), ..first.clone() }.to_string()
        }
        None => errors.to_string(),
    }
}
