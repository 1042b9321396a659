//! A request to samples, in the order of the request.

use std::collections::HashSet;

use model::{STALE_NAN, is_stale};
use storage::{
    Affinity, Append, AppendError, BatchExemplar, BatchHistogram, BatchMetadata, SeriesCache, SeriesKey,
    SeriesLookups, SeriesRef, TOO_FAR_AHEAD,
};

use crate::context::{Metric, RawMetric, Resource, Scope, Temporality};
use crate::exemplar::{self, Exemplar};
use crate::intake::{Intake, Refusal};
use crate::native;
use crate::options::{Deltas, ReceiverOptions, Translation};
use crate::point::{Point, PointKind, time_of};
use crate::schema::DEPRECATED_SCOPES;
use crate::series_labels::{Made, Part, SeriesLabels};
use crate::streams::{Aggregated, Streams};
use crate::warnings::{Category, Warnings};
use crate::wire::Fields;

/// A request of more samples is refused: of empty points there can be very many in little.
pub(crate) const MAX_SAMPLES: usize = 4 * 1024 * 1024;

/// Nothing is stored of a request of more samples than [`MAX_SAMPLES`].
#[derive(Debug)]
pub(crate) struct TooManySamples;

/// What outlives a request.
pub(crate) struct Environment<'e> {
    pub(crate) options: &'e ReceiverOptions,
    pub(crate) translation: &'e Translation,
    pub(crate) store: &'e dyn Append,
    pub(crate) cache: &'e SeriesCache,
    /// Present where deltas are added up.
    pub(crate) streams: Option<&'e Streams>,
    /// Stands for the configuration that is in force.
    pub(crate) generation: SeriesKey,
    /// What is later than that, in milliseconds since the Unix epoch, is refused.
    pub(crate) max_time: i64,
}

/// Memory of one request, used again.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) intake: Intake,
    pub(crate) labels: SeriesLabels,
    exemplars: Vec<Exemplar>,
    pub(crate) seen: HashSet<(SeriesRef, i64)>,
}

/// Reads one request.
pub(crate) struct Translator<'a> {
    pub(crate) env: &'a Environment<'a>,
    pub(crate) scratch: &'a mut Scratch,
    /// Without it every series is looked up by its labels.
    pub(crate) known: Option<SeriesLookups<'a>>,
    /// Series that were not known.
    pub(crate) found: Vec<(SeriesKey, SeriesRef)>,
    pub(crate) warnings: Warnings,
}

/// What a point is part of.
struct Around<'c, 'b> {
    resource: &'c Resource<'b>,
    scope: &'c Scope,
    metric: &'c Metric,
    kind: PointKind,
    /// Whether its points count from the last one.
    delta: bool,
}

/// The earliest and the latest time of points, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeRange {
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
}

impl TimeRange {
    fn note(&mut self, time: u64) {
        self.earliest = self.earliest.min(time);
        self.latest = self.latest.max(time);
    }
}

fn millis(nanos: u64) -> i64 {
    nanos as i64 / 1_000_000
}

impl<'a> Translator<'a> {
    /// Translates the request `body`, which was checked.
    ///
    /// # Errors
    /// When it has too many samples.
    pub(crate) fn request(&mut self, body: &[u8]) -> Result<(), TooManySamples> {
        let mut point = Point::default();
        for resource in Fields::all(body, 1) {
            self.resource(resource, &mut point)?;
        }
        Ok(())
    }

