//! From a fetched body to stored samples: everything of a scrape that is computation.

use std::sync::Arc;

use exposition::ProtobufOptions;
use exposition::registry::Counter;
use httpclient::{BodyShare, gunzip};
use model::STALE_NAN;
use storage::{Append, AppendError, Batch, BatchHistogram, BatchSample, Outcome, Rejection, SeriesRef};
use tokio::time::Instant;

use crate::content_type::{BodyFormat, format_of};
use crate::elements::{Elements, HistogramLimits, ProtobufElements};
use crate::job::Job;
use crate::layout::{FIRST_MARK, Layout};
use crate::line_elements::{LineElements, LineOptions};
use crate::lines::{self, PageFormat};
use crate::metadata_records;
use crate::metrics::GaugeShare;
use crate::options::{DEFAULT_MAX_BODY, HistogramOptions, StartTimes};
use crate::report::{ReportSeries, ReportValues};
use crate::sample_labels::{LabelError, LabelRules};
use crate::scrape_loop::{Environment, max_body};
use crate::synthesis::Synthesis;
use crate::target::{Health, Status, Target};
use crate::walk::{PageError, Walk, WalkCounts, WalkMemory, WalkOptions, WalkPage};

/// How far ahead of the clock a page's timestamps may be.
const MAX_AHEAD_MS: i64 = 10 * 60 * 1000;
/// Why samples were dropped, in Prometheus' words.
const OUT_OF_ORDER: &str = "Error on ingesting out-of-order samples";
const DUPLICATE: &str = "Error on ingesting samples with different value but same timestamp";
const OUT_OF_BOUNDS: &str = "Error on ingesting samples that are too old or are too far into the future";
const EXEMPLAR_OUT_OF_ORDER: &str = "Error on ingesting out-of-order exemplars";
const NANOS_PER_MS: i64 = 1_000_000;

/// What is kept of a target from one scrape to the next.
#[derive(Default)]
pub(crate) struct TargetState {
    layout: Layout,
    reports: ReportSeries,
    /// None unless start times are made up.
    synthesis: Option<Box<Synthesis>>,
    /// What the layout has of the pool's lines.
    lines: GaugeShare,
    /// New series of pages that failed since the last good one: told once as added, although nothing of them is stored.
    told: usize,
    /// When it was scraped last, in nanoseconds since the Unix epoch.
    pub(crate) last_start: Option<i64>,
}

/// What a request brought.
pub(crate) enum Fetched {
    Page {
        body: Vec<u8>,
        share: BodyShare,
        gzip: bool,
        content_type: String,
    },
    TooLarge,
    /// Pages that are on their way take so many bytes already.
    NoMemory {
        total: usize,
    },
    Failed(String),
    /// The job's targets are not to be scraped, for this reason.
    NotAsked(Arc<str>),
}

impl Fetched {
    pub(crate) fn failed(reason: String) -> Self {
        Fetched::Failed(reason)
    }
}

/// Memory of a worker that is used again.
#[derive(Default)]
pub(crate) struct Scratch {
    walk: WalkMemory,
    batch: Batch,
    outcome: Outcome,
    /// Zeros at times at which counting began.
    zeros: Batch,
    gone: Vec<u64>,
}

impl Scratch {
    /// Gives the exemplars of values whose series have just been looked up their series.
    fn give_exemplars_series(&mut self) {
        if self.batch.exemplars.is_empty() {
            return;
        }
        for i in 0..self.batch.exemplars.len() {
            let owner = self.walk.exemplar_owners.get(i);
            let series = owner.and_then(|owner| owner.series(&mut self.batch)).map(|series| *series);
            if let (Some(series), Some(exemplar)) = (series, self.batch.exemplars.get_mut(i)) {
                exemplar.series = series;
            }
        }
        self.batch.exemplars.retain(|exemplar| exemplar.series.0 < FIRST_MARK);
    }

