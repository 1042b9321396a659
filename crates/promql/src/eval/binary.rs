//! Arithmetic and comparison between vectors.

use std::cell::RefCell;

use model::{Labels, LabelsBuilder, METRIC_NAME, describes_metric};

use super::column::{Bitmap, Column, Grid, Point, Series};
use super::native::{self, Made, Misfit};
use super::rows::{LabelMap, Rows, merge_equal};
use super::{Evaluator, math};
use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::engine::QueryError;
use crate::plan::VectorBinary;

/// Numbers series by the labels that matching looks at.
pub(super) struct Signatures<'m> {
    matching: &'m VectorMatching,
    numbers: LabelMap<Labels, usize>,
}

impl<'m> Signatures<'m> {
    pub(super) fn new(matching: &'m VectorMatching) -> Self {
        Signatures { matching, numbers: LabelMap::default() }
    }

    /// The number of the series' signature.
    pub(super) fn of(&mut self, labels: &Labels) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(matched(labels, self.matching)).or_insert(next)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }
}

/// The labels that matching looks at.
fn matched(labels: &Labels, matching: &VectorMatching) -> Labels {
    let named = |name: &str| matching.labels.iter().any(|l| l == name);
    if matching.on { labels.filter(named) } else { labels.filter(|name| name != METRIC_NAME && !named(name)) }
}

const TWO_MATCHES: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";

/// An error at a step: the earliest is the query's.
struct Failure {
    /// Step, phase within the step, place within the phase.
    rank: (usize, usize, usize),
    text: String,
}

/// Keeps the earlier failure.
fn note(first: &mut Option<Failure>, rank: (usize, usize, usize), text: impl FnOnce() -> String) {
    if first.as_ref().is_none_or(|f| rank < f.rank) {
        *first = Some(Failure { rank, text: text() });
    }
}

/// An operation between the series of one signature. `many` is the side whose labels the result has; without a
/// `group_` modifier that is the left one.
struct Join<'a> {
    b: &'a VectorBinary,
    delayed_names: bool,
    /// Series of the `many` side, of all signatures.
    many_len: usize,
    /// The sides stand the other way round than they were written.
    swapped: bool,
    /// Steps at which there is anything to match.
    active: &'a Bitmap,
    remarks: &'a RefCell<Vec<Remark>>,
    len: usize,
}

/// What is to be said about a step: the last that came up.
#[derive(Clone, Copy)]
struct Remark {
    rank: usize,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Nothing,
    Misfit(Misfit),
    Reconciled,
}

/// A series of the result before equal ones are merged.
struct Joined {
    labels: Labels,
    floats: Column,
    /// Steps at which two samples met, kept or not.
    met: Bitmap,
    /// Place of the `many` side's series.
    rank: usize,
}

