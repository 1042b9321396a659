//! Reading series and computing on each of them for itself, on all threads.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunk::Columns;
use model::histogram::HistogramSample;
use model::{Labels, METRIC_NAME, METRIC_TYPE, is_stale};
use storage::{Newest, Projection, Request, SeriesPart};

use super::column::{Column, Grid, Scalars, Series, drop_reserved};
use super::map::Ready;
use super::mixed::Histograms;
use super::native_rate::Remarks;
use super::peaks::{Given, Windowed};
use super::rows::{Rows, has_equal, merge_equal};
use super::samples::{RawSeries, Samples, decode, without_stale};
use super::start_times::Started;
use super::stats::{self, Held, Looks};
use super::trace::ReadTotals;
use super::window::{self, WindowFn, WindowScratch, Windows};
use super::{Evaluator, mixed, rate, same_labelset};
use crate::ast::RangeMode;
use crate::engine::{QueryError, StepStats};
use crate::plan::{Read, Scan, Source, Stage, Wanted, WindowCall};

/// Series of shared reads that make one item of work.
const SHARED_SERIES_PER_ITEM: usize = 16;

/// With more steps than this, a look at the clock for each series costs nothing.
const MANY_STEPS: usize = 10_000;

/// What a scan found: one series with its values.
pub(super) struct Found<'a> {
    /// As they are after the scan's functions.
    pub(super) labels: Labels,
    /// As they are in the store: series keep that order when their names go.
    pub(super) stored: Labels,
    /// With delayed name removal: the name is to go at the end.
    pub(super) drop_name: bool,
    /// At least one value.
    pub(super) column: &'a Column,
}

/// What one thread needs to work on series after series.
struct Worker<'w> {
    windows: Windows<'w>,
    source: &'w Source,
    args: &'w [Scalars],
    stages: &'w [Ready],
    drops_name: bool,
    name: Option<&'w str>,
    column: Column,
    scratch: WindowScratch,
    kept: Columns,
    /// Name and type of the last metric of which was asked whether it is a counter.
    noted: (String, String),
    counts_only: bool,
    resets_known: Vec<HistogramSample>,
    /// One a step, if they are counted.
    counts: Vec<StepStats>,
    /// Samples decoded, and bytes of the chunks that they were in.
    decoded: (u64, u64),
    /// Where samples are counted: what the query's parts gave, and what windows held.
    parts: Parts,
}

/// What was counted of a scan besides what it looked at.
#[derive(Default)]
struct Parts {
    /// After how many stages which was given.
    given: Vec<(usize, Given)>,
    windowed: Windowed,
    /// Series whose times were looked at.
    looked_at: Given,
}

impl Parts {
    fn of(scan: &Scan, stages: usize, steps: usize) -> Self {
        let mut after: Vec<usize> = scan.parts.iter().map(|(after, _)| *after).collect();
        after.dedup();
        after.retain(|&after| after <= stages);
        let given = after.into_iter().map(|after| (after, Given::nothing(steps)));
        Parts { given: given.collect(), ..Parts::default() }
    }

    fn add(&mut self, after: usize, column: &Column, bare: bool) {
        if let Some((_, given)) = self.given.iter_mut().find(|(stages, _)| *stages == after) {
            given.add(column, bare);
        }
    }
}

