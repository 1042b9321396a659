//! `target_info`: a series for each resource that says what else is known of it.

use storage::{Batch, BatchSample, Outcome, SeriesRef};

use crate::context::{Resource, SERVICE_INSTANCE, SERVICE_NAME, SERVICE_NAMESPACE};
use crate::intake::Refusal;
use crate::series_labels::Made;
use crate::translate::{MAX_SAMPLES, TimeRange, TooManySamples, Translator};

const IDENTIFYING: [&str; 3] = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE];

/// From so many samples on it is asked first whether the store would have them: points without a time would make
/// millions since 1970.
const MANY: i64 = 1000;

impl Translator<'_> {
    /// Samples from the first to the last point of a resource, never further apart than queries can look back.
    pub(crate) fn target_info(
        &mut self,
        resource: &Resource<'_>,
        times: TimeRange,
    ) -> Result<Result<(), Refusal>, TooManySamples> {
        let identifying = IDENTIFYING.iter().filter(|key| resource.has(key)).count();
        if resource.attributes.len() == identifying {
            return Ok(Ok(()));
        }
        let series = match self.target_series(resource) {
            Ok(Some(series)) => series,
            Ok(None) => return Ok(Ok(())),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let lookback =
            if self.env.options.lookback_delta == 0 { 300_000 } else { self.env.options.lookback_delta };
        let step = lookback.saturating_mul(1_000_000 / 2).max(1);
        let (mut at, last) = (times.earliest as i64, times.latest as i64);
        if last.saturating_sub(at) / step > MANY
            && let Some(refusal) =
                self.check_first(BatchSample { series, t: at.div_euclid(1_000_000), v: 1.0 })
        {
            return Ok(Err(refusal));
        }
        loop {
            let ended = at >= last;
            let t = if ended { last } else { at }.div_euclid(1_000_000);
            if self.scratch.seen.insert((series, t)) {
                if let Err(refusal) = self.check_time(t) {
                    return Ok(Err(refusal));
                }
                self.describe_target(series);
                let start_time = self.env.options.start_times.then_some(0);
                self.scratch.intake.sample(series, start_time, t, 1.0);
            }
            if ended {
                return Ok(Ok(()));
            }
            if self.scratch.intake.len() > MAX_SAMPLES {
                return Err(TooManySamples);
            }
            at = at.saturating_add(step);
        }
    }

    /// The series, if the resource is a target.
    fn target_series(&mut self, resource: &Resource<'_>) -> Result<Option<SeriesRef>, Refusal> {
        let key = self.env.cache.key_of([self.env.generation, resource.key].into_iter());
        let key = self.env.cache.with(key, b"target_info");
        if let Some(known) = self.known.as_ref().and_then(|known| known.find(key)) {
            return Ok(Some(known.series()));
        }
        let translation = self.env.translation;
        let left_out: &[&str] = if translation.keep_identifying { &[] } else { &IDENTIFYING };
        let labels = &mut self.scratch.labels;
        let made = labels
            .of_target_info(resource, left_out, translation, &mut self.warnings)
            .map_err(Refusal::internal)?;
        let Some(made) = made else { return Ok(None) };
        let series = self.resolve()?;
        if made == Made::Plainly {
            self.found.push((key, series));
        }
        Ok(Some(series))
    }

    /// Why the store would not have a sample.
    fn check_first(&self, sample: BatchSample) -> Option<Refusal> {
        let batch = Batch { samples: vec![sample], only_checked: true, ..Batch::default() };
        let mut outcome = Outcome::default();
        self.env.store.append(&batch, &mut outcome).ok()?;
        let (_, reason) = outcome.rejected.first()?;
        Some(Refusal::bad_request(storage::refusal_of_sample(*reason, &sample, None)))
    }

    fn describe_target(&mut self, series: storage::SeriesRef) {
        if self.env.options.metadata {
            let metadata = storage::Metadata {
                kind: "gauge".to_owned(),
                unit: String::new(),
                help: "Target metadata".to_owned(),
            };
            self.scratch.intake.batch.metadata.push(storage::BatchMetadata { series, metadata });
        }
    }
}
