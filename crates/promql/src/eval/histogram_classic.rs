//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction` over series with the label `le`.

use model::{Labels, LabelsBuilder, number};

use super::Evaluator;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::annotations::{Forced, count_as_merged};
use super::column::{Bitmap, Column, Grid, Scalars, Series, drop_reserved};
use super::rows::{LabelMap, Rows, merge_equal};
use crate::ast::Span;
use crate::engine::QueryError;
use crate::plan::{BucketCall, Vector};

const LE: &str = "le";

/// Neighbouring counts that differ relatively by less are taken to be equal.
const TOLERANCE: f64 = 1e-12;

/// A bucket at one step: upper bound and cumulative count.
type Bucket = (f64, f64);

/// The buckets of one histogram, ordered by upper bound: bound and index of the series.
struct Histogram {
    labels: Labels,
    buckets: Vec<(f64, usize)>,
    /// Steps at which a native histogram has the same labels.
    conflicts: Bitmap,
}

/// Sums the counts of equal bounds.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|new, old| {
        let equal = new.0 == old.0;
        if equal {
            old.1 += new.1;
        }
        equal
    });
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Makes the counts ascend: small differences are ignored silently, larger falls are reported as lowest and highest
/// bound and largest fall.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<(f64, f64, f64)> {
    let mut forced: Option<(f64, f64, f64)> = None;
    let mut previous = buckets.first()?.1;
    for (bound, count) in buckets.iter_mut().skip(1) {
        if *count == previous {
            continue;
        }
        if almost_equal(previous, *count) {
            *count = previous;
        } else if *count < previous {
            let fall = previous - *count;
            let (min, max, largest) = forced.unwrap_or((f64::INFINITY, f64::NEG_INFINITY, 0.0));
            forced = Some((min.min(*bound), max.max(*bound), largest.max(fall)));
            *count = previous;
        } else {
            previous = *count;
        }
    }
    forced
}

/// The quantile, interpolated within its bucket, and what had to be forced for it.
fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<(f64, f64, f64)>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let forced = make_monotonic(buckets);
    (interpolated(q, buckets).unwrap_or(f64::NAN), forced)
}

fn interpolated(q: f64, buckets: &[Bucket]) -> Option<f64> {
    let (&(_, observations), finite) = buckets.split_last()?;
    let &(highest, _) = finite.last()?;
    if observations == 0.0 {
        return None;
    }
    let mut rank = q * observations;
    let at = first_reaching(finite, rank);
    let Some(&(end, count)) = finite.get(at) else { return Some(highest) };
    if at == 0 && end <= 0.0 {
        return Some(end);
    }
    let (mut start, mut count) = (0.0, count);
    if let Some(&(bound, below)) = at.checked_sub(1).and_then(|i| finite.get(i)) {
        start = bound;
        count -= below;
        rank -= below;
    }
    Some(start + (end - start) * (rank / count))
}