impl Join<'_> {
    /// Value of the operation at a step, and whether it is kept.
    fn compute(&self, many: f64, one: f64) -> (f64, bool) {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let (value, keep) = math::samples(self.b.op, left, right);
        if self.b.return_bool { (f64::from(u8::from(keep)), true) } else { (value, keep) }
    }

    /// The same where one of both is a histogram; `None` where the operator makes nothing of them.
    fn compute_mixed(&self, i: usize, rank: usize, many: Point<'_>, one: Point<'_>) -> Option<(Made, bool)> {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        match native::samples(self.b.op, left, right) {
            Ok((made, keep, reconciled)) => {
                if reconciled {
                    self.remark(i, rank, What::Reconciled);
                }
                let kept = self.b.return_bool.then(|| (Made::Float(f64::from(u8::from(keep))), true));
                Some(kept.unwrap_or((made, keep)))
            }
            Err(misfit) => {
                self.remark(i, rank, What::Misfit(misfit));
                None
            }
        }
    }

    /// The operation between two series of floats.
    fn floats(&self, rank: usize, labels: Labels, many: &Column, one: &Column) -> Joined {
        let met = many.present.common(&one.present);
        let mut floats = Column::absent(self.len);
        floats.present = met.clone();
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        if math::changes_metric(self.b.op) {
            for steps in met.runs() {
                let both = left.values(steps.clone()).iter().zip(right.values(steps.clone()));
                let out = floats.values_mut(steps).iter_mut().zip(both);
                match self.b.op {
                    BinaryOp::Add => out.for_each(|(out, (l, r))| *out = l + r),
                    BinaryOp::Sub => out.for_each(|(out, (l, r))| *out = l - r),
                    BinaryOp::Mul => out.for_each(|(out, (l, r))| *out = l * r),
                    BinaryOp::Div => out.for_each(|(out, (l, r))| *out = l / r),
                    op => out.for_each(|(out, (l, r))| *out = math::samples(op, *l, *r).0),
                }
            }
        } else {
            for i in met.ones() {
                let (Some(many), Some(one)) = (many.get(i), one.get(i)) else { continue };
                match self.compute(many, one) {
                    (value, true) => floats.set(i, value),
                    (_, false) => floats.unset(i),
                }
            }
        }
        Joined { labels, floats, met, rank }
    }

    fn remark(&self, i: usize, rank: usize, what: What) {
        let mut remarks = self.remarks.borrow_mut();
        if remarks.is_empty() {
            remarks.resize(self.len, Remark { rank: 0, what: What::Nothing });
        }
        if let Some(last) = remarks.get_mut(i)
            && rank >= last.rank
        {
            *last = Remark { rank, what };
        }
    }

    fn labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.b.matching;
        let mut labels = LabelsBuilder::new(many);
        if math::changes_metric(self.b.op) || (self.b.return_bool && !self.delayed_names) {
            labels.retain(|name, _| !describes_metric(name));
        }
        if matching.card == Cardinality::OneToOne {
            labels.retain(|name, _| matching.labels.iter().any(|l| l == name) == matching.on);
        }
        for name in &matching.include {
            labels.set(name, one.value(name));
        }
        labels.build()
    }

    /// Matches the series of one signature, each with its place on its side.
    fn signature(
        &self,
        many: &[(usize, Series)],
        one: &[(usize, Series)],
        failure: &mut Option<Failure>,
        out: &mut Vec<Series>,
    ) {
        let matching = &self.b.matching;
        self.check_one_side(one, failure);
        let mut joined: Vec<Joined> = Vec::new();
        let mut met = Bitmap::new(self.len);
        let one_to_one = matching.card == Cardinality::OneToOne;
        let trims = matches!(self.b.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        let mut add = |rank,
                       labels,
                       columns: Option<(&Column, &Column)>,
                       pairs: &mut dyn Iterator<Item = (usize, f64, f64)>,
                       mixed: &mut dyn Iterator<Item = (usize, Point<'_>, Point<'_>)>,
                       met: &mut Bitmap| {
            if let Some((a, b)) = columns {
                let new = self.floats(rank, labels, a, b);
                if one_to_one && let Some(i) = met.first_common(&new.met) {
                    note(failure, (i, 1, rank), || TWO_MATCHES.to_owned());
                }
                met.union(&new.met);
                joined.push(new);
                return;
            }
            let mut new =
                Joined { labels, floats: Column::absent(self.len), met: Bitmap::new(self.len), rank };
            let mut meet = |i, new: &mut Joined| {
                if one_to_one && met.get(i) {
                    note(failure, (i, 1, rank), || TWO_MATCHES.to_owned());
                }
                met.set(i);
                new.met.set(i);
            };
            for (i, a, b) in pairs {
                if trims {
                    self.remark(i, rank, What::Misfit(Misfit::Types("float", "float")));
                    continue;
                }
                meet(i, &mut new);
                let (value, keep) = self.compute(a, b);
                if keep {
                    new.floats.set(i, value);
                }
            }
            for (i, a, b) in mixed {
                let Some((made, keep)) = self.compute_mixed(i, rank, a, b) else { continue };
                meet(i, &mut new);
                match made {
                    _ if !keep => {}
                    Made::Float(v) => new.floats.set(i, v),
                    Made::Histogram(h) => new.floats.set_histogram(i, h),
                }
            }
            joined.push(new);
        };
        let mut any_one = Bitmap::new(self.len);
        for (_, s) in one {
            any_one.union(&s.floats.present);
        }
        for &(m, ref a) in many {
            for (_, b) in one {
                if !a.floats.present.intersects(&b.floats.present) {
                    continue;
                }
                let any = a.floats.may_have_histograms() || b.floats.may_have_histograms();
                let columns = (!any && !trims).then_some((&a.floats, &b.floats));
                let mut pairs = a.floats.iter().filter_map(|(i, v)| Some((i, v, b.floats.get(i)?)));
                let both = any.then(|| a.floats.points()).into_iter().flatten();
                let mut mixed = both
                    .filter_map(|(i, p)| Some((i, p, b.floats.point(i)?)))
                    .filter(|(_, a, b)| !matches!((a, b), (Point::Float(_), Point::Float(_))));
                add(m, self.labels(&a.labels, &b.labels), columns, &mut pairs, &mut mixed, &mut met);
            }
            if let Some(fill) = matching.fill_right {
                let mut pairs = a.floats.iter().filter(|&(i, _)| !any_one.get(i)).map(|(i, v)| (i, v, fill));
                let lonely = a.floats.histograms().filter(|&(i, _)| !any_one.get(i));
                let mut mixed = lonely.map(|(i, h)| (i, Point::Histogram(h), Point::Float(fill)));
                let labels = self.labels(&a.labels, &matched(&a.labels, matching));
                add(m, labels, None, &mut pairs, &mut mixed, &mut met);
            }
        }
        if let Some(fill) = matching.fill_left {
            for (o, b) in one {
                let before = met.clone();
                let mut pairs = b.floats.iter().filter(|&(i, _)| !before.get(i)).map(|(i, v)| (i, fill, v));
                let rank = self.many_len + o;
                let lonely = b.floats.histograms().filter(|&(i, _)| !before.get(i));
                let mut mixed = lonely.map(|(i, h)| (i, Point::Float(fill), Point::Histogram(h)));
                let labels = self.labels(&matched(&b.labels, matching), &b.labels);
                add(rank, labels, None, &mut pairs, &mut mixed, &mut met);
            }
        }
        if !one_to_one {
            check_distinct(&joined, failure);
        }
        for j in joined.into_iter().filter(|j| !j.floats.is_absent()) {
            out.push(Series { labels: j.labels, drop_name: self.b.return_bool, floats: j.floats });
        }
    }

    /// On the "one" side a signature may have one sample a step.
    fn check_one_side(&self, one: &[(usize, Series)], failure: &mut Option<Failure>) {
        let matching = &self.b.matching;
        for (at, &(o, ref new)) in one.iter().enumerate() {
            for (_, old) in one.iter().take(at) {
                let mut both = new.floats.present.clone();
                both.intersect(self.active);
                if let Some(i) = both.first_common(&old.floats.present) {
                    let (first, second) = if old.labels < new.labels { (old, new) } else { (new, old) };
                    let side = if self.swapped { "left" } else { "right" };
                    note(failure, (i, 0, o), || {
                        format!(
                            "found duplicate series for the match group {} on the {side} hand-side of the \
                             operation: [{}, {}];many-to-many matching not allowed: matching labels must be \
                             unique on one side",
                            match_labels(&new.labels, matching),
                            first.labels,
                            second.labels
                        )
                    });
                }
            }
        }
    }
}