impl Worker<'_> {
    /// Computes the series' column; whether it has any value.
    fn compute(
        &mut self,
        evaluator: &Evaluator<'_>,
        labels: &Labels,
        samples: &Samples,
    ) -> Result<bool, QueryError> {
        self.column.clear();
        let mut held = Held::default();
        if let Some((looks, of_histogram)) =
            Looks::of(self.source, self.counts_only).filter(|_| !self.counts.is_empty())
        {
            held = stats::count(looks, of_histogram, &self.windows, samples, &mut self.counts)?;
        }
        if matches!(self.source, Source::StartTime) {
            if evaluator.start_times {
                self.compute_start_times(samples);
            }
        } else if samples.histograms.is_empty() {
            self.compute_floats(evaluator, labels, &samples.floats)?;
        } else {
            self.compute_mixed(evaluator, labels, samples)?;
        }
        if !self.counts.is_empty() {
            if matches!(self.source, Source::Smoothed(_)) {
                let Windows { lookback, offset, .. } = self.windows;
                let around = Windows { range: 2 * lookback, offset: offset - lookback, ..self.windows };
                let mut steps = vec![StepStats::default(); self.counts.len()];
                held = stats::count(Looks::Window, None, &around, samples, &mut steps)?;
                self.parts.windowed.add(Held { gave: held.last, last: 0, ..held });
            } else {
                self.parts.windowed.add(Held { gave: stats::weight_of(&self.column), ..held });
            }
            self.parts.add(0, &self.column, self.counts_only);
        }
        for (i, stage) in self.stages.iter().enumerate() {
            stage.apply(&mut self.column, &evaluator.notes);
            self.parts.add(i + 1, &self.column, self.counts_only);
        }
        Ok(!self.column.is_absent())
    }

    /// Notes how many series there were at each step whose times are looked at.
    fn note_looked_at(&mut self) {
        if matches!(self.source, Source::Timestamp | Source::StartTime) {
            self.parts.looked_at = Given::counted(self.counts.iter().map(|step| step.queryable).collect());
        }
    }

    /// At each step the start time of the newest sample, in seconds; 0 where it is not known.
    fn compute_start_times(&mut self, samples: &Samples) {
        let Samples { floats, histograms, histogram_starts, .. } = samples;
        let seconds = |starts: &[i64], i: usize| starts.get(i).copied().unwrap_or(0) as f64 / 1000.0;
        let of_floats = floats
            .times
            .iter()
            .zip(&floats.values)
            .enumerate()
            .map(|(i, (&t, &v))| (t, if is_stale(v) { v } else { seconds(&floats.start_times, i) }));
        let of_histograms = histograms.iter().enumerate().map(|(i, s)| (s.t, seconds(histogram_starts, i)));
        let mut all: Vec<(i64, f64)> = of_floats.chain(of_histograms).collect();
        all.sort_by_key(|(t, _)| *t);
        self.kept.clear();
        self.kept.times.extend(all.iter().map(|(t, _)| *t));
        self.kept.values.extend(all.iter().map(|(_, v)| *v));
        newest(&self.windows, &self.kept.times, &self.kept.values, false, &mut self.column);
        self.scratch.samples += self.column.count() as u64;
    }

    /// The column of a series with histograms.
    fn compute_mixed(
        &mut self,
        evaluator: &Evaluator<'_>,
        labels: &Labels,
        samples: &Samples,
    ) -> Result<(), QueryError> {
        let Samples { floats, histograms, histogram_starts: starts, .. } = samples;
        let mut histograms = histograms.as_slice();
        if self.counts_only {
            mixed::find_resets(histograms, &mut self.resets_known);
            histograms = &self.resets_known;
        }
        let name = self.name.unwrap_or_else(|| labels.value(METRIC_NAME));
        let remarks = |span| Remarks { notes: &evaluator.notes, name, span };
        match self.source {
            Source::StartTime => {}
            Source::Instant | Source::Timestamp => {
                let want_time = matches!(self.source, Source::Timestamp);
                mixed::newest(&self.windows, floats, histograms, want_time, &mut self.column);
                self.scratch.samples += self.column.count() as u64;
            }
            Source::Smoothed(span) => {
                let floats = without_stale(floats, &mut self.kept);
                smoothed(&self.windows, &floats.times, &floats.values, &mut self.column);
                mixed::smoothed(&self.windows, floats, histograms, remarks(*span), &mut self.column);
                self.scratch.samples += self.column.count() as u64;
            }
            Source::Window(call) => {
                let floats = without_stale(floats, &mut self.kept);
                let (windows, scratch) = (&self.windows, &mut self.scratch);
                let remarks = remarks(call.span);
                mixed::apply(
                    call,
                    self.args,
                    windows,
                    floats,
                    Histograms { samples: histograms, starts },
                    remarks,
                    scratch,
                    &mut self.column,
                )?;
                match std::mem::take(&mut self.scratch.overlaps) {
                    0 => {}
                    windows => remarks.start_times_overlap(windows),
                }
                evaluator.note_window((name, labels.value(METRIC_TYPE)), self.args, &self.column, call);
            }
        }
        Ok(())
    }

    fn compute_floats(
        &mut self,
        evaluator: &Evaluator<'_>,
        labels: &Labels,
        samples: &Columns,
    ) -> Result<(), QueryError> {
        match self.source {
            Source::StartTime => {}
            Source::Instant | Source::Timestamp => {
                let want_time = matches!(self.source, Source::Timestamp);
                newest(&self.windows, &samples.times, &samples.values, want_time, &mut self.column);
                self.scratch.samples += self.column.count() as u64;
            }
            Source::Smoothed(_) => {
                let samples = without_stale(samples, &mut self.kept);
                smoothed(&self.windows, &samples.times, &samples.values, &mut self.column);
                self.scratch.samples += self.column.count() as u64;
            }
            Source::Window(call) => {
                let samples = without_stale(samples, &mut self.kept);
                window::apply(
                    call.function,
                    self.args,
                    &self.windows,
                    Started { times: &samples.times, starts: &samples.start_times },
                    &samples.values,
                    &mut self.scratch,
                    &mut self.column,
                )?;
                if self.scratch.overlaps > 0 {
                    let name = self.name.unwrap_or_else(|| labels.value(METRIC_NAME));
                    let remarks = Remarks { notes: &evaluator.notes, name, span: call.span };
                    remarks.start_times_overlap(std::mem::take(&mut self.scratch.overlaps));
                }
                if call.function == WindowFn::Quantile {
                    evaluator.note_quantiles(self.args, &self.column, call);
                }
                if call.function.wants_counter() && !self.column.is_absent() {
                    let name = self.name.unwrap_or_else(|| labels.value(METRIC_NAME));
                    let metric_type = labels.value(METRIC_TYPE);
                    if self.noted.0 != name || self.noted.1 != metric_type {
                        self.noted = (name.to_owned(), metric_type.to_owned());
                        evaluator.note_if_no_counter(name, metric_type, call);
                    }
                }
            }
        }
        Ok(())
    }
}