/// Index of the first bucket whose count is at least `rank`, by bisection (with NaN counts the way matters).
fn first_reaching(buckets: &[Bucket], rank: f64) -> usize {
    let (mut from, mut to) = (0, buckets.len());
    while from < to {
        let middle = (from + to) / 2;
        if buckets.get(middle).is_some_and(|b| b.1 >= rank) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    from
}

/// The fraction of observations between two values, interpolated within buckets.
fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets.last().map_or(0.0, |b| b.1);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut rank = 0.0;
    let mut start = if buckets.first().is_some_and(|b| b.0 <= 0.0) { f64::NEG_INFINITY } else { 0.0 };
    for &(end, reached) in buckets.iter() {
        let within = |v: f64| {
            // A bucket without lower end cannot be divided.
            if start == f64::NEG_INFINITY {
                reached
            } else {
                rank + (reached - rank) * (v - start) / (end - start)
            }
        };
        for (v, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_none() {
                if start >= v {
                    *found = Some(rank);
                } else if start < v && end > v {
                    *found = Some(within(v));
                }
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank = reached;
        start = end;
    }
    let capped = |rank: Option<f64>| rank.filter(|&r| r <= count || r.is_nan()).unwrap_or(count);
    (capped(upper_rank) - capped(lower_rank)) / count
}

/// Buckets that were made monotonic, by histogram: a second quantile of the same buckets finds them so.
#[derive(Default)]
struct Remarks {
    len: usize,
    forced: BTreeMap<Labels, Vec<(usize, Forced)>>,
}

impl Remarks {
    fn add(
        &mut self,
        h: &Histogram,
        i: usize,
        grid: Grid,
        (min_bucket, max_bucket, max_diff): (f64, f64, f64),
    ) {
        let t = grid.time(i);
        self.len = grid.len();
        let steps = self.forced.entry(h.labels.clone()).or_default();
        if !steps.iter().any(|(step, _)| *step == i) {
            steps.push((i, Forced { min_bucket, max_bucket, max_diff, min_t: t, max_t: t, count: 0 }));
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn buckets(
        &self,
        input: &Vector,
        call: &BucketCall,
        span: Span,
        grid: Grid,
    ) -> Result<Rows<'_>, QueryError> {
        let rows = self.vector(input, grid)?;
        let mut histograms = self.histograms(&rows.series, span, grid.len());
        let natives = self.natives(&rows.series, &mut histograms, span);
        let mut remarks = Remarks::default();
        let mut out = match call {
            BucketCall::Quantile(q, q_span) => {
                let q = self.scalar(q, grid)?;
                self.check_quantiles(&q, grid, *q_span);
                let mut out = self.native_quantiles(&natives, &q, grid, None, span);
                out.extend(self.quantiles(&histograms, &rows.series, &q, grid, None, &mut remarks)?);
                out
            }
            BucketCall::Quantiles(label, quantiles) => {
                let mut out = Vec::new();
                for (q, q_span) in quantiles {
                    let q = self.scalar(q, grid)?;
                    self.check_quantiles(&q, grid, *q_span);
                    out.extend(self.native_quantiles(&natives, &q, grid, Some(label), span));
                    out.extend(self.quantiles(
                        &histograms,
                        &rows.series,
                        &q,
                        grid,
                        Some(label),
                        &mut remarks,
                    )?);
                }
                out
            }
            BucketCall::Fraction(lower, upper) => {
                let (lower, upper) = (self.scalar(lower, grid)?, self.scalar(upper, grid)?);
                let mut out = Vec::new();
                for native in &natives {
                    let mut floats = native.floats.clone();
                    floats.map_histograms(|i, h| {
                        let (fraction, nans) = h.fraction(lower.get(i), upper.get(i));
                        if nans {
                            let name = self.remark_name(&native.labels);
                            self.notes.lock().fraction_of_nans(name, span);
                        }
                        Some(fraction)
                    });
                    out.push(self.named(&native.labels, floats));
                }
                for h in &histograms {
                    let mut floats = Column::absent(grid.len());
                    h.each_step(&rows.series, grid, |i, buckets| {
                        floats.set(i, fraction(lower.get(i), upper.get(i), buckets));
                    });
                    out.push(self.named(&h.labels, floats));
                }
                out
            }
        };
        self.remark(&remarks, span);
        out.retain(|s| !s.floats.is_absent());
        if !(grid.is_instant() && self.delayed_names) {
            out = merge_equal(out)?;
        }
        self.rows(out)
    }

    fn named(&self, labels: &Labels, floats: Column) -> Series {
        let labels = if self.delayed_names { labels.clone() } else { drop_reserved(labels) };
        Series { labels, drop_name: true, floats }
    }

    fn remark(&self, remarks: &Remarks, span: Span) {
        let mut by_name: Vec<(&str, Forced, Vec<i64>)> = Vec::new();
        for (labels, steps) in &remarks.forced {
            let name = if self.delayed_names { labels.metric_name().unwrap_or("") } else { "" };
            for &(i, forced) in steps {
                let at = by_name.iter().position(|(n, ..)| *n == name).unwrap_or_else(|| {
                    by_name.push((name, forced, Vec::new()));
                    by_name.len() - 1
                });
                let Some((_, all, made)) = by_name.get_mut(at) else { continue };
                all.merge(&forced);
                made.resize(remarks.len, 0);
                if let Some(n) = made.get_mut(i) {
                    *n += 1;
                }
            }
        }
        for (name, mut forced, made) in by_name {
            forced.count = count_as_merged(&made);
            self.notes.lock().forced_monotonicity(name, span, forced);
        }
    }

    fn check_quantiles(&self, q: &Scalars, grid: Grid, span: Span) {
        let steps = if let Scalars::Const(_) = q { 1 } else { grid.len() };
        for v in (0..steps).map(|i| q.get(i)).filter(|q| !(0.0..=1.0).contains(q)) {
            self.notes.lock().bad_quantile(v, span);
        }
    }

    /// The metric as remarks name it.
    fn remark_name<'l>(&self, labels: &'l Labels) -> &'l str {
        if self.delayed_names { labels.metric_name().unwrap_or("") } else { "" }
    }

    /// The native histograms. Steps at which classic ones of the same labels have buckets are taken out of both.
    fn natives<'s>(
        &self,
        series: &'s [Series],
        classic: &mut [Histogram],
        span: Span,
    ) -> Vec<Cow<'s, Series>> {
        let mut natives = Vec::new();
        for s in series.iter().filter(|s| s.floats.histograms().next().is_some()) {
            let mut native = Cow::Borrowed(s);
            for h in classic.iter_mut().filter(|h| h.labels == s.labels) {
                for (i, _) in s.floats.histograms() {
                    let columns = h.buckets.iter().filter_map(|&(_, at)| Some(&series.get(at)?.floats));
                    if columns.into_iter().any(|c| c.get(i).is_some()) {
                        h.conflicts.set(i);
                        native.to_mut().floats.unset(i);
                    }
                }
                if h.conflicts.any() {
                    self.notes.lock().mixed_classic_native(self.remark_name(&s.labels), span);
                }
            }
            natives.push(native);
        }
        natives
    }

    fn native_quantiles(
        &self,
        natives: &[Cow<'_, Series>],
        q: &Scalars,
        grid: Grid,
        label: Option<&str>,
        span: Span,
    ) -> Vec<Series> {
        let mut out = Vec::new();
        for native in natives {
            let mut by_quantile: Vec<(u64, Column)> = Vec::new();
            for (i, h) in native.floats.histograms() {
                let wanted = q.get(i);
                let (value, note) = h.quantile(wanted);
                if let Some(note) = note {
                    self.notes.lock().quantile_of_nans(note, self.remark_name(&native.labels), span);
                }
                let key = if label.is_some() { wanted.to_bits() } else { 0 };
                if let Some(column) = column_of(&mut by_quantile, key, grid) {
                    column.set(i, value);
                }
            }
            for (key, floats) in by_quantile {
                let mut new = self.named(&native.labels, floats);
                if let Some(label) = label {
                    let text = open_metrics_float(f64::from_bits(key));
                    new.labels = LabelsBuilder::new(&new.labels).set(label, &text).build();
                }
                out.push(new);
            }
        }
        out
    }

    /// Series grouped by their labels without `le`.
    fn histograms(&self, series: &[Series], span: Span, len: usize) -> Vec<Histogram> {
        let mut index: LabelMap<Labels, usize> = LabelMap::default();
        let mut histograms: Vec<Histogram> = Vec::new();
        for (at, s) in series.iter().enumerate() {
            if s.floats.may_have_histograms() && s.floats.iter().next().is_none() {
                continue;
            }
            let le = s.labels.value(LE);
            let Some(bound) = number::parse_float(le) else {
                let name = if self.delayed_names { s.labels.metric_name().unwrap_or("") } else { "" };
                self.notes.lock().bad_bucket_label(name, le, span);
                continue;
            };
            let labels = s.labels.filter(|name| name != LE);
            let of = *index.entry(labels).or_insert_with_key(|labels| {
                histograms.push(Histogram {
                    labels: labels.clone(),
                    buckets: Vec::new(),
                    conflicts: Bitmap::new(len),
                });
                histograms.len() - 1
            });
            if let Some(h) = histograms.get_mut(of) {
                h.buckets.push((bound, at));
            }
        }
        for h in &mut histograms {
            h.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        histograms
    }

    #[allow(clippy::too_many_arguments)] // one computation, called twice
    fn quantiles(
        &self,
        histograms: &[Histogram],
        series: &[Series],
        q: &Scalars,
        grid: Grid,
        label: Option<&str>,
        remarks: &mut Remarks,
    ) -> Result<Vec<Series>, QueryError> {
        // With a label for the quantile, steps of another quantile are another series.
        let mut out: Vec<Series> = Vec::new();
        for h in histograms {
            self.ctx.check()?;
            let mut by_quantile: Vec<(u64, Column)> = Vec::new();
            h.each_step(series, grid, |i, buckets| {
                let quantile_wanted = q.get(i);
                let (value, forced) = quantile(quantile_wanted, buckets);
                if let Some(forced) = forced {
                    remarks.add(h, i, grid, forced);
                }
                let key = if label.is_some() { quantile_wanted.to_bits() } else { 0 };
                if let Some(column) = column_of(&mut by_quantile, key, grid) {
                    column.set(i, value);
                }
            });
            for (key, floats) in by_quantile {
                let mut new = self.named(&h.labels, floats);
                if let Some(label) = label {
                    let text = open_metrics_float(f64::from_bits(key));
                    new.labels = LabelsBuilder::new(&new.labels).set(label, &text).build();
                }
                out.push(new);
            }
        }
        Ok(out)
    }
}

/// The column of a quantile.
fn column_of(by_quantile: &mut Vec<(u64, Column)>, key: u64, grid: Grid) -> Option<&mut Column> {
    let at = by_quantile.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
        by_quantile.push((key, Column::absent(grid.len())));
        by_quantile.len() - 1
    });
    by_quantile.get_mut(at).map(|(_, column)| column)
}

