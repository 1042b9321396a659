//! Aggregations that accumulate: `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`; and `quantile`
//! and `count_values`.

use std::collections::hash_map::Entry;

use model::{Labels, LabelsBuilder, METRIC_NAME, number};

use super::column::{Bitmap, Column, Grid, Scalars, Series};
use super::order::{nan_first, quantile_of_sorted};
use super::over_time::{Mean, add_compensated};
use super::rows::{LabelMap, Rows};
use super::{Evaluator, max_of, min_of};
use crate::ast::AggregateOp;
use crate::engine::QueryError;
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
        } else {
            labels.filter(named)
        }
    }
}

/// What an aggregation keeps of a group's series, for each step.
enum Accumulator {
    Sum { sum: Column, compensation: Vec<f64> },
    Mean { means: Vec<Mean>, present: Bitmap },
    Extreme { best: Column, max: bool },
    Count { count: Column },
    Group { present: Column },
    Variance { count: Vec<f64>, mean: Vec<f64>, squares: Column, root: bool },
}

impl Accumulator {
    fn new(op: AggregateOp, len: usize) -> Self {
        let column = || Column::absent(len);
        match op {
            AggregateOp::Sum => Accumulator::Sum { sum: column(), compensation: vec![0.0; len] },
            AggregateOp::Avg => {
                Accumulator::Mean { means: vec![Mean::new(0.0); len], present: Bitmap::new(len) }
            }
            AggregateOp::Max => Accumulator::Extreme { best: column(), max: true },
            AggregateOp::Min => Accumulator::Extreme { best: column(), max: false },
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

    /// Takes in a series.
    fn add(&mut self, column: &Column) {
        match self {
            Accumulator::Sum { sum, compensation } => {
                for (i, v) in column.iter() {
                    match (sum.get(i), compensation.get_mut(i)) {
                        (Some(mut total), Some(c)) => {
                            add_compensated(v, &mut total, c);
                            sum.set(i, total);
                        }
                        _ => sum.set(i, v),
                    }
                }
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
            Accumulator::Extreme { best, max } => {
                for (i, v) in column.iter() {
                    let better = best.get(i).is_none_or(|b| b.is_nan() || if *max { b < v } else { b > v });
                    if better {
                        best.set(i, v);
                    }
                }
            }
            Accumulator::Count { count } => {
                for i in column.present.ones() {
                    count.set(i, count.get(i).unwrap_or(0.0) + 1.0);
                }
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
                for (i, v) in other.iter() {
                    let (Some(c), Some(&other_c)) = (compensation.get_mut(i), other_compensation.get(i))
                    else {
                        continue;
                    };
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
                for (i, v) in other.iter() {
                    count.set(i, count.get(i).unwrap_or(0.0) + v);
                }
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

/// Groups in order of first appearance.
struct Groups {
    op: AggregateOp,
    len: usize,
    index: LabelMap<Labels, usize>,
    groups: Vec<(Labels, bool, Accumulator)>,
}

impl Groups {
    fn new(op: AggregateOp, len: usize) -> Self {
        Groups { op, len, index: LabelMap::default(), groups: Vec::new() }
    }

    fn group(&mut self, labels: Labels) -> Option<&mut (Labels, bool, Accumulator)> {
        let at = match self.index.entry(labels) {
            Entry::Occupied(at) => *at.get(),
            Entry::Vacant(slot) => {
                let labels = slot.key().clone();
                slot.insert(self.groups.len());
                self.groups.push((labels, false, Accumulator::new(self.op, self.len)));
                self.groups.len() - 1
            }
        };
        self.groups.get_mut(at)
    }

    fn add(&mut self, labels: Labels, drop_name: bool, column: &Column) {
        if let Some((_, drop, accumulator)) = self.group(labels) {
            *drop |= drop_name;
            accumulator.add(column);
        }
    }

    fn merge(&mut self, other: Groups) {
        if self.groups.is_empty() {
            *self = other;
            return;
        }
        for (labels, drop_name, accumulator) in other.groups {
            if let Some((_, drop, mine)) = self.group(labels) {
                *drop |= drop_name;
                mine.merge(&accumulator);
            }
        }
    }

    fn finish(self) -> Vec<Series> {
        let series = |(labels, drop_name, accumulator): (Labels, bool, Accumulator)| Series {
            labels,
            drop_name,
            floats: accumulator.finish(),
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
            Vector::Scan(scan) if scan.name.is_some() || self.delayed_names || !scan.drops_name() => {
                let partial = self.scan(
                    scan,
                    &scan.stages,
                    grid,
                    || Groups::new(a.op, len),
                    |groups, found| {
                        groups.add(grouping.of(&found.labels), found.drop_name, found.column);
                        Ok(())
                    },
                )?;
                for other in partial {
                    groups.merge(other);
                }
            }
            input => {
                for series in &self.vector(input, grid)?.series {
                    groups.add(grouping.of(&series.labels), series.drop_name, &series.floats);
                }
            }
        }
        self.rows(groups.finish())
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
            out.push(Series { labels, drop_name: columns.iter().any(|s| s.drop_name), floats });
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
            for (i, v) in series.floats.iter() {
                let at = *of_value.entry(v.to_bits()).or_insert_with(|| {
                    labels.set(&a.label, &number::format_f(v));
                    let group = grouping.of(&labels.build());
                    *index.entry(group).or_insert_with_key(|group| {
                        out.push(Series {
                            labels: group.clone(),
                            drop_name: false,
                            floats: Column::absent(grid.len()),
                        });
                        out.len() - 1
                    })
                });
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
