//! Aggregations that accumulate: `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`; and `quantile`
//! and `count_values`.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Labels, LabelsBuilder, METRIC_NAME, number};
use parking_lot::Mutex;

use super::annotations::Annotations;
use super::column::{Bitmap, Column, Grid, Point, Scalars, Series};
use super::mixed::HistogramMean;
use super::native_rate::Remarks;
use super::order::{nan_first, quantile_of_sorted};
use super::over_time::{Mean, add_compensated, add_compensated_blindly};
use super::rows::{LabelMap, Rows};
use super::{Evaluator, max_of, min_of, stats};
use crate::ast::{AggregateOp, Span};
use crate::engine::QueryError;
use crate::explain::PlanNode;
use crate::plan::{Aggregation, Vector};

/// The labels that an aggregation keeps.
#[derive(Clone, Copy)]
pub(super) struct Grouping<'a> {
    /// Sorted.
    pub(super) names: &'a [String],
    /// `without` rather than `by`.
    pub(super) without: bool,
}

impl Grouping<'_> {
    /// The group of a series.
    pub(super) fn of(&self, labels: &Labels) -> Labels {
        let named = |name: &str| self.names.binary_search_by(|n| n.as_str().cmp(name)).is_ok();
        if self.without {
            labels.filter(|name| name != METRIC_NAME && !named(name))
        } else if self.names.is_empty() {
            Labels::empty()
        } else if labels.iter().all(|(name, _)| named(name)) {
            // Often nothing else was read.
            labels.clone()
        } else {
            labels.filter(named)
        }
    }
}

/// What an aggregation keeps of a group's series, for each step.
enum Accumulator {
    /// A single series is its own sum: only with the second one there is anything to compensate.
    Sum {
        sum: Column,
        compensation: Vec<f64>,
    },
    Mean {
        means: Vec<Mean>,
        present: Bitmap,
    },
    Extreme {
        best: Column,
        max: bool,
    },
    Count {
        count: Column,
    },
    Group {
        present: Column,
    },
    Variance {
        count: Vec<f64>,
        mean: Vec<f64>,
        squares: Column,
        root: bool,
    },
}

impl Accumulator {
    fn new(op: AggregateOp, len: usize) -> Self {
        let column = || Column::absent(len);
        match op {
            AggregateOp::Sum => Accumulator::Sum { sum: Column::filled(-0.0, len), compensation: Vec::new() },
            AggregateOp::Avg => {
                Accumulator::Mean { means: vec![Mean::new(0.0); len], present: Bitmap::new(len) }
            }
            AggregateOp::Max => Accumulator::Extreme { best: Column::filled(f64::NAN, len), max: true },
            AggregateOp::Min => Accumulator::Extreme { best: Column::filled(f64::NAN, len), max: false },
            AggregateOp::Count => Accumulator::Count { count: column() },
            AggregateOp::Stddev | AggregateOp::Stdvar => Accumulator::Variance {
                count: vec![0.0; len],
                mean: vec![0.0; len],
                squares: column(),
                root: op == AggregateOp::Stddev,
            },
            _ => Accumulator::Group { present: column() },
        }
    }

    /// Steps at which a sum or a mean has taken in floats.
    fn floats(&self) -> Option<&Bitmap> {
        match self {
            Accumulator::Sum { sum, .. } => Some(&sum.present),
            Accumulator::Mean { present, .. } => Some(present),
            _ => None,
        }
    }

