//! Window functions over the steps of an inner expression.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunk::Columns;
use model::histogram::{CounterReset, HistogramSample};
use model::{FloatHistogram, METRIC_NAME, METRIC_TYPE};

use super::column::{Column, Grid, Series, drop_reserved};
use super::native_rate::Remarks;
use super::peaks::Windowed;
use super::rows::{Rows, has_equal};
use super::samples::Samples;
use super::start_times::Started;
use super::stats::{self, Held, Looks};
use super::window::{self, WindowScratch, Windows};
use super::{Evaluator, mixed, same_labelset};
use crate::engine::QueryError;
use crate::plan::SubqueryScan;
use mixed::Histograms;

impl Evaluator<'_> {
    pub(super) fn subquery(&self, subquery: &SubqueryScan, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let SubqueryScan { input, grid: inner, offset, at, call } = subquery;
        let (rows, looked_at) = self.inside_subquery(input, *inner)?;
        let args = self.scalars(&call.args, grid)?;
        let windows = Windows {
            grid,
            range: call.range,
            offset: *offset,
            at: *at,
            mode: call.mode,
            lookback: self.lookback,
            ctx: Some(self.ctx),
        };
        let drops_name = call.function.drops_name();
        let mut scratch = WindowScratch::default();
        let mut steps = self.uncounted(grid);
        let mut windowed = Windowed::default();
        let mut inside = Samples::default();
        let mut out = Vec::with_capacity(rows.series.len());
        for series in &rows.series {
            self.ctx.check()?;
            let Samples { floats: floats_inside, histograms, .. } = &mut inside;
            floats_inside.clear();
            for (i, v) in series.floats.iter() {
                floats_inside.times.push(inner.time(i));
                floats_inside.values.push(v);
            }
            histograms.clear();
            histograms.extend(
                series
                    .floats
                    .histograms()
                    .map(|(i, h)| HistogramSample { t: inner.time(i), histogram: unhinted(h) }),
            );
            let mut held = Held::default();
            if !steps.is_empty() {
                held = stats::count(Looks::Window, None, &windows, &inside, &mut steps)?;
            }
            let Samples { floats: floats_inside, histograms, .. } = &inside;
            let name = series.labels.value(METRIC_NAME);
            let mut floats = Column::absent(grid.len());
            if histograms.is_empty() {
                // What a subquery steps over has no start times.
                let Columns { times, values, .. } = floats_inside;
                let samples = Started { times, starts: &[] };
                window::apply(call.function, &args, &windows, samples, values, &mut scratch, &mut floats)?;
            } else {
                let remarks = Remarks { notes: &self.notes, name, span: call.span };
                mixed::apply(
                    call,
                    &args,
                    &windows,
                    floats_inside,
                    Histograms { samples: histograms, starts: &[] },
                    remarks,
                    &mut scratch,
                    &mut floats,
                )?;
            }
            windowed.add(Held { gave: stats::weight_of(&floats), ..held });
            if floats.is_absent() {
                continue;
            }
            self.note_window((name, series.labels.value(METRIC_TYPE)), &args, &floats, call);
            let drop_name = drops_name || series.drop_name;
            let labels = if drop_name && !self.delayed_names {
                drop_reserved(&series.labels)
            } else {
                series.labels.clone()
            };
            out.push(Series { labels, drop_name, floats });
        }
        self.samples.fetch_add(scratch.samples, Ordering::Relaxed);
        if let Some(looked_at) = looked_at {
            if let Some(ledger) = &self.ledger {
                ledger.give_windows(call.whole, windowed);
            }
            looked_at.pass_on(&windows, &mut steps)?;
            self.count(grid, &steps);
        }
        if !self.delayed_names && has_equal(&out) {
            return Err(same_labelset());
        }
        self.rows(out)
    }
}

/// A histogram of which is not known whether a counter reset stands before it: samples between the steps are not seen.
fn unhinted(histogram: &Arc<FloatHistogram>) -> Arc<FloatHistogram> {
    match histogram.reset {
        CounterReset::Gauge | CounterReset::Unknown => Arc::clone(histogram),
        CounterReset::Reset | CounterReset::NotReset => {
            let mut unhinted = FloatHistogram::clone(histogram);
            unhinted.reset = CounterReset::Unknown;
            Arc::new(unhinted)
        }
    }
}