/// At each step the newest sample that is younger than the lookback and no staleness marker.
fn newest(windows: &Windows<'_>, times: &[i64], values: &[f64], want_time: bool, out: &mut Column) {
    let mut next = 0;
    for step in 0..windows.grid.len() {
        let now = windows.at.unwrap_or_else(|| windows.grid.time(step)) - windows.offset;
        while times.get(next).is_some_and(|&t| t <= now) {
            next += 1;
        }
        let Some(newest) = next.checked_sub(1) else { continue };
        let (Some(&t), Some(&v)) = (times.get(newest), values.get(newest)) else { continue };
        if t > now - windows.lookback && !is_stale(v) {
            out.set(step, if want_time { t as f64 / 1000.0 } else { v });
        } else if next == times.len() && t <= now - windows.lookback {
            break;
        }
    }
}

/// At each step the value on the line between the samples around it, or the one before it.
fn smoothed(windows: &Windows<'_>, times: &[i64], values: &[f64], out: &mut Column) {
    let at = |k: usize| Some((*times.get(k)?, *values.get(k)?));
    for step in 0..windows.grid.len() {
        let now = windows.at.unwrap_or_else(|| windows.grid.time(step)) - windows.offset;
        let next = times.partition_point(|&t| t < now);
        let before = next.checked_sub(1).and_then(at).filter(|&(t, _)| t > now - windows.lookback);
        let behind = at(next).filter(|&(t, _)| t <= now + windows.lookback);
        match (before, behind) {
            (_, Some((t, v))) if t == now => out.set(step, v),
            (Some((t1, v1)), Some((t2, v2))) => out.set(step, rate::interpolate(t1, v1, t2, v2, now, false)),
            (Some((_, v)), None) => out.set(step, v),
            (None, _) => {}
        }
    }
}