    /// Takes in the floats of a series, and what histograms count the same.
    fn add(&mut self, column: &Column) {
        match self {
            // Steps without a value begin with -0, to which adding anything gives just that.
            Accumulator::Sum { sum, compensation } => {
                if sum.is_absent() {
                    for (at, values) in column.runs() {
                        let own = sum.values_mut(at..at + values.len()).iter_mut();
                        own.zip(values).for_each(|(own, v)| *own = *v);
                    }
                    return sum.add_present(column);
                }
                compensation.resize(sum.len(), 0.0);
                for (at, values) in column.runs() {
                    let steps = at..at + values.len();
                    let compensations = compensation.get_mut(steps.clone()).unwrap_or_default();
                    for ((total, c), &v) in sum.values_mut(steps).iter_mut().zip(compensations).zip(values) {
                        add_compensated_blindly(v, total, c);
                    }
                }
                sum.add_present(column);
            }
            Accumulator::Mean { means, present } => {
                for (i, v) in column.iter() {
                    let Some(mean) = means.get_mut(i) else { continue };
                    if present.get(i) {
                        mean.add(v);
                    } else {
                        *mean = Mean::new(v);
                        present.set(i);
                    }
                }
            }
            // Steps without a value begin with NaN, which anything is better than.
            Accumulator::Extreme { best, max } => {
                for (at, values) in column.runs() {
                    let bests = best.values_mut(at..at + values.len()).iter_mut();
                    if *max {
                        for (best, &v) in bests.zip(values) {
                            *best = if *best < v || best.is_nan() { v } else { *best };
                        }
                    } else {
                        for (best, &v) in bests.zip(values) {
                            *best = if *best > v || best.is_nan() { v } else { *best };
                        }
                    }
                }
                best.add_present(column);
            }
            Accumulator::Count { count } => {
                for steps in column.present.runs() {
                    for count in count.values_mut(steps) {
                        *count += 1.0;
                    }
                }
                count.present.union(&column.present);
            }
            Accumulator::Group { present } => {
                for i in column.present.ones() {
                    present.set(i, 1.0);
                }
            }
            Accumulator::Variance { count, mean, squares, .. } => {
                for (i, v) in column.iter() {
                    let (Some(n), Some(mean)) = (count.get_mut(i), mean.get_mut(i)) else { continue };
                    *n += 1.0;
                    match squares.get(i) {
                        None => {
                            *mean = v;
                            squares.set(i, if v.is_finite() { 0.0 } else { f64::NAN });
                        }
                        Some(sum) => {
                            let delta = v - *mean;
                            *mean += delta / *n;
                            squares.set(i, sum + delta * (v - *mean));
                        }
                    }
                }
            }
        }
    }

    /// Takes in what another accumulator of the same kind has.
    fn merge(&mut self, other: &Accumulator) {
        match (self, other) {
            (
                Accumulator::Sum { sum, compensation },
                Accumulator::Sum { sum: other, compensation: other_compensation },
            ) => {
                compensation.resize(sum.len(), 0.0);
                for (i, v) in other.iter() {
                    let Some(c) = compensation.get_mut(i) else { continue };
                    let other_c = other_compensation.get(i).copied().unwrap_or(0.0);
                    match sum.get(i) {
                        Some(mut total) => {
                            add_compensated(v, &mut total, c);
                            if total.is_finite() {
                                *c += other_c;
                            }
                            sum.set(i, total);
                        }
                        None => {
                            sum.set(i, v);
                            *c = other_c;
                        }
                    }
                }
            }
            (
                Accumulator::Mean { means, present },
                Accumulator::Mean { means: other, present: other_present },
            ) => {
                for i in other_present.ones() {
                    let (Some(mean), Some(&other)) = (means.get_mut(i), other.get(i)) else { continue };
                    if present.get(i) {
                        mean.merge(other);
                    } else {
                        *mean = other;
                        present.set(i);
                    }
                }
            }
            (
                Accumulator::Variance { count, mean, squares, .. },
                Accumulator::Variance { count: other_n, mean: other_mean, squares: other_squares, .. },
            ) => {
                for (i, sum_b) in other_squares.iter() {
                    let (Some(n), Some(mean), Some(&n_b), Some(&mean_b)) =
                        (count.get_mut(i), mean.get_mut(i), other_n.get(i), other_mean.get(i))
                    else {
                        continue;
                    };
                    let (n_a, sum_a) = (*n, squares.get(i).unwrap_or(0.0));
                    *n += n_b;
                    if n_a == 0.0 {
                        *mean = mean_b;
                        squares.set(i, sum_b);
                        continue;
                    }
                    let delta = mean_b - *mean;
                    *mean += delta * n_b / *n;
                    squares.set(i, sum_a + sum_b + delta * delta * n_a * n_b / *n);
                }
            }
            (Accumulator::Count { count }, Accumulator::Count { count: other }) => {
                for (at, values) in other.runs() {
                    for (count, v) in count.values_mut(at..at + values.len()).iter_mut().zip(values) {
                        *count += v;
                    }
                }
                count.add_present(other);
            }
            (this, Accumulator::Extreme { best, .. }) => this.add(best),
            (this, Accumulator::Group { present }) => this.add(present),
            _ => {}
        }
    }