    fn collect_zeros(&mut self) {
        self.zeros.clear();
        self.zeros.in_order_only = true;
        for &(owner, t) in &self.walk.zeros {
            let Some(series) = owner.series(&mut self.batch).map(|series| *series) else { continue };
            if series.0 >= FIRST_MARK {
                continue;
            }
            match self.batch.histograms.get(owner.place()).filter(|_| owner.is_histogram()) {
                Some(BatchHistogram { value, .. }) => {
                    let value = value.zero();
                    self.zeros.histograms.push(BatchHistogram { series, t, start_time: 0, value });
                }
                None => self.zeros.samples.push(BatchSample { series, t, v: 0.0 }),
            }
        }
    }

    /// Takes values out of the batch whose series the store refused.
    fn drop_unresolved(&mut self) {
        let batch = &mut self.batch;
        if !batch.start_times.is_empty() {
            let resolved = batch.samples.iter().map(|sample| sample.series.0 < FIRST_MARK);
            let kept = batch.start_times.iter().zip(resolved).filter(|(_, resolved)| *resolved);
            batch.start_times = kept.map(|(&time, _)| time).collect();
        }
        batch.samples.retain(|sample| sample.series.0 < FIRST_MARK);
        batch.histograms.retain(|histogram| histogram.series.0 < FIRST_MARK);
    }

    /// Gives back memory that one huge page needed.
    pub(crate) fn trim(&mut self) {
        const KEPT: usize = 1 << 17;
        self.walk.trim();
        self.batch.clear();
        self.batch.samples.shrink_to(KEPT);
        self.outcome.rejected.clear();
        self.outcome.rejected.shrink_to(KEPT);
        self.gone.clear();
        self.gone.shrink_to(KEPT);
    }
}

/// A scrape whose fetch is done.
pub(crate) struct TakeIn {
    pub(crate) state: TargetState,
    pub(crate) fetched: Fetched,
    pub(crate) environment: Environment,
    pub(crate) job: Arc<Job>,
    pub(crate) target: Arc<Target>,
    /// Of the samples: nanoseconds since the Unix epoch.
    pub(crate) stamp: i64,
    pub(crate) start: Instant,
    /// Of the page before.
    pub(crate) last_size: usize,
}

/// What a scrape reports about itself.
#[derive(Default)]
struct Report {
    counts: WalkCounts,
    /// `scrape_series_added`
    added: usize,
    body_size: f64,
    /// Nothing of the page is stored.
    error: Option<String>,
    /// Some of the page's series are not stored.
    refused: Option<String>,
}

/// A page and how to read it.
struct Page {
    body: Vec<u8>,
    format: BodyFormat,
    /// What the body has of the memory for pages.
    _share: BodyShare,
}

impl TakeIn {
    /// Bytes of the page, as far as that is known of a compressed one.
    pub(crate) fn page_size(&self) -> usize {
        match &self.fetched {
            Fetched::Page { body, .. } => body.len().max(self.last_size),
            Fetched::TooLarge | Fetched::NoMemory { .. } | Fetched::Failed(_) | Fetched::NotAsked(_) => {
                self.last_size
            }
        }
    }

    /// Stores the page's samples, staleness markers and the report; answers what to keep for the next scrape, and the
    /// page's size.
    pub(crate) fn run(mut self, scratch: &mut Scratch) -> (TargetState, Option<usize>) {
        scratch.batch.clear();
        scratch.zeros.clear();
        let mut report = Report::default();
        let page = self.page(&mut report);
        let page_bytes = page.as_ref().map_or(0, |page| page.body.len() as u64);
        self.environment.pages.add(page_bytes);
        let nothing = page.as_ref().is_some_and(|page| page.body.is_empty());
        if let (Some(page), false) = (&page, nothing) {
            match self.walk(page, scratch, false) {
                Ok((counts, refused)) => {
                    report.counts = counts;
                    report.refused = refused;
                }
                Err((counts, error)) => {
                    report.counts = counts;
                    report.error = Some(error);
                }
            }
            let told = if report.error.is_some() { report.counts.new_series.max(self.state.told) } else { 0 };
            report.added =
                report.counts.new_series.saturating_sub(std::mem::replace(&mut self.state.told, told));
        }
        if let (Some(page), true) = (&page, report.counts.comments_changed) {
            self.take_metadata(page, &report);
        }
        if report.error.is_some() || nothing {
            self.end_all(scratch);
        } else if let Some(page) = &page {
            self.push_metadata(page, &report, scratch);
        }
        let duration = self.start.elapsed();
        if let Some(refused) = self.append(&page, &report, duration.as_secs_f64(), scratch) {
            report.refused.get_or_insert(refused);
        }
        self.state.lines.set(&self.job.lines, self.state.layout.keys.len());
        let size = page.as_ref().map(|page| page.body.len());
        if let Some(page) = page {
            self.environment.workers.give_back(page.body);
        }
        self.environment.pages.sub(page_bytes);
        *self.target.status.lock() = Status {
            health: if report.error.is_some() { Health::Down } else { Health::Up },
            last_error: report.error.or(report.refused).unwrap_or_default(),
            last_scrape: Some(self.stamp),
            last_duration: duration,
        };
        (self.state, size)
    }