impl Evaluator<'_> {
    fn note_if_no_counter(&self, name: &str, metric_type: &str, call: &WindowCall) {
        const SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];
        if name.is_empty() {
            return;
        }
        if self.type_labels {
            if !matches!(metric_type, "counter" | "histogram") {
                self.notes.lock().not_counter_by_label(name, metric_type, call.span);
            }
        } else if !SUFFIXES.iter().any(|s| name.ends_with(s)) {
            self.notes.lock().maybe_not_counter(name, call.span);
        }
    }

    /// Remarks on quantiles that are none, at steps that have a result.
    fn note_quantiles(&self, args: &[Scalars], column: &Column, call: &WindowCall) {
        let Some(q) = args.first() else { return };
        let steps = if matches!(q, Scalars::Const(_)) { 1 } else { usize::MAX };
        for q in column.iter().take(steps).map(|(i, _)| q.get(i)).filter(|q| !(0.0..=1.0).contains(q)) {
            self.notes.lock().bad_quantile(q, call.span);
        }
    }

    /// What is to be remarked about a window function's result, of a metric of this name and type.
    pub(super) fn note_window(
        &self,
        (name, metric_type): (&str, &str),
        args: &[Scalars],
        column: &Column,
        call: &WindowCall,
    ) {
        if call.function == WindowFn::Quantile {
            self.note_quantiles(args, column, call);
        }
        if call.function.wants_counter() && column.iter().next().is_some() {
            self.note_if_no_counter(name, metric_type, call);
        }
    }

    /// Streams a scan's series with the first `stages` of its stages through `each`, one state a group of series.
    /// The states come in an order that does not depend on the threads.
    pub(super) fn scan<S: Send>(
        &self,
        scan: &Scan,
        stages: &[Stage],
        grid: Grid,
        init: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, Found<'_>) -> Result<(), QueryError> + Sync,
    ) -> Result<Vec<S>, QueryError> {
        let totals = ReadTotals::default();
        let streamed = self.stream(scan, stages, grid, init, each, &totals)?;
        self.decoded.fetch_add(totals.samples.load(Ordering::Relaxed), Ordering::Relaxed);
        if let (Some(trace), Some(read)) = (&self.trace, self.plan.reads.get(scan.read)) {
            trace.note_read(read, &totals);
        }
        Ok(streamed)
    }

    fn stream<S: Send>(
        &self,
        scan: &Scan,
        stages: &[Stage],
        grid: Grid,
        init: impl Fn() -> S + Sync,
        each: impl Fn(&mut S, Found<'_>) -> Result<(), QueryError> + Sync,
        totals: &ReadTotals,
    ) -> Result<Vec<S>, QueryError> {
        let Some(read) = self.plan.reads.get(scan.read) else { return Ok(Vec::new()) };
        let (args, range, mode) = match &scan.source {
            Source::Window(call) => {
                let args = self.scalars(&call.args, grid)?;
                if let Some(why) = &call.misuse {
                    return Err(QueryError::Execution(why.clone()));
                }
                (args, call.range, call.mode)
            }
            _ => (Vec::new(), 0, None),
        };
        let stages_ready = self.ready_stages(stages, grid)?;
        let drops_name = scan.source.drops_name() || stages.iter().any(Stage::drops_name);
        let windows = Windows {
            grid,
            range,
            offset: scan.offset,
            at: scan.at,
            mode,
            lookback: self.lookback,
            ctx: Some(self.ctx),
        };
        let worker = || Worker {
            windows,
            source: &scan.source,
            args: &args,
            stages: &stages_ready,
            drops_name,
            name: scan.name.as_deref(),
            column: Column::absent(grid.len()),
            scratch: WindowScratch::default(),
            kept: Columns::default(),
            noted: Default::default(),
            counts_only: scan.counts_only,
            resets_known: Vec::new(),
            counts: self.uncounted(grid),
            decoded: (0, 0),
            parts: Parts::of(scan, stages.len(), grid.len()),
        };
        let one = |worker: &mut Worker<'_>, state: &mut S, labels: Cow<'_, Labels>, samples: &Samples| {
            if !worker.compute(self, &labels, samples)? {
                return Ok(());
            }
            let drops = worker.drops_name && !self.delayed_names;
            let stored = labels.into_owned();
            let labels = if drops { drop_reserved(&stored) } else { stored.clone() };
            each(state, Found { labels, stored, drop_name: worker.drops_name, column: &worker.column })
        };
        let finish = |worker: &Worker<'_>, series: u64| {
            self.samples.fetch_add(worker.scratch.samples, Ordering::Relaxed);
            self.series.fetch_add(series, Ordering::Relaxed);
            self.count(grid, &worker.counts);
            totals.add(series, worker.decoded.0, worker.decoded.1);
        };
        // What an aggregation holds may be much for each group, and more groups only even out what threads have to do.
        let groups = self.workers.threads() * if scan.taken_in { 1 } else { 2 };
        let in_common = self.read_in_common(scan.read, totals)?;
        if read.uses > 1 || in_common.is_some() {
            let shared = match in_common {
                Some(series) => series,
                None => self.shared_read(scan.read, read, totals)?,
            };
            let items: Vec<&[RawSeries]> = shared.chunks(SHARED_SERIES_PER_ITEM).collect();
            let heavy = self.workers.pay_for(shared.len());
            let results = self.workers.run_in_groups(items, groups, heavy, |group| {
                let (mut worker, mut state) = (worker(), init());
                for raw in group.into_iter().flatten() {
                    self.ctx.check()?;
                    one(&mut worker, &mut state, Cow::Borrowed(&raw.labels), &raw.samples)?;
                }
                finish(&worker, 0);
                worker.note_looked_at();
                Ok((state, worker.parts))
            });
            return self.note_parts(scan, Parts::of(scan, stages.len(), grid.len()), results);
        }
        let parts = self.select(read)?;
        // Series of very many steps take long each.
        let check_every = if grid.len() > MANY_STEPS { 1 } else { 64 };
        let heavy = self.workers.pay_for(parts.iter().map(|p| p.size_hint()).sum());
        let results = self.workers.run_in_groups(parts, groups, heavy, |group| {
            let (mut worker, mut state) = (worker(), init());
            let mut decoded = Samples::default();
            let mut series = 0;
            for mut part in group {
                while let Some(labels) = decode(&mut *part, read, self.start_times, &mut decoded)? {
                    series += 1;
                    if series % check_every == 1 % check_every {
                        self.ctx.check()?;
                    }
                    worker.decoded.0 += decoded.len() as u64;
                    worker.decoded.1 += decoded.bytes;
                    one(&mut worker, &mut state, Cow::Owned(labels), &decoded)?;
                }
            }
            finish(&worker, series);
            worker.note_looked_at();
            Ok((state, worker.parts))
        });
        self.note_parts(scan, Parts::of(scan, stages.len(), grid.len()), results)
    }

    /// Notes what was counted, groups of series one after the other.
    fn note_parts<S>(
        &self,
        scan: &Scan,
        mut all: Parts,
        results: Vec<Result<(S, Parts), QueryError>>,
    ) -> Result<Vec<S>, QueryError> {
        let mut states = Vec::with_capacity(results.len());
        for result in results {
            let (state, parts) = result?;
            states.push(state);
            all.windowed.append(parts.windowed);
            all.looked_at.merge(&parts.looked_at);
            for ((_, all), (_, given)) in all.given.iter_mut().zip(&parts.given) {
                all.merge(given);
            }
        }
        if let Some(ledger) = &self.ledger {
            match &scan.source {
                Source::Window(call) => ledger.give_windows(call.whole, all.windowed),
                Source::Smoothed(place) => ledger.give_windows(*place, all.windowed),
                Source::Timestamp | Source::StartTime => {
                    if let Some(&(_, place)) = scan.parts.first() {
                        ledger.give_looked_at(place, all.looked_at);
                    }
                }
                Source::Instant => {}
            }
            for &(after, place) in &scan.parts {
                if let Some((_, given)) = all.given.iter().find(|(stages, _)| *stages == after) {
                    ledger.give(place, given.clone());
                }
            }
        }
        Ok(states)
    }

    /// The float series of a read that is not in the plan, with each scan's labels as they are stored.
    pub(super) fn scan_named(&self, read: &Read, scan: &Scan, grid: Grid) -> Result<Vec<Series>, QueryError> {
        let windows = Windows {
            grid,
            range: 0,
            offset: scan.offset,
            at: scan.at,
            mode: None,
            lookback: self.lookback,
            ctx: Some(self.ctx),
        };
        let mut all = Vec::new();
        let mut decoded = Samples::default();
        let mut steps = self.uncounted(grid);
        for mut part in self.select(read)? {
            while let Some(labels) = decode(&mut *part, read, self.start_times, &mut decoded)? {
                self.ctx.check()?;
                if !steps.is_empty() {
                    stats::count(Looks::Newest, None, &windows, &decoded, &mut steps)?;
                }
                // A read of one time ends there, whatever the chunks hold beyond it.
                let Samples { floats: samples, histograms, .. } = &mut decoded;
                let until = samples.times.partition_point(|&t| t <= read.max_time);
                samples.times.truncate(until);
                samples.values.truncate(until);
                histograms.truncate(histograms.partition_point(|s| s.t <= read.max_time));
                if !histograms.is_empty() {
                    return Err(QueryError::Execution("info sample should be float".to_owned()));
                }
                let mut floats = Column::absent(grid.len());
                let want_time = matches!(scan.source, Source::Timestamp);
                mixed::newest(&windows, samples, histograms, want_time, &mut floats);
                if !floats.is_absent() {
                    all.push(Series { labels, drop_name: false, floats });
                }
            }
        }
        self.count(grid, &steps);
        Ok(all)
    }

    fn select(&self, read: &Read) -> Result<Vec<Box<dyn SeriesPart + '_>>, QueryError> {
        let names: Vec<&str> = match &read.labels {
            Wanted::All => Vec::new(),
            Wanted::Only(names) | Wanted::Without(names) => names.iter().map(String::as_str).collect(),
        };
        let labels = match &read.labels {
            Wanted::All => Projection::All,
            Wanted::Only(_) => Projection::Only(&names),
            Wanted::Without(_) => Projection::Without(&names),
        };
        let request = Request {
            matchers: &read.matchers,
            min_time: read.min_time,
            max_time: read.max_time,
            labels,
            // What is counted of a window is all of its samples.
            newest: read.newest.filter(|newest| *newest == Newest::Last || self.counts.is_none()),
        };
        Ok(self.store.select(self.ctx, &request)?)
    }

    /// What several scans read, decoded once.
    fn shared_read(
        &self,
        at: usize,
        read: &Read,
        totals: &ReadTotals,
    ) -> Result<Arc<Vec<RawSeries>>, QueryError> {
        let Some(slot) = self.shared.get(at) else { return Ok(Arc::default()) };
        let mut slot = slot.lock();
        if let Some(shared) = &*slot {
            return Ok(Arc::clone(shared));
        }
        let all = self.raw_series(read, totals, |weight| {
            self.note_kept(at, weight);
            std::mem::forget(self.hold(weight)?);
            Ok(())
        })?;
        let shared = Arc::new(all);
        *slot = Some(Arc::clone(&shared));
        Ok(shared)
    }

    /// What queries of one time read in common; none if the scan is to read for itself.
    fn read_in_common(
        &self,
        at: usize,
        totals: &ReadTotals,
    ) -> Result<Option<Arc<Vec<RawSeries>>>, QueryError> {
        let Some(read) = self.common.and_then(|common| common.read(at)) else { return Ok(None) };
        read.series(self.ctx, |read, hold| self.raw_series(read, totals, hold))
    }

    /// All series of a read, decoded; `hold` is told what each weighs.
    fn raw_series(
        &self,
        read: &Read,
        totals: &ReadTotals,
        hold: impl Fn(u64) -> Result<(), QueryError> + Sync,
    ) -> Result<Vec<RawSeries>, QueryError> {
        let parts = self.select(read)?;
        let heavy = self.workers.pay_for(parts.iter().map(|p| p.size_hint()).sum());
        let groups = self.workers.run(parts, heavy, |group| {
            let mut all = Vec::new();
            for mut part in group {
                let mut samples = Samples::default();
                all.reserve(part.size_hint());
                while let Some(labels) = decode(&mut *part, read, self.start_times, &mut samples)? {
                    self.ctx.check()?;
                    let samples = samples.between(read.min_time, read.max_time);
                    hold(samples.weight())?;
                    all.push(RawSeries { labels, samples });
                }
            }
            Ok::<_, QueryError>(all)
        });
        let mut all = Vec::new();
        for group in groups {
            all.extend(group?);
        }
        self.series.fetch_add(all.len() as u64, Ordering::Relaxed);
        for raw in &all {
            totals.add(1, raw.samples.len() as u64, raw.samples.bytes);
        }
        Ok(all)
    }

    /// A scan's series in memory, ordered by labels.
    pub(super) fn scan_rows(&self, scan: &Scan, grid: Grid) -> Result<Rows<'_>, QueryError> {
        // Without a fixed metric name, series may become equal where the name is dropped; then that is looked at
        // before anything else is computed.
        let unchecked = scan.name.is_some() || self.delayed_names || !scan.drops_name();
        let until = if unchecked {
            scan.stages.len()
        } else if scan.source.drops_name() {
            0
        } else {
            scan.stages.iter().position(Stage::drops_name).map_or(scan.stages.len(), |at| at + 1)
        };
        let (first, rest) = scan.stages.split_at(until);
        let groups = self.scan(
            scan,
            first,
            grid,
            || (Vec::new(), Vec::new()),
            |(series, holds), found| {
                let weight = stats::weight_of(found.column);
                self.note_kept(scan.read, weight);
                holds.push(self.hold_columns(weight, found.column.len() as u64)?);
                let floats = found.column.clone();
                series.push((
                    found.stored,
                    Series { labels: found.labels, drop_name: found.drop_name, floats },
                ));
                Ok(())
            },
        )?;
        let count = groups.iter().map(|(series, _)| series.len()).sum();
        let (mut all, mut holds): (Vec<(Labels, Series)>, _) = (Vec::with_capacity(count), Vec::new());
        let by_stored = |a: &(Labels, Series), b: &(Labels, Series)| a.0.cmp(&b.0);
        let sorted = self.workers.run(groups, self.workers.pay_for(count), |mut groups| {
            groups.iter_mut().for_each(|(series, _)| series.sort_by(by_stored));
            groups
        });
        for (series, group_holds) in sorted.into_iter().flatten() {
            all.extend(series);
            holds.push(group_holds);
        }
        // Merges the groups.
        all.sort_by(by_stored);
        let mut all: Vec<Series> = all.into_iter().map(|(_, series)| series).collect();
        if !unchecked {
            if scan.source.drops_name() && has_equal(&all) {
                return Err(same_labelset());
            }
            all = merge_equal(all)?;
        }
        drop(holds);
        let mut rows = self.rows(all)?;
        for (stage, after) in rest.iter().zip(until + 1..) {
            rows = self.map(rows, std::slice::from_ref(stage), grid)?;
            if let Some(ledger) = &self.ledger {
                for (_, place) in scan.parts.iter().filter(|(stages, _)| *stages == after) {
                    ledger.give(*place, Given::of(&rows.series, grid.len()));
                }
            }
        }
        Ok(rows)
    }

    /// The samples of `m[5m]`, as `each` gets them series by series.
    pub(super) fn raw_samples(
        &self,
        scan: &Scan,
        at: i64,
        mut each: impl FnMut(Labels, &[i64], &[f64], &[HistogramSample]) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let (Some(read), Source::Window(call)) = (self.plan.reads.get(scan.read), &scan.source) else {
            return Ok(());
        };
        let end = scan.at.unwrap_or(at) - scan.offset;
        let start = end - call.range;
        let (mut decoded, mut kept) = (Samples::default(), Columns::default());
        for mut part in self.select(read)? {
            while let Some(labels) = decode(&mut *part, read, self.start_times, &mut decoded)? {
                self.ctx.check()?;
                let samples = without_stale(&decoded.floats, &mut kept);
                let histograms = &decoded.histograms;
                let from = histograms.partition_point(|s| s.t < read.min_time);
                let to = histograms.partition_point(|s| s.t <= read.max_time);
                let histograms = histograms.get(from..to).unwrap_or_default();
                let Columns { times, values, .. } = samples;
                let from = times.partition_point(|&t| t < read.min_time);
                let to = times.partition_point(|&t| t <= read.max_time);
                let (Some(times), Some(values)) = (times.get(from..to), values.get(from..to)) else {
                    continue;
                };
                self.samples.fetch_add((times.len() + histograms.len()) as u64, Ordering::Relaxed);
                self.series.fetch_add(1, Ordering::Relaxed);
                let weight: u64 = histograms.iter().map(|s| stats::weight(&s.histogram)).sum();
                self.note_kept(scan.read, times.len() as u64 + weight);
                std::mem::forget(self.hold(times.len() as u64 + weight)?);
                let count = |floats: usize| {
                    let looked_at = floats as u64 + weight;
                    let step = StepStats { queryable: looked_at, read: looked_at };
                    self.count(Grid { start: at, end: at, step: 1 }, &[step]);
                };
                match call.mode {
                    _ if times.is_empty() && histograms.is_empty() => {}
                    None => {
                        count(times.len());
                        each(labels, times, values, histograms)?;
                    }
                    Some(mode) if !histograms.is_empty() => {
                        let mode = if mode == RangeMode::Smoothed { "smoothed" } else { "anchored" };
                        let why = format!("{mode} modifier is not supported with histograms");
                        return Err(QueryError::Execution(why));
                    }
                    Some(mode) => {
                        let smoothed = mode == RangeMode::Smoothed;
                        let (times, values) = rate::extend(times, values, start, end, smoothed);
                        if !times.is_empty() {
                            count(times.len());
                            each(labels, &times, &values, &[])?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