/// As Prometheus prints a match group.
fn match_labels(labels: &Labels, matching: &VectorMatching) -> Labels {
    matched(labels, matching)
}

/// Takes series out, each with its place.
fn take(series: &mut [Series], places: &[usize]) -> Vec<(usize, Series)> {
    places.iter().filter_map(|&at| Some((at, std::mem::take(series.get_mut(at)?)))).collect()
}

/// Within a signature no two pairs may have a result of the same labels.
fn check_distinct(joined: &[Joined], failure: &mut Option<Failure>) {
    let mut seen: LabelMap<&Labels, Bitmap> = LabelMap::default();
    for j in joined {
        match seen.get_mut(&j.labels) {
            None => {
                seen.insert(&j.labels, j.met.clone());
            }
            Some(bits) => {
                if let Some(i) = bits.first_common(&j.met) {
                    note(failure, (i, 1, j.rank), || {
                        "multiple matches for labels: grouping labels must ensure unique matches".to_owned()
                    });
                }
                bits.union(&j.met);
            }
        }
    }
}

impl Evaluator<'_> {
    fn note_remarks(&self, b: &VectorBinary, remarks: &[Remark]) {
        let mut notes = self.notes.lock();
        let symbol = math::symbol(b.op);
        for remark in remarks {
            match remark.what {
                What::Nothing => {}
                What::Misfit(Misfit::Types(l, r)) => notes.incompatible_types(symbol, l, r, b.span),
                What::Misfit(Misfit::Buckets) => notes.incompatible_buckets(symbol, b.span),
                What::Misfit(Misfit::Resets(operation)) => notes.reset_collision(operation, b.span),
                What::Reconciled => notes.bounds_reconciled(native::operation(b.op), b.span),
            }
        }
    }

    pub(super) fn vector_binary(&self, b: &VectorBinary, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let mut left = self.vector(&b.left, grid)?;
        let mut right = self.vector(&b.right, grid)?;
        let len = grid.len();
        let mut active = Bitmap::new(len);
        let mut on_right = Bitmap::new(len);
        for s in &left.series {
            active.union(&s.floats.present);
        }
        for s in &right.series {
            on_right.union(&s.floats.present);
        }
        // Without values to fill in, a step where one side is empty is not looked at.
        if b.matching.fill_left.is_none() && b.matching.fill_right.is_none() {
            active.intersect(&on_right);
        } else {
            active.union(&on_right);
        }
        let swapped = b.matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (&mut right.series, &mut left.series)
        } else {
            (&mut left.series, &mut right.series)
        };
        let mut signatures = Signatures::new(&b.matching);
        let mut members: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
        for (at, s) in one.iter().enumerate() {
            let signature = signatures.of(&s.labels);
            members.resize_with(signatures.len(), Default::default);
            if let Some((_, one)) = members.get_mut(signature) {
                one.push(at);
            }
        }
        let mut order = Vec::new();
        for (at, s) in many.iter().enumerate() {
            let signature = signatures.of(&s.labels);
            members.resize_with(signatures.len(), Default::default);
            if let Some((many, _)) = members.get_mut(signature) {
                if many.is_empty() {
                    order.push(signature);
                }
                many.push(at);
            }
        }
        order.extend((0..members.len()).filter(|&s| members.get(s).is_some_and(|(many, _)| many.is_empty())));
        let remarks = RefCell::default();
        let delayed_names = self.delayed_names;
        let many_len = many.len();
        let join = Join { b, delayed_names, many_len, swapped, active: &active, remarks: &remarks, len };
        let mut failure = None;
        let mut out = Vec::with_capacity(many_len);
        for signature in order {
            self.ctx.check()?;
            if let Some((of_many, of_one)) = members.get(signature) {
                // Taken out, so that what has been gone through makes room for the result.
                let (of_many, of_one) = (take(many, of_many), take(one, of_one));
                join.signature(&of_many, &of_one, &mut failure, &mut out);
            }
        }
        self.note_remarks(b, &remarks.into_inner());
        if let Some(failure) = failure {
            return Err(QueryError::Execution(failure.text));
        }
        if !(grid.is_instant() && self.delayed_names) {
            out = merge_equal(out)?;
        }
        self.rows(out)
    }
}