    /// Keeps what the page says about its metrics. Of a page that failed that is what was read of it, and what was known
    /// about other metrics stays.
    fn take_metadata(&self, page: &Page, report: &Report) {
        let read = if report.error.is_none() { usize::MAX } else { report.counts.read };
        let read = page.body.get(..read).unwrap_or(&page.body);
        let mut metadata = match page.format {
            BodyFormat::Lines(format) => lines::metadata(read, format),
            BodyFormat::Protobuf => lines::protobuf_metadata(read),
        };
        let mut known = self.target.metadata.lock();
        if report.error.is_some() {
            metadata.add_others_of(&known);
        }
        *known = self.job.metadata.share(metadata);
    }

    /// Hands what the page says about new series, and about all if it says something else than before, to the store.
    fn push_metadata(&self, page: &Page, report: &Report, scratch: &mut Scratch) {
        let news = report.counts.new_series > 0 || report.counts.comments_changed;
        if !news || !self.environment.metadata_records {
            return;
        }
        let histograms = self.target.histograms(&self.job.options);
        let as_lines = |format| -> Box<dyn Elements + '_> {
            let options = LineOptions::default();
            Box::new(LineElements::new(format, &page.body, options, &self.environment.keys))
        };
        let mut elements = match (elements(page, &histograms, &self.environment), page.format) {
            (Some(elements), _) => elements,
            (None, BodyFormat::Lines(format)) => as_lines(format),
            (None, BodyFormat::Protobuf) => return,
        };
        let told = self.target.metadata.lock().clone();
        metadata_records::push(&mut *elements, &self.state.layout, &told, &mut scratch.batch.metadata);
    }

    fn t(&self) -> i64 {
        self.stamp.div_euclid(NANOS_PER_MS)
    }

    /// The page and how to read it, or nothing and the reason in `report`.
    fn page(&mut self, report: &mut Report) -> Option<Page> {
        let fetched = match std::mem::replace(&mut self.fetched, Fetched::TooLarge) {
            Fetched::NotAsked(reason) => {
                report.error = Some(reason.to_string());
                return None;
            }
            fetched => fetched,
        };
        let plain = self.plain(fetched, report);
        if let (None, Some(reason)) = (&plain, &report.error)
            && let Some(log) = &*self.job.failure_log.read()
        {
            log.write(reason, &self.job.options.name, &self.target.url);
        }
        let (body, share, content_type) = plain?;
        report.body_size = body.len() as f64;
        if body.is_empty() {
            return Some(Page { body, format: BodyFormat::Lines(PageFormat::Text), _share: share });
        }
        match format_of(&content_type, self.job.options.fallback_scrape_protocol) {
            Ok(format) => Some(Page { body, format, _share: share }),
            Err(reason) => {
                let (scrape_pool, target) = (&self.job.options.name, &self.target.url);
                tracing::error!(
                    component = "scrape manager", scrape_pool, %target, content_type, err = reason,
                    "Failed to determine correct type of scrape target."
                );
                report.error = Some(reason);
                self.environment.workers.give_back(body);
                None
            }
        }
    }

    /// The body in plain bytes, its share of the memory for pages and its content type; or nothing and the reason.
    fn plain(&self, fetched: Fetched, report: &mut Report) -> Option<(Vec<u8>, BodyShare, String)> {
        let (body, mut share, gzip, content_type) = match fetched {
            Fetched::Page { body, share, gzip, content_type } => (body, share, gzip, content_type),
            Fetched::NoMemory { total } => {
                report.error = Some(no_memory(total));
                return None;
            }
            Fetched::TooLarge => {
                self.too_large(report);
                return None;
            }
            Fetched::Failed(reason) => {
                report.error = Some(reason);
                return None;
            }
            Fetched::NotAsked(_) => return None,
        };
        if !gzip {
            share.end(body.len());
            return Some((body, share, content_type));
        }
        let most = self.environment.bodies.total().unwrap_or(usize::MAX);
        if share.grow(body.len() + self.last_size).is_err() {
            report.error = Some(no_memory(most));
            return None;
        }
        let mut plain = self.environment.workers.buffer(self.last_size);
        let max = max_body(&self.job);
        let outcome = gunzip(&body, &mut plain, max.min(most));
        self.environment.workers.give_back(body);
        match outcome {
            Ok(()) => {
                share.end(plain.len());
                Some((plain, share, content_type))
            }
            Err(httpclient::Error::BodyTooLarge) if most < max => {
                report.error = Some(no_memory(most));
                None
            }
            Err(httpclient::Error::BodyTooLarge) => {
                self.too_large(report);
                None
            }
            Err(err) => {
                report.error = Some(err.to_string());
                None
            }
        }
    }

    fn too_large(&self, report: &mut Report) {
        self.environment.metrics.exceeded_body_size.inc();
        report.body_size = -1.0;
        report.error = Some(match self.job.options.limits.body_size {
            0 => format!(
                "body size limit exceeded ({}MB unless body_size_limit is set)",
                DEFAULT_MAX_BODY >> 20
            ),
            _ => "body size limit exceeded".to_owned(),
        });
    }

    /// Reads the page into the batch; answers what was counted, and what the store said if it refused new series. On
    /// an error the batch is of no use and the layout as it was.
    fn walk(
        &mut self,
        page: &Page,
        scratch: &mut Scratch,
        unresolved_only: bool,
    ) -> Result<(WalkCounts, Option<String>), (WalkCounts, String)> {
        let metrics = &self.environment.metrics;
        let (job, target) = (Arc::clone(&self.job), Arc::clone(&self.target));
        let histograms = target.histograms(&job.options);
        if self.environment.synthesize_start_times {
            self.state.synthesis.get_or_insert_default();
        }
        let walk_page = WalkPage {
            bytes: &page.body,
            format: match page.format {
                BodyFormat::Lines(format) => format,
                BodyFormat::Protobuf => PageFormat::Text,
            },
            rules: LabelRules { job: &job.options, target: &target.public },
        };
        let options = WalkOptions {
            page: walk_page,
            keys: &self.environment.keys,
            t: self.t(),
            max_t: self.environment.clock.now_nanos().div_euclid(NANOS_PER_MS).saturating_add(MAX_AHEAD_MS),
            unresolved_only,
            exemplars: self.environment.exemplars,
            start_times: self.environment.start_times,
            synthesis: self.state.synthesis.as_deref(),
            type_and_unit_labels: self.environment.type_and_unit_labels,
            histograms: HistogramLimits {
                buckets: histograms.bucket_limit,
                max_schema: histograms.max_schema(),
            },
        };
        let mut walk = Walk::new(options, &mut self.state.layout, &mut scratch.walk, &mut scratch.batch);
        let outcome = match elements(page, &histograms, &self.environment) {
            Some(mut elements) => walk.run_elements(&mut *elements, &mut scratch.gone),
            None => walk.run(&mut scratch.gone),
        };
        let counts = walk.counts;
        metrics.lines_parsed.add(counts.parsed as f64);
        metrics.lines_unchanged.add((counts.scraped - counts.parsed.min(counts.scraped)) as f64);
        self.dropped(counts.duplicates as u64, &metrics.duplicates, DUPLICATE);
        self.dropped(counts.out_of_bounds as u64, &metrics.out_of_bounds, OUT_OF_BOUNDS);
        match outcome {
            Ok(()) => {
                let refused = self.resolve(&walk_page, scratch);
                if counts.duplicates > 0 {
                    self.state.layout.resolve_repeated();
                }
                self.push_gone(scratch);
                if let (Some(synthesis), false) = (&mut self.state.synthesis, unresolved_only) {
                    if counts.duplicates > 0 {
                        self.state.layout.repeated().for_each(|series| synthesis.start_anew(series));
                    }
                    synthesis.end_page();
                }
                Ok((counts, refused))
            }
            Err(err) => {
                match &err {
                    PageError::SampleLimit => metrics.exceeded_samples.inc(),
                    PageError::BucketLimit => metrics.exceeded_buckets.inc(),
                    PageError::Labels(LabelError::Limit(_)) => metrics.exceeded_label_limits.inc(),
                    _ => {}
                }
                Err((counts, err.to_string()))
            }
        }
    }

    /// Looks up the series of lines that were new; answers what the store said if it refused any.
    fn resolve(&mut self, page: &WalkPage<'_>, scratch: &mut Scratch) -> Option<String> {
        let affinity = self.target.affinity();
        let (mut refused, mut why) = (0, None);
        let mut all = std::mem::take(&mut scratch.walk.pending);
        for mut pending in all.drain(..) {
            let Some(labels) = scratch.walk.labels_of(&mut pending, page) else { continue };
            match self.environment.store.resolve(affinity, &labels) {
                Ok(resolved) => {
                    if let Some(series) = pending.sample.series(&mut scratch.batch) {
                        *series = resolved.series;
                    }
                    if let Some(series) = self.state.layout.series.get_mut(pending.line as usize) {
                        *series = resolved.series.0;
                    }
                }
                Err(error) => {
                    refused += 1;
                    why.get_or_insert(error);
                }
            }
        }
        scratch.walk.pending = all;
        let synthesis = self.state.synthesis.as_deref_mut();
        let left_out = synthesis.is_some_and(|synthesis| {
            synthesis.apply(&mut scratch.walk, &mut scratch.batch, self.environment.start_times)
        });
        scratch.give_exemplars_series();
        scratch.collect_zeros();
        if left_out || why.is_some() {
            scratch.drop_unresolved();
        }
        let why = why?;
        // They stay unresolved in the layout and are tried again; known series go on.
        self.environment.metrics.series_refused.add(f64::from(refused));
        tracing::warn!(component = "scrape manager", target = %self.target.url, refused, %why, "The store refused new series");
        Some(format!("{refused} new series refused: {why}"))
    }

    /// Staleness markers for series whose lines are gone or have timestamps of their own now, unless another line that is
    /// marked is of the same series.
    fn push_gone(&mut self, scratch: &mut Scratch) {
        if scratch.gone.is_empty() {
            return;
        }
        scratch.gone.sort_unstable();
        scratch.gone.dedup();
        let mut alive = vec![false; scratch.gone.len()];
        let synthesis = self.state.synthesis.as_deref();
        let track_all = self.job.options.track_timestamps_staleness;
        let track = |series| track_all || synthesis.is_some_and(|synthesis| synthesis.goes_on(series));
        for (_, series) in self.state.layout.mortal(0, track) {
            if let Ok(place) = scratch.gone.binary_search(&series.0) {
                alive[place] = true;
            }
        }
        let t = self.t();
        let unstored = |series| synthesis.is_some_and(|synthesis| synthesis.is_unstored(series));
        let gone = scratch.gone.drain(..).zip(alive).filter(|(series, alive)| !alive && !unstored(*series));
        scratch.batch.samples.extend(gone.map(|(series, _)| BatchSample {
            series: SeriesRef(series),
            t,
            v: STALE_NAN,
        }));
    }

    /// After a failure or a page without a byte: staleness markers for what was there before, whose layout is kept.
    fn end_all(&mut self, scratch: &mut Scratch) {
        scratch.batch.clear();
        scratch.zeros.clear();
        scratch.gone.clear();
        let t = self.t();
        self.state.push_markers(self.job.options.track_timestamps_staleness, t, &mut scratch.batch.samples);
    }

    /// Answers what the store said if it refused the series of the report.
    fn append(
        &mut self,
        page: &Option<Page>,
        report: &Report,
        seconds: f64,
        scratch: &mut Scratch,
    ) -> Option<String> {
        let healthy = report.error.is_none();
        let values: ReportValues = [
            f64::from(u8::from(healthy)),
            seconds,
            report.counts.scraped as f64,
            report.counts.added as f64,
            report.added as f64,
            self.target.timeout.as_secs_f64(),
            self.job.options.limits.samples as f64,
            report.body_size,
        ];
        let mut refused = None;
        // A handle that the store dropped is looked up once more; twice in a row does not happen.
        for attempt in 0..2 {
            let extra = self.job.options.extra_scrape_metrics;
            let (store, t) = (self.environment.store.clone(), self.t());
            let affinity = self.target.affinity();
            let reports = self.state.reports.resolve(store.as_ref(), affinity, &self.target.public, extra);
            self.state.reports.push(&values, extra, t, &mut scratch.batch.samples);
            match reports {
                Ok(()) => {}
                // Of a target that is new itself. What series it has go on.
                Err(err @ AppendError::SeriesLimit(_)) => refused = Some(err.to_string()),
                Err(err) => {
                    tracing::error!(component = "scrape manager", target = %self.target.url, %err, "Scrape commit failed");
                    return None;
                }
            }
            if !scratch.zeros.is_empty() {
                // What is refused of them is no news: the series went on.
                if let Err(err) = store.append(&scratch.zeros, &mut scratch.outcome) {
                    tracing::debug!(component = "scrape manager", target = %self.target.url, %err, "No zeros at start times");
                }
                scratch.zeros.clear();
            }
            if !scratch.batch.start_times.is_empty() {
                scratch.batch.start_times.resize(scratch.batch.samples.len(), 0);
            }
            scratch.batch.in_order_only = self.environment.synthesize_start_times;
            scratch.batch.in_order_markers = true;
            if let Err(err) = store.append(&scratch.batch, &mut scratch.outcome) {
                tracing::error!(component = "scrape manager", target = %self.target.url, %err, "Scrape commit failed");
                return refused;
            }
            let unknown = self.rejections(scratch);
            if unknown.is_empty() || attempt == 1 {
                break;
            }
            self.state.reports.forget();
            self.state.layout.unresolve(&unknown);
            if let Some(synthesis) = &mut self.state.synthesis {
                synthesis.forget(&unknown);
            }
            scratch.batch.clear();
            if let (Some(page), true) = (page, healthy)
                && let Err((_, err)) = self.walk(page, scratch, true)
            {
                tracing::error!(component = "scrape manager", target = %self.target.url, err, "Scrape commit failed");
                break;
            }
        }
        refused
    }

    /// Counts refused samples; answers the handles, sorted, that the store does not know any more.
    fn rejections(&mut self, scratch: &Scratch) -> Vec<u64> {
        let metrics = &self.environment.metrics;
        let mut unknown = Vec::new();
        let (mut out_of_order, mut duplicates, mut out_of_bounds) = (0, 0, 0);
        for (place, reason) in &scratch.outcome.rejected {
            let Some(sample) = scratch.batch.samples.get(*place as usize) else { continue };
            match reason {
                Rejection::UnknownSeries => unknown.push(sample.series.0),
                _ if model::is_stale(sample.v) => {}
                Rejection::OutOfOrder => out_of_order += 1,
                Rejection::Duplicate => duplicates += 1,
                Rejection::TooOld | Rejection::OutOfBounds => out_of_bounds += 1,
                Rejection::Invalid => {}
            }
        }
        for (place, reason) in &scratch.outcome.rejected_histograms {
            let Some(histogram) = scratch.batch.histograms.get(*place as usize) else { continue };
            match reason {
                Rejection::UnknownSeries => unknown.push(histogram.series.0),
                Rejection::OutOfOrder => out_of_order += 1,
                Rejection::Duplicate => duplicates += 1,
                Rejection::TooOld | Rejection::OutOfBounds => out_of_bounds += 1,
                Rejection::Invalid => {}
            }
        }
        let late = scratch.outcome.rejected_exemplars.iter().filter(|(_, r)| *r == Rejection::OutOfOrder);
        let late = late.count() as u64;
        self.dropped(out_of_order, &metrics.out_of_order, OUT_OF_ORDER);
        self.dropped(duplicates, &metrics.duplicates, DUPLICATE);
        self.dropped(out_of_bounds, &metrics.out_of_bounds, OUT_OF_BOUNDS);
        self.dropped(late, &metrics.exemplars_out_of_order, EXEMPLAR_OUT_OF_ORDER);
        if let Some(synthesis) = &mut self.state.synthesis {
            let (samples, histograms) = (&scratch.batch.samples, &scratch.batch.histograms);
            let refused = scratch.outcome.rejected.iter();
            let refused = refused.filter_map(|(place, _)| Some(samples.get(*place as usize)?.series));
            let refused_histograms = scratch.outcome.rejected_histograms.iter();
            let refused_histograms =
                refused_histograms.filter_map(|(place, _)| Some(histograms.get(*place as usize)?.series));
            refused.chain(refused_histograms).for_each(|series| synthesis.start_anew(series.0));
        }
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    /// Counts samples that were dropped, and says of which target they were.
    fn dropped(&self, count: u64, counter: &Counter, why: &str) {
        if count == 0 {
            return;
        }
        counter.add(count as f64);
        let (scrape_pool, target) = (&self.job.options.name, &self.target.url);
        tracing::warn!(component = "scrape manager", scrape_pool, %target, num_dropped = count, "{why}");
    }
}