impl Histogram {
    /// Calls `f` with the buckets that are present at a step, for each step that has any.
    fn each_step(&self, series: &[Series], grid: Grid, mut f: impl FnMut(usize, &mut Vec<Bucket>)) {
        let columns: Vec<(f64, &Column)> =
            self.buckets.iter().filter_map(|&(bound, at)| Some((bound, &series.get(at)?.floats))).collect();
        let mut buckets = Vec::with_capacity(columns.len());
        for i in 0..grid.len() {
            buckets.clear();
            buckets.extend(columns.iter().filter_map(|(bound, column)| Some((*bound, column.get(i)?))));
            if !buckets.is_empty() && !self.conflicts.get(i) {
                f(i, &mut buckets);
            }
        }
    }
}

/// As OpenMetrics writes a quantile: never without a point or an exponent.
fn open_metrics_float(v: f64) -> String {
    if v == 0.0 {
        return "0.0".to_owned();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = number::format_g(v);
    if text.contains(['e', '.', 'N', 'I']) { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let buckets = || vec![(1.0, 10.0), (2.0, 30.0), (f64::INFINITY, 40.0)];
        for (q, want) in
            [(0.125, 0.5), (0.5, 1.5), (0.9, 2.0), (-1.0, f64::NEG_INFINITY), (2.0, f64::INFINITY)]
        {
            assert_eq!(quantile(q, &mut buckets()).0, want, "{q}");
        }
    }

    #[test]
    fn falling_counts_are_raised_and_reported() {
        let mut buckets = vec![(1.0, 10.0), (2.0, 4.0), (f64::INFINITY, 12.0)];
        assert_eq!(quantile(0.5, &mut buckets), (0.6, Some((2.0, 2.0, 6.0))));
    }

    #[test]
    fn fractions_count_what_lies_between() {
        let buckets = || vec![(1.0, 10.0), (2.0, 30.0), (f64::INFINITY, 40.0)];
        assert_eq!(fraction(0.0, 1.5, &mut buckets()), 0.5);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &mut buckets()), 1.0);
    }
}