    fn finish(self) -> Column {
        match self {
            Accumulator::Sum { mut sum, compensation } => {
                sum.filter_map(|i, v| Some(v + compensation.get(i).copied().unwrap_or(0.0)));
                sum
            }
            Accumulator::Mean { means, present } => {
                let mut out = Column::absent(means.len());
                for i in present.ones() {
                    if let Some(mean) = means.get(i) {
                        out.set(i, mean.value());
                    }
                }
                out
            }
            Accumulator::Extreme { best, .. } => best,
            Accumulator::Count { count } => count,
            Accumulator::Group { present } => present,
            Accumulator::Variance { count, mut squares, root, .. } => {
                squares.filter_map(|i, v| {
                    let variance = v / count.get(i).copied().unwrap_or(f64::NAN);
                    Some(if root { variance.sqrt() } else { variance })
                });
                squares
            }
        }
    }
}

/// Whether the operation does anything with histograms.
fn takes_histograms(op: AggregateOp) -> bool {
    matches!(op, AggregateOp::Sum | AggregateOp::Avg | AggregateOp::Count | AggregateOp::Group)
}

/// Sums or means of histograms, for each step.
struct HistogramAccumulator {
    means: Vec<Option<HistogramMean>>,
    /// Steps at which there is no result, and nothing more is looked at.
    spoilt: Bitmap,
    /// Those of them that had no float until then; floats behind a misfit are not looked at.
    misfit_first: Bitmap,
    /// Steps at which schemas did not fit, and the metric that did not.
    misfits: BTreeMap<usize, Arc<str>>,
    /// The metric that came first.
    first: Arc<str>,
}

impl HistogramAccumulator {
    fn new(len: usize, first: &str) -> Self {
        HistogramAccumulator {
            means: vec![None; len],
            spoilt: Bitmap::new(len),
            misfit_first: Bitmap::new(len),
            misfits: BTreeMap::new(),
            first: first.into(),
        }
    }

    /// Notes that the metric's histogram does not fit those before it.
    fn misfit(&mut self, i: usize, name: &Arc<str>, floats: Option<&Bitmap>) {
        self.spoilt.set(i);
        if floats.is_none_or(|floats| !floats.get(i)) {
            self.misfit_first.set(i);
        }
        self.misfits.insert(i, Arc::clone(name));
    }

    /// Takes in the histograms of a series. Behind a float they only spoil the group: that they do not fit each
    /// other either is not said then.
    fn add(&mut self, average: bool, column: &Column, name: &str, floats: Option<&Bitmap>) {
        let mut shared = None;
        for (i, h) in column.histograms() {
            let Some(slot) = self.means.get_mut(i) else { continue };
            match slot {
                _ if self.spoilt.get(i) => {}
                None => {
                    *slot = Some(HistogramMean::new(h));
                    if floats.is_some_and(|floats| floats.get(i)) {
                        self.spoilt.set(i);
                    }
                }
                Some(mean) => {
                    let added = if average { mean.add(h) } else { mean.add_to_sum(h) };
                    if added.is_err() {
                        let name = shared.get_or_insert_with(|| Arc::from(name));
                        self.misfit(i, name, floats);
                    }
                }
            }
        }
    }

    /// Takes in what another one has of the series behind; `floats` are those of the series before.
    fn merge(&mut self, average: bool, other: &HistogramAccumulator, floats: Option<&Bitmap>) {
        for (i, theirs) in other.means.iter().enumerate() {
            let (Some(theirs), Some(slot)) = (theirs, self.means.get_mut(i)) else { continue };
            if self.spoilt.get(i) {
                continue;
            }
            match slot {
                None => {
                    *slot = Some(theirs.clone());
                    if floats.is_some_and(|floats| floats.get(i)) {
                        self.spoilt.set(i);
                        continue;
                    }
                }
                Some(mine) => {
                    if mine.merge(theirs, average).is_err() {
                        self.misfit(i, &other.first, floats);
                        continue;
                    }
                }
            }
            match other.misfits.get(&i) {
                Some(name) if other.misfit_first.get(i) => self.misfit(i, name, floats),
                Some(name) => {
                    self.spoilt.set(i);
                    self.misfits.insert(i, Arc::clone(name));
                }
                None if other.spoilt.get(i) => self.spoilt.set(i),
                None => {}
            }
        }
    }