/// The page as elements; none if it is to be read line by line.
fn elements<'a>(
    page: &'a Page,
    histograms: &HistogramOptions,
    environment: &'a Environment,
) -> Option<Box<dyn Elements + 'a>> {
    let HistogramOptions { native, classic_too, convert, .. } = *histograms;
    let start_times = environment.start_times != StartTimes::Ignored
        && page.format == BodyFormat::Lines(PageFormat::OpenMetrics);
    match page.format {
        BodyFormat::Protobuf => {
            let options = ProtobufOptions { native, classic_too, convert };
            Some(Box::new(ProtobufElements::new(&page.body, options, &environment.keys)))
        }
        BodyFormat::Lines(format) if convert || start_times || environment.synthesize_start_times => {
            let options = LineOptions { convert, keep_classic: classic_too, start_times };
            Some(Box::new(LineElements::new(format, &page.body, options, &environment.keys)))
        }
        BodyFormat::Lines(_) => None,
    }
}

fn no_memory(total: usize) -> String {
    let total = model::size::format(i64::try_from(total).unwrap_or(i64::MAX));
    format!(
        "no memory for the page: pages may take {total} together, a quarter of the memory limit (--memory.limit)"
    )
}

impl TargetState {
    /// Whether nothing was ever written for the target.
    pub(crate) fn is_empty(&self) -> bool {
        self.reports.handles().is_empty()
    }