    fn resource<'b>(&mut self, data: &'b [u8], point: &mut Point<'b>) -> Result<(), TooManySamples> {
        let Environment { translation, cache, .. } = *self.env;
        let resource = match Resource::read(data, translation, cache) {
            Ok(resource) => resource,
            Err(why) => {
                self.refuse_alone(why);
                return Ok(());
            }
        };
        let mut times = TimeRange { earliest: u64::MAX, latest: 0 };
        let new = Fields::all(data, 2).next().is_some();
        for scope_data in Fields::all(data, if new { 2 } else { DEPRECATED_SCOPES }) {
            match Scope::read(scope_data, translation, cache) {
                Err(why) => self.refuse_alone(why),
                Ok(scope) => {
                    for metric in Fields::all(scope_data, 2) {
                        self.scratch.intake.begin();
                        self.metric(metric, (&resource, &scope, scope_data), &mut times, point)?;
                    }
                }
            }
        }
        if times.earliest < u64::MAX {
            self.scratch.intake.begin();
            let told = self.target_info(&resource, times)?;
            self.note(told);
        }
        Ok(())
    }

    fn refuse_alone(&mut self, why: String) {
        self.scratch.intake.begin();
        self.scratch.intake.refuse(Refusal::internal(why));
    }

    pub(crate) fn note(&mut self, outcome: Result<(), Refusal>) {
        if let Err(refusal) = outcome {
            self.scratch.intake.refuse(refusal);
        }
    }

    fn metric<'b>(
        &mut self,
        data: &'b [u8],
        (resource, scope, scope_data): (&Resource<'b>, &Scope, &'b [u8]),
        times: &mut TimeRange,
        point: &mut Point<'b>,
    ) -> Result<(), TooManySamples> {
        let mut raw = RawMetric::read(data);
        let Some((kind, list)) = raw.points else {
            let name = raw.name();
            let why = format!(
                "could not get aggregation temporality for {name} as it has unsupported metric type Empty"
            );
            self.note(Err(Refusal::internal(why)));
            return Ok(());
        };
        let points = Fields::all(list, 1);
        let streams = self.env.streams.filter(|_| raw.temporality == Temporality::Delta);
        if streams.is_some() {
            raw.temporality = Temporality::Cumulative;
        }
        let metric = match self.translated(&raw, resource, scope) {
            // Streams go on, whatever becomes of their points.
            Err(refusal) if streams.is_none() => {
                points.for_each(|point| times.note(time_of(point)));
                self.note(Err(refusal));
                return Ok(());
            }
            metric => metric,
        };
        let stream = streams.map(|_| self.stream_key(resource, scope_data, &raw, kind));
        let (mut outcome, mut any) = (Ok(()), false);
        for data in points {
            if streams.is_none() && outcome.is_err() {
                times.note(time_of(data));
                continue;
            }
            point.read(kind, data);
            if let Some((streams, stream)) = streams.zip(stream) {
                let key = self.point_stream_key(stream, point);
                match streams.add(key, kind, &mut point.measured) {
                    Aggregated::Dropped => continue,
                    Aggregated::First => {}
                    Aggregated::Sum => point.exemplars.clear(),
                }
            }
            any = true;
            times.note(point.measured.time);
            if outcome.is_ok() {
                outcome = metric.as_ref().map_err(Clone::clone).and_then(|metric| {
                    let delta = raw.temporality == Temporality::Delta;
                    self.point(point, &Around { resource, scope, metric, kind, delta })
                });
            }
            if self.scratch.intake.len() > MAX_SAMPLES {
                return Err(TooManySamples);
            }
        }
        if !any && streams.is_none() {
            let name = raw.name();
            outcome = Err(Refusal::internal(format!("empty data points. {name} is dropped")));
        }
        self.note(outcome);
        Ok(())
    }

    fn translated(
        &self,
        raw: &RawMetric<'_>,
        resource: &Resource<'_>,
        scope: &Scope,
    ) -> Result<Metric, Refusal> {
        let options = self.env.options;
        let taken = match raw.temporality {
            Temporality::None | Temporality::Cumulative => true,
            Temporality::Delta => options.deltas == Deltas::Stored,
            Temporality::Unspecified => false,
        };
        if !taken {
            let name = model::number::quote(&raw.name());
            return Err(Refusal::internal(format!(
                "invalid temporality and type combination for metric {name}"
            )));
        }
        let Environment { translation, cache, generation, .. } = *self.env;
        let around = [generation, resource.key, scope.key];
        Metric::new(raw, translation, options.type_and_unit_labels, cache, around).map_err(Refusal::internal)
    }

    /// Stands for all that streams of a metric have in common.
    fn stream_key(
        &self,
        resource: &Resource<'_>,
        scope: &[u8],
        raw: &RawMetric<'_>,
        kind: PointKind,
    ) -> SeriesKey {
        let cache = self.env.cache;
        let scope = cache.key_of(Fields::all(scope, 1).map(|scope| cache.key(scope)));
        let kind = cache.key(&[kind as u8, raw.monotonic.into()]);
        let own = [cache.key(raw.name), cache.key(raw.unit), kind];
        cache.key_of([resource.key, scope].into_iter().chain(own))
    }

    /// Attributes may come in any order.
    fn point_stream_key(&self, metric: SeriesKey, point: &mut Point<'_>) -> SeriesKey {
        let cache = self.env.cache;
        point.attributes.sort_unstable();
        point.attribute_bytes = None;
        let attributes = point.attributes.iter().map(|attribute| cache.key(attribute));
        cache.key_of([metric].into_iter().chain(attributes))
    }

    fn point(&mut self, point: &Point<'_>, around: &Around<'_, '_>) -> Result<(), Refusal> {
        let cache = self.env.cache;
        let attributes = match point.attribute_bytes {
            Some(bytes) => cache.key(bytes),
            None => cache.key_of(point.attributes.iter().map(|attribute| cache.key(attribute))),
        };
        let key = cache.key_of([around.metric.key, attributes].into_iter());
        match around.kind {
            PointKind::Gauge => self.number(point, around, key, false),
            PointKind::Sum => self.number(point, around, key, true),
            PointKind::Histogram if self.env.translation.custom_buckets => {
                self.native(point, around, key, native::custom(&point.measured, around.delta))
            }
            PointKind::Histogram => self.classic(point, around, key),
            PointKind::Exponential => {
                let histogram =
                    native::exponential(&point.measured, around.delta).map_err(Refusal::internal)?;
                self.native(point, around, key, histogram)
            }
            PointKind::Summary => self.summary(point, around, key),
        }
    }

    fn number(
        &mut self,
        point: &Point<'_>,
        around: &Around<'_, '_>,
        key: SeriesKey,
        with_exemplars: bool,
    ) -> Result<(), Refusal> {
        let measured = &point.measured;
        let key = self.env.cache.with(key, &Part::Whole.bytes());
        let series = self.series(key, point, around, Part::Whole)?;
        let examples = if with_exemplars { exemplars_of(point, &mut self.scratch.exemplars)? } else { 0 };
        let v = if measured.is_end() { STALE_NAN } else { measured.number.as_f64() };
        self.sample(key, series, point, around.metric, v)?;
        self.examples(series, v, 0..examples);
        Ok(())
    }

    fn classic(&mut self, point: &Point<'_>, around: &Around<'_, '_>, key: SeriesKey) -> Result<(), Refusal> {
        let measured = &point.measured;
        let recorded = |v: f64| if measured.is_end() { STALE_NAN } else { v };
        if let Some(sum) = measured.sum {
            self.part(key, point, around, Part::Sum, recorded(sum))?;
        }
        let total = recorded(measured.count as f64);
        self.part(key, point, around, Part::Count, total)?;
        let examples = exemplars_of(point, &mut self.scratch.exemplars)?;
        let (mut count, mut next) = (0u64, 0);
        for (&bound, &more) in measured.bounds.iter().zip(&measured.counts) {
            count = count.wrapping_add(more);
            let v = recorded(count as f64);
            let series = self.part(key, point, around, Part::Bucket(bound), v)?;
            // Both are in ascending order; what is beyond the bound is of a later bucket.
            let of_bucket = self
                .scratch
                .exemplars
                .iter()
                .skip(next)
                .take_while(|of| of.v <= bound || of.v.is_nan())
                .count();
            self.examples(series, v, next..next + of_bucket);
            next += of_bucket;
        }
        let series = self.part(key, point, around, Part::Bucket(f64::INFINITY), total)?;
        self.examples(series, total, next..examples);
        Ok(())
    }

    fn summary(&mut self, point: &Point<'_>, around: &Around<'_, '_>, key: SeriesKey) -> Result<(), Refusal> {
        let measured = &point.measured;
        let recorded = |v: f64| if measured.is_end() { STALE_NAN } else { v };
        self.part(key, point, around, Part::Sum, recorded(measured.sum.unwrap_or(0.0)))?;
        self.part(key, point, around, Part::Count, recorded(measured.count as f64))?;
        for &(quantile, v) in &measured.quantiles {
            self.part(key, point, around, Part::Quantile(quantile), recorded(v))?;
        }
        Ok(())
    }

    fn native(
        &mut self,
        point: &Point<'_>,
        around: &Around<'_, '_>,
        key: SeriesKey,
        histogram: model::histogram::IntegerHistogram,
    ) -> Result<(), Refusal> {
        let measured = &point.measured;
        if !measured.is_end() && measured.count == 0 && histogram.sum != 0.0 {
            let kind =
                if around.kind == PointKind::Exponential { "exponential histogram" } else { "histogram" };
            let text = format!("{kind} data point has zero count, but non-zero sum: {:.6}", histogram.sum);
            self.warnings.add(Category::ZeroCountNonZeroSum, text);
        }
        let sum = histogram.sum;
        let key = self.env.cache.with(key, &Part::Whole.bytes());
        let series = self.series(key, point, around, Part::Whole)?;
        let examples = exemplars_of(point, &mut self.scratch.exemplars)?;
        let (t, start_time) = (millis(measured.time), millis(measured.start_time));
        self.check_time(t)?;
        let value = native::into_value(histogram);
        let intake = &mut self.scratch.intake;
        if self.env.options.start_zeros && start_time != 0 && start_time < t {
            let value = value.zero();
            intake.zero_histogram(BatchHistogram { series, t: start_time, start_time: 0, value });
        }
        let start_time = if self.env.options.start_times { start_time } else { 0 };
        intake.batch.histograms.push(BatchHistogram { series, t, start_time, value });
        self.describe(key, series, around.metric, sum);
        self.examples(series, sum, 0..examples);
        Ok(())
    }

    /// A float of one of the series of a point.
    fn part(
        &mut self,
        key: SeriesKey,
        point: &Point<'_>,
        around: &Around<'_, '_>,
        part: Part,
        v: f64,
    ) -> Result<SeriesRef, Refusal> {
        let key = self.env.cache.with(key, &part.bytes());
        let series = self.series(key, point, around, part)?;
        self.sample(key, series, point, around.metric, v)?;
        Ok(series)
    }

    fn sample(
        &mut self,
        key: SeriesKey,
        series: SeriesRef,
        point: &Point<'_>,
        metric: &Metric,
        v: f64,
    ) -> Result<(), Refusal> {
        let (t, start_time) = (millis(point.measured.time), millis(point.measured.start_time));
        self.check_time(t)?;
        let options = self.env.options;
        let intake = &mut self.scratch.intake;
        if options.start_zeros && start_time != 0 && start_time < t {
            intake.zero(series, start_time);
        }
        intake.sample(series, options.start_times.then_some(start_time), t, v);
        self.describe(key, series, metric, v);
        Ok(())
    }

    pub(crate) fn check_time(&self, t: i64) -> Result<(), Refusal> {
        if t > self.env.max_time { Err(Refusal::bad_request(TOO_FAR_AHEAD)) } else { Ok(()) }
    }

    /// Says what a series' metric is, if that is news. Its end is no news.
    #[inline]
    fn describe(&mut self, key: SeriesKey, series: SeriesRef, metric: &Metric, v: f64) {
        self.scratch.intake.undescribed += usize::from(!metric.described);
        if !self.env.options.metadata || !metric.described || is_stale(v) {
            return;
        }
        let known = self.known.as_ref().and_then(|known| known.find(key));
        if known.is_none_or(|known| known.is_news(metric.said.short())) {
            let metadata = metric.metadata.clone();
            self.scratch.intake.batch.metadata.push(BatchMetadata { series, metadata });
            self.scratch.intake.described.push((key, series));
        }
    }

    /// Some of the point's exemplars belong to a series, unless that ends.
    fn examples(&mut self, series: SeriesRef, v: f64, these: std::ops::Range<usize>) {
        if is_stale(v) {
            return;
        }
        let Scratch { exemplars, intake, .. } = &mut *self.scratch;
        for Exemplar { labels, t, v } in exemplars.get(these).unwrap_or_default() {
            let (labels, t, v, timed) = (labels.clone(), *t, *v, *t != 0);
            intake.batch.exemplars.push(BatchExemplar { series, labels, t, timed, v });
        }
    }

    #[inline]
    fn series(
        &mut self,
        key: SeriesKey,
        point: &Point<'_>,
        around: &Around<'_, '_>,
        part: Part,
    ) -> Result<SeriesRef, Refusal> {
        if let Some(known) = self.known.as_ref().and_then(|known| known.find(key)) {
            return Ok(known.series());
        }
        // Points of a series that is new follow each other.
        if let Some(&(newest, series)) = self.found.last()
            && newest == key
        {
            return Ok(series);
        }
        let Around { resource, scope, metric, .. } = *around;
        let made = self.scratch.labels.of_series(
            &point.attributes,
            (resource, scope, metric),
            part,
            self.env.translation,
            &mut self.warnings,
        );
        let made = made.map_err(Refusal::internal)?;
        let series = self.resolve()?;
        if made == Made::Plainly {
            self.found.push((key, series));
        }
        Ok(series)
    }

    /// The series of the labels that were made.
    pub(crate) fn resolve(&mut self) -> Result<SeriesRef, Refusal> {
        let labels = self.scratch.labels.set.build();
        if labels.is_empty() {
            return Err(Refusal::internal("empty labelset: invalid sample"));
        }
        match self.env.store.resolve(Affinity::of_target(&labels), &labels) {
            Ok(resolved) => Ok(resolved.series),
            Err(AppendError::SeriesLimit(why)) => {
                self.scratch.intake.limited = Some(why.clone());
                Err(Refusal::internal(why))
            }
            Err(failed) => {
                let why = failed.to_string();
                self.scratch.intake.failed = Some(failed);
                Err(Refusal::internal(why))
            }
        }
    }
}

/// Reads the exemplars of a point; answers how many there are.
fn exemplars_of(point: &Point<'_>, out: &mut Vec<Exemplar>) -> Result<usize, Refusal> {
    out.clear();
    for data in &point.exemplars {
        out.push(exemplar::read(data).map_err(Refusal::internal)?);
    }
    Ok(out.len())
}