    /// Sets the results in a column that has those of the floats.
    fn finish(self, average: bool, span: Span, notes: &Mutex<Annotations>, out: &mut Column) {
        let names: BTreeSet<&Arc<str>> = self.misfits.values().collect();
        for name in names {
            notes.lock().mixed_schemas(name, span);
        }
        for (i, mean) in self.means.into_iter().enumerate() {
            let Some(mean) = mean else { continue };
            let remarks = Remarks { notes, name: "", span };
            mean.remark_bounds(remarks);
            if out.present.get(i) {
                if !self.misfit_first.get(i) {
                    notes.lock().mixed_floats_histograms_in_aggregation(span);
                }
                out.unset(i);
            } else if !self.spoilt.get(i) {
                mean.remark(remarks);
                let mut value = if average { mean.mean() } else { mean.sum() };
                value.compact();
                out.set_histogram(i, Arc::new(value));
            }
        }
    }
}

/// What a group holds at each step, in columns: a value and what it takes to put it together.
const COLUMNS_OF_A_GROUP: u64 = 2;

/// Groups in order of first appearance.
struct Groups {
    op: AggregateOp,
    len: usize,
    index: LabelMap<Labels, usize>,
    groups: Vec<Group>,
    /// The group of the series before: neighbours often share theirs.
    latest: usize,
    /// A histogram was there where the operation has no use for one.
    ignored: bool,
}

/// What is known of a group.
struct Group {
    labels: Labels,
    drop_name: bool,
    floats: Accumulator,
    /// Of `sum` and `avg`, where there are any.
    histograms: Option<Box<HistogramAccumulator>>,
}

impl Groups {
    fn new(op: AggregateOp, len: usize) -> Self {
        Groups { op, len, index: LabelMap::default(), groups: Vec::new(), latest: 0, ignored: false }
    }

    /// The group of these labels, and whether it is a new one.
    fn group(&mut self, labels: Labels) -> Option<(&mut Group, bool)> {
        if self.groups.get(self.latest).is_some_and(|group| group.labels == labels) {
            return Some((self.groups.get_mut(self.latest)?, false));
        }
        let known = self.groups.len();
        self.latest = match self.index.entry(labels) {
            Entry::Occupied(at) => *at.get(),
            Entry::Vacant(slot) => {
                let labels = slot.key().clone();
                slot.insert(self.groups.len());
                let floats = Accumulator::new(self.op, self.len);
                self.groups.push(Group { labels, drop_name: false, floats, histograms: None });
                self.groups.len() - 1
            }
        };
        Some((self.groups.get_mut(self.latest)?, self.latest == known))
    }

    /// Takes in a series; whether its group is a new one.
    fn add(&mut self, labels: Labels, drop_name: bool, column: &Column, name: &str) -> bool {
        let (op, len) = (self.op, self.len);
        let may_have_histograms = column.may_have_histograms();
        if may_have_histograms && !takes_histograms(op) {
            if column.histograms().next().is_some() {
                self.ignored = true;
            }
            if column.iter().next().is_none() {
                return false;
            }
        }
        let Some((group, is_new)) = self.group(labels) else { return false };
        group.drop_name |= drop_name;
        group.floats.add(column);
        if may_have_histograms && matches!(op, AggregateOp::Sum | AggregateOp::Avg) {
            let new = || Box::new(HistogramAccumulator::new(len, name));
            let histograms = group.histograms.get_or_insert_with(new);
            histograms.add(op == AggregateOp::Avg, column, name, group.floats.floats());
        }
        is_new
    }

