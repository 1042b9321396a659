//! Windows over the samples of one series: where they begin and end, and which function is applied to them.

use super::column::{Column, Grid, Scalars};
use super::order::OrderScratch;
use super::start_times::Started;
use super::variance::{Moments, variance};
use super::{over_time, rate, regression};
use crate::ast::RangeMode;
use crate::engine::QueryError;
use storage::QueryContext;

/// The windows of all steps: `(end - range, end]` with `end` the step's time less the offset, or a fixed time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows<'q> {
    /// The steps.
    pub(crate) grid: Grid,
    /// Length, in milliseconds.
    pub(crate) range: i64,
    /// In milliseconds, positive into the past.
    pub(crate) offset: i64,
    /// A fixed time, before the offset is applied.
    pub(crate) at: Option<i64>,
    /// Samples before (and, for smoothed, behind) the window that the function gets as well.
    pub(crate) mode: Option<RangeMode>,
    /// How far those may lie outside.
    pub(crate) lookback: i64,
    /// Asked now and then whether to go on: a series of many windows takes long.
    pub(crate) ctx: Option<&'q QueryContext>,
}

/// Windows between two looks at whether to go on.
const CHECK_EVERY: usize = 512;

/// One window: the samples `lo..hi`, and its bounds (which lie inside of them with `anchored` and `smoothed`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// The step.
    pub(crate) step: usize,
    /// Index of the first sample.
    pub(crate) lo: usize,
    /// Index behind the last sample.
    pub(crate) hi: usize,
    /// Exclusive, in milliseconds.
    pub(crate) start: i64,
    /// Inclusive, in milliseconds.
    pub(crate) end: i64,
}

impl Windows<'_> {
    /// Calls `f` with each window that has samples. The bounds only move forward, so a pass over all windows looks
    /// at each sample twice, however much they overlap.
    #[inline]
    ///
    /// Returns the sum of the windows' lengths.
    pub(crate) fn slide(
        &self,
        times: &[i64],
        mut f: impl FnMut(Window) -> Result<(), QueryError>,
    ) -> Result<u64, QueryError> {
        let before = if self.mode.is_some() { self.lookback } else { 0 };
        let behind = if self.mode == Some(RangeMode::Smoothed) { self.lookback } else { 0 };
        let (mut lo, mut hi) = (0, 0);
        let mut samples = 0;
        for step in 0..self.grid.len() {
            if step % CHECK_EVERY == CHECK_EVERY - 1
                && let Some(ctx) = self.ctx
            {
                ctx.check()?;
            }
            let end = self.at.unwrap_or_else(|| self.grid.time(step)) - self.offset;
            let start = end - self.range;
            while times.get(hi).is_some_and(|&t| t <= end + behind) {
                hi += 1;
            }
            while lo < hi && times.get(lo).is_some_and(|&t| t <= start - before) {
                lo += 1;
            }
            if lo < hi {
                samples += (hi - lo) as u64;
                f(Window { step, lo, hi, start, end })?;
            } else if hi == times.len() && self.at.is_none() && lo == hi {
                break;
            }
        }
        Ok(samples)
    }
}

/// A function over windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowFn {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Changes,
    Resets,
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Last,
    First,
    Present,
    /// As [`Present`](Self::Present), which series it was does not matter.
    Absent,
    Stddev,
    Stdvar,
    Quantile,
    Mad,
    TsOfFirst,
    TsOfLast,
    TsOfMin,
    TsOfMax,
    Deriv,
    PredictLinear,
    Smoothing,
}

/// The functions' names.
const NAMES: [(&str, WindowFn); 27] = [
    ("rate", WindowFn::Rate),
    ("increase", WindowFn::Increase),
    ("delta", WindowFn::Delta),
    ("irate", WindowFn::Irate),
    ("idelta", WindowFn::Idelta),
    ("changes", WindowFn::Changes),
    ("resets", WindowFn::Resets),
    ("sum_over_time", WindowFn::Sum),
    ("avg_over_time", WindowFn::Avg),
    ("count_over_time", WindowFn::Count),
    ("min_over_time", WindowFn::Min),
    ("max_over_time", WindowFn::Max),
    ("last_over_time", WindowFn::Last),
    ("first_over_time", WindowFn::First),
    ("present_over_time", WindowFn::Present),
    ("absent_over_time", WindowFn::Absent),
    ("stddev_over_time", WindowFn::Stddev),
    ("stdvar_over_time", WindowFn::Stdvar),
    ("quantile_over_time", WindowFn::Quantile),
    ("mad_over_time", WindowFn::Mad),
    ("ts_of_first_over_time", WindowFn::TsOfFirst),
    ("ts_of_last_over_time", WindowFn::TsOfLast),
    ("ts_of_min_over_time", WindowFn::TsOfMin),
    ("ts_of_max_over_time", WindowFn::TsOfMax),
    ("deriv", WindowFn::Deriv),
    ("predict_linear", WindowFn::PredictLinear),
    ("double_exponential_smoothing", WindowFn::Smoothing),
];