    /// Marks all series of a target that is gone stale as of `stamp` (nanoseconds). The store refuses the markers of
    /// series that someone wrote to since.
    pub(crate) fn end(
        mut self,
        store: &dyn Append,
        track_timestamps: bool,
        stamp: i64,
        scratch: &mut Scratch,
    ) -> Result<(), AppendError> {
        let t = stamp.div_euclid(NANOS_PER_MS);
        scratch.batch.clear();
        self.push_markers(track_timestamps, t, &mut scratch.batch.samples);
        let reports = self.reports.handles().iter();
        scratch.batch.samples.extend(reports.map(|&series| BatchSample { series, t, v: STALE_NAN }));
        scratch.batch.in_order_markers = true;
        store.append(&scratch.batch, &mut scratch.outcome)
    }

    /// Staleness markers for everything that has none yet.
    fn push_markers(&mut self, track_timestamps: bool, t: i64, samples: &mut Vec<BatchSample>) {
        if !self.layout.ended {
            let from = samples.len();
            let is = |what: fn(&Synthesis, u64) -> bool, series| {
                self.synthesis.as_deref().is_some_and(|synthesis| what(synthesis, series))
            };
            let track = |series| track_timestamps || is(Synthesis::goes_on, series);
            let mortal = self.layout.mortal(0, track).map(|(_, series)| series);
            let stored = mortal.filter(|series| !is(Synthesis::is_unstored, series.0));
            samples.extend(stored.map(|series| BatchSample { series, t, v: STALE_NAN }));
            // Several lines can be of one series.
            if let Some(own) = samples.get_mut(from..) {
                own.sort_unstable_by_key(|sample| sample.series);
            }
            samples.dedup_by_key(|sample| sample.series);
        }
        self.layout.ended = true;
    }
}