    fn merge(&mut self, other: Groups) {
        if self.groups.is_empty() {
            *self = other;
            return;
        }
        self.ignored |= other.ignored;
        let (average, len) = (self.op == AggregateOp::Avg, self.len);
        for theirs in other.groups {
            if let Some((mine, _)) = self.group(theirs.labels) {
                mine.drop_name |= theirs.drop_name;
                if let Some(theirs) = theirs.histograms {
                    let new = || Box::new(HistogramAccumulator::new(len, &theirs.first));
                    mine.histograms.get_or_insert_with(new).merge(average, &theirs, mine.floats.floats());
                }
                mine.floats.merge(&theirs.floats);
            }
        }
    }

    fn finish(self, span: Span, notes: &Mutex<Annotations>) -> Vec<Series> {
        if self.ignored {
            notes.lock().histogram_ignored_in_aggregation(self.op.as_str(), span);
        }
        let average = self.op == AggregateOp::Avg;
        let series = |group: Group| {
            let mut floats = group.floats.finish();
            if let Some(histograms) = group.histograms {
                histograms.finish(average, span, notes, &mut floats);
            }
            Series { labels: group.labels, drop_name: group.drop_name, floats }
        };
        self.groups.into_iter().map(series).collect()
    }
}

/// Smallest and largest parameter, and whether any is NaN, as Prometheus determines them.
pub(super) struct ParamBounds {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) any_nan: bool,
}

impl ParamBounds {
    pub(super) fn new(param: &Scalars, literal: bool, len: usize) -> Self {
        if literal {
            let v = param.get(0);
            return ParamBounds { min: v, max: v, any_nan: v.is_nan() };
        }
        let mut bounds = ParamBounds { min: f64::MAX, max: f64::MIN, any_nan: false };
        for i in 0..len {
            let v = param.get(i);
            bounds.min = min_of(bounds.min, v);
            bounds.max = max_of(bounds.max, v);
            bounds.any_nan |= v.is_nan();
        }
        bounds
    }
}