impl WindowFn {
    /// The function of that name.
    pub(crate) fn from_name(name: &str) -> Option<WindowFn> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, function)| *function == self).map_or("", |(name, _)| name)
    }

    /// Whether the result is no longer the metric that was measured.
    pub(crate) fn drops_name(self) -> bool {
        !matches!(self, WindowFn::Last | WindowFn::First | WindowFn::Absent)
    }

    /// Whether it makes sense for counters only, so that other names are remarked upon.
    pub(crate) fn wants_counter(self) -> bool {
        matches!(self, WindowFn::Rate | WindowFn::Increase)
    }

    /// Whether it looks at the newest sample alone (which no staleness marker is).
    pub(crate) fn newest_suffices(self) -> bool {
        matches!(self, WindowFn::Last | WindowFn::Present | WindowFn::Absent | WindowFn::TsOfLast)
    }
}

/// Memory that window functions need for themselves, kept from series to series.
#[derive(Debug, Default)]
pub(crate) struct WindowScratch {
    /// Ordered values, candidates of minimum and maximum.
    pub(crate) order: OrderScratch,
    /// Indices of samples.
    pub(crate) marks: Vec<u32>,
    /// Running sums.
    pub(crate) sums: Vec<f64>,
    /// Moments of the ends of windows.
    pub(crate) moments: Vec<Moments>,
    /// Sum over steps of the samples in each window.
    pub(crate) samples: u64,
    /// Windows in which a sample was counted from before the one that precedes it.
    pub(crate) overlaps: u64,
}

/// Applies `function` to the windows of one series and sets the steps that have a result.
pub(crate) fn apply(
    function: WindowFn,
    args: &[Scalars],
    windows: &Windows<'_>,
    samples: Started<'_>,
    values: &[f64],
    scratch: &mut WindowScratch,
    out: &mut Column,
) -> Result<(), QueryError> {
    let times = samples.times;
    let arg = |i: usize, step: usize| args.get(i).map_or(f64::NAN, |a| a.get(step));
    scratch.samples += match function {
        WindowFn::Rate | WindowFn::Increase | WindowFn::Delta => {
            rate::rate(function, windows, samples, values, scratch, out)
        }
        WindowFn::Irate | WindowFn::Idelta => {
            rate::instant(function == WindowFn::Irate, windows, samples, values, out)
        }
        WindowFn::Changes | WindowFn::Resets => rate::count_events(
            function == WindowFn::Resets,
            windows,
            samples,
            values,
            &mut scratch.marks,
            out,
        ),
        WindowFn::Sum => over_time::sum(windows, times, values, &mut scratch.sums, out),
        WindowFn::Avg => over_time::avg(windows, times, values, &mut scratch.sums, out),
        WindowFn::Stddev => variance(f64::sqrt, windows, times, values, &mut scratch.moments, out),
        WindowFn::Stdvar => variance(|v| v, windows, times, values, &mut scratch.moments, out),
        WindowFn::Count => windows.slide(times, |w| {
            out.set(w.step, (w.hi - w.lo) as f64);
            Ok(())
        }),
        WindowFn::Present | WindowFn::Absent => windows.slide(times, |w| {
            out.set(w.step, 1.0);
            Ok(())
        }),
        WindowFn::Last | WindowFn::First => windows.slide(times, |w| {
            let at = if function == WindowFn::Last { w.hi - 1 } else { w.lo };
            if let Some(&v) = values.get(at) {
                out.set(w.step, v);
            }
            Ok(())
        }),
        WindowFn::TsOfLast | WindowFn::TsOfFirst => windows.slide(times, |w| {
            let at = if function == WindowFn::TsOfLast { w.hi - 1 } else { w.lo };
            if let Some(&t) = times.get(at) {
                out.set(w.step, t as f64 / 1000.0);
            }
            Ok(())
        }),
        WindowFn::Min | WindowFn::Max => {
            scratch.order.extreme(function == WindowFn::Max, windows, times, values, out)
        }
        WindowFn::TsOfMin | WindowFn::TsOfMax => {
            over_time::time_of_extreme(function == WindowFn::TsOfMax, windows, times, values, out)
        }
        WindowFn::Quantile => scratch.order.quantile(|step| arg(0, step), windows, times, values, out),
        WindowFn::Mad => scratch.order.mad(windows, times, values, out),
        WindowFn::Deriv => regression::deriv(windows, times, values, out),
        WindowFn::PredictLinear => {
            regression::predict_linear(|step| arg(0, step), windows, times, values, out)
        }
        WindowFn::Smoothing => {
            regression::smoothing(|step| (arg(0, step), arg(1, step)), windows, times, values, out)
        }
    }?;
    Ok(())
}