impl Evaluator<'_> {
    pub(super) fn aggregate(&self, a: &Aggregation, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let grouping = Grouping { names: &a.grouping, without: a.without };
        match a.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                self.aggregate_k(a, grouping, grid)
            }
            AggregateOp::Quantile => self.quantile(a, grouping, grid),
            AggregateOp::CountValues => self.count_values(a, grid),
            _ => self.accumulate(a, grouping, grid),
        }
    }

    fn accumulate(
        &self,
        a: &Aggregation,
        grouping: Grouping<'_>,
        grid: Grid,
    ) -> Result<Rows<'_>, QueryError> {
        let len = grid.len();
        let mut groups = Groups::new(a.op, len);
        match &*a.input {
            Vector::Scan(scan) if scan.taken_in => {
                let stream = || {
                    self.scan(
                        scan,
                        &scan.stages,
                        grid,
                        || (Groups::new(a.op, len), Vec::new()),
                        |(groups, holds), found| {
                            let name = scan.name.as_deref();
                            let name = name.filter(|_| !scan.drops_name() || self.delayed_names);
                            let name = name.unwrap_or_else(|| found.labels.value(METRIC_NAME));
                            let group = grouping.of(&found.labels);
                            if groups.add(group, found.drop_name, found.column, name) {
                                let weight = stats::weight_of(found.column);
                                self.note_kept(scan.read, weight);
                                holds.push(self.hold_columns(weight, COLUMNS_OF_A_GROUP * len as u64)?);
                            }
                            Ok(())
                        },
                    )
                };
                let partial = match &self.trace {
                    Some(trace) => {
                        trace.node(PlanNode::of_scan(scan, &self.plan.reads, len), stream, |_, node| {
                            // None of the series that went by was kept.
                            node.series = node.read.as_ref().map_or(0, |read| read.series);
                        })
                    }
                    None => stream(),
                };
                for (other, _holds) in partial? {
                    groups.merge(other);
                }
            }
            input => {
                for series in &self.vector(input, grid)?.series {
                    let name = series.labels.value(METRIC_NAME);
                    groups.add(grouping.of(&series.labels), series.drop_name, &series.floats, name);
                }
            }
        }
        let mut series = groups.finish(a.input_span, &self.notes);
        series.retain(|s| !s.floats.is_absent());
        self.rows(series)
    }

    fn quantile(&self, a: &Aggregation, grouping: Grouping<'_>, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let len = grid.len();
        let q = match &a.param {
            Some(param) => self.scalar(param, grid)?,
            None => Scalars::Const(f64::NAN),
        };
        let bounds = ParamBounds::new(&q, a.param_const, len);
        {
            let mut notes = self.notes.lock();
            if bounds.any_nan {
                notes.bad_quantile(f64::NAN, a.param_span);
            }
            if bounds.max > 1.0 {
                notes.bad_quantile(bounds.max, a.param_span);
            }
            if bounds.min < 0.0 {
                notes.bad_quantile(bounds.min, a.param_span);
            }
        }
        let rows = self.vector(&a.input, grid)?;
        if rows.series.iter().any(|s| s.floats.histograms().next().is_some()) {
            self.notes.lock().histogram_ignored_in_aggregation(a.op.as_str(), a.input_span);
        }
        let (groups, members) = group_rows(&rows.series, grouping);
        let mut out = Vec::with_capacity(groups.len());
        let mut values = Vec::new();
        for (labels, members) in groups.into_iter().zip(members) {
            self.ctx.check()?;
            let columns: Vec<&Series> = members.iter().filter_map(|&m| rows.series.get(m)).collect();
            let mut floats = Column::absent(len);
            for i in 0..len {
                values.clear();
                values.extend(columns.iter().filter_map(|s| s.floats.get(i)));
                if !values.is_empty() {
                    values.sort_unstable_by(nan_first);
                    floats.set(i, quantile_of_sorted(q.get(i), &values));
                }
            }
            if !floats.is_absent() {
                out.push(Series { labels, drop_name: columns.iter().any(|s| s.drop_name), floats });
            }
        }
        self.rows(out)
    }

    fn count_values(&self, a: &Aggregation, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let mut names = a.grouping.clone();
        if !a.without {
            names.push(a.label.clone());
            names.sort_unstable();
            names.dedup();
        }
        let grouping = Grouping { names: &names, without: a.without };
        let rows = self.vector(&a.input, grid)?;
        let mut index: LabelMap<Labels, usize> = LabelMap::default();
        let mut out: Vec<Series> = Vec::new();
        // A series' values repeat, and so do the labels made from them.
        let mut of_value: LabelMap<u64, usize> = LabelMap::default();
        for series in &rows.series {
            self.ctx.check()?;
            of_value.clear();
            let mut labels = LabelsBuilder::new(&series.labels);
            let mut group_of = |text: &str, out: &mut Vec<Series>| {
                labels.set(&a.label, text);
                let group = grouping.of(&labels.build());
                *index.entry(group).or_insert_with_key(|group| {
                    out.push(Series {
                        labels: group.clone(),
                        drop_name: false,
                        floats: Column::absent(grid.len()),
                    });
                    out.len() - 1
                })
            };
            for (i, point) in series.floats.points() {
                let at = match point {
                    Point::Float(v) => *of_value
                        .entry(v.to_bits())
                        .or_insert_with(|| group_of(&number::format_f(v), &mut out)),
                    Point::Histogram(h) => group_of(&h.to_string(), &mut out),
                };
                if let Some(group) = out.get_mut(at) {
                    group.floats.set(i, group.floats.get(i).unwrap_or(0.0) + 1.0);
                }
            }
        }
        self.rows(out)
    }
}

/// The groups in order of first appearance, and the indices of each one's series.
pub(super) fn group_rows(series: &[Series], grouping: Grouping<'_>) -> (Vec<Labels>, Vec<Vec<usize>>) {
    let mut index: LabelMap<Labels, usize> = LabelMap::default();
    let (mut groups, mut members): (Vec<Labels>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
    for (i, s) in series.iter().enumerate() {
        let at = *index.entry(grouping.of(&s.labels)).or_insert_with_key(|labels| {
            groups.push(labels.clone());
            members.push(Vec::new());
            groups.len() - 1
        });
        if let Some(members) = members.get_mut(at) {
            members.push(i);
        }
    }
    (groups, members)
}
