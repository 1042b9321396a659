//! Arithmetic and comparison between vectors.

use std::cell::RefCell;

use model::{Labels, LabelsBuilder, METRIC_NAME, describes_metric};
use storage::QueryContext;

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
    ctx: &'a QueryContext,
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

    /// Whether the operator makes nothing of two floats.
    fn trims(&self) -> bool {
        matches!(self.b.op, BinaryOp::TrimLower | BinaryOp::TrimUpper)
    }

    /// The same of samples of any kind; `None` where the operator makes nothing of them.
    fn compute_points(&self, i: usize, rank: usize, many: Point<'_>, one: Point<'_>) -> Option<(Made, bool)> {
        if let (Point::Float(many), Point::Float(one)) = (many, one) {
            if self.trims() {
                self.remark(i, rank, What::Misfit(Misfit::Types("float", "float")));
                return None;
            }
            let (value, keep) = self.compute(many, one);
            return Some((Made::Float(value), keep));
        }
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
    ) -> Result<(), QueryError> {
        let matching = &self.b.matching;
        self.check_one_side(one, failure);
        if failure.as_ref().is_some_and(|f| Some(f.rank.0) == self.active.ones().next()) {
            // Nothing fails before that, and there is no result.
            return Ok(());
        }
        let mut pairs = Pairs { join: self, met: Bitmap::new(self.len), joined: Vec::new(), failure };
        let mut any_one = Bitmap::new(self.len);
        for (_, s) in one {
            any_one.union(&s.floats.present);
        }
        for &(m, ref a) in many {
            self.ctx.check()?;
            for (_, b) in one.iter().filter(|(_, b)| a.floats.present.intersects(&b.floats.present)) {
                pairs.join(m, self.labels(&a.labels, &b.labels), &a.floats, &b.floats);
            }
            if let Some(fill) = matching.fill_right {
                let lonely = a.floats.points().filter(|&(i, _)| !any_one.get(i));
                let labels = self.labels(&a.labels, &matched(&a.labels, matching));
                pairs.join_points(m, labels, lonely.map(|(i, p)| (i, p, Point::Float(fill))));
            }
        }
        if let Some(fill) = matching.fill_left {
            for (o, b) in one {
                let before = pairs.met.clone();
                let lonely = b.floats.points().filter(|&(i, _)| !before.get(i));
                let labels = self.labels(&matched(&b.labels, matching), &b.labels);
                pairs.join_points(self.many_len + o, labels, lonely.map(|(i, p)| (i, Point::Float(fill), p)));
            }
        }
        let joined = pairs.joined;
        if !self.is_one_to_one() {
            check_distinct(&joined, failure);
        }
        for j in joined.into_iter().filter(|j| !j.floats.is_absent()) {
            out.push(Series { labels: j.labels, drop_name: self.b.return_bool, floats: j.floats });
        }
        Ok(())
    }

    fn is_one_to_one(&self) -> bool {
        self.b.matching.card == Cardinality::OneToOne
    }

    /// On the "one" side a signature may have one sample a step. There may be very many series where it should have
    /// been told apart by more labels: each is looked at once.
    fn check_one_side(&self, one: &[(usize, Series)], failure: &mut Option<Failure>) {
        let mut seen = Bitmap::new(self.len);
        for (at, &(o, ref new)) in one.iter().enumerate() {
            if let Some(i) = seen.first_common(&new.floats.present) {
                note(failure, (i, 0, o), || {
                    let old = one.iter().take(at).map(|(_, old)| old).find(|old| old.floats.present.get(i));
                    self.duplicates(old.unwrap_or(new), new)
                });
            }
            seen.union(&new.floats.present);
            seen.intersect(self.active);
        }
    }

    /// Says that two series have a sample at the same step on the "one" side.
    fn duplicates(&self, old: &Series, new: &Series) -> String {
        let (first, second) = if old.labels < new.labels { (old, new) } else { (new, old) };
        let side = if self.swapped { "left" } else { "right" };
        format!(
            "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];\
             many-to-many matching not allowed: matching labels must be unique on one side",
            matched(&new.labels, &self.b.matching),
            first.labels,
            second.labels
        )
    }
}

/// The results of one signature as they come up.
struct Pairs<'p> {
    join: &'p Join<'p>,
    /// Steps at which any two samples met.
    met: Bitmap,
    joined: Vec<Joined>,
    failure: &'p mut Option<Failure>,
}

impl Pairs<'_> {
    /// Joins two series where both have a sample.
    fn join(&mut self, rank: usize, labels: Labels, many: &Column, one: &Column) {
        let any_histogram = many.may_have_histograms() || one.may_have_histograms();
        if any_histogram || self.join.trims() {
            let both = many.points().filter_map(|(i, a)| Some((i, a, one.point(i)?)));
            return self.join_points(rank, labels, both);
        }
        let new = self.join.floats(rank, labels, many, one);
        if self.join.is_one_to_one()
            && let Some(i) = self.met.first_common(&new.met)
        {
            note(self.failure, (i, 1, rank), || TWO_MATCHES.to_owned());
        }
        self.met.union(&new.met);
        self.joined.push(new);
    }

    /// Joins two samples at each of some steps.
    fn join_points<'s>(
        &mut self,
        rank: usize,
        labels: Labels,
        points: impl Iterator<Item = (usize, Point<'s>, Point<'s>)>,
    ) {
        let join = self.join;
        let mut new = Joined { labels, floats: Column::absent(join.len), met: Bitmap::new(join.len), rank };
        for (i, many, one) in points {
            let Some((made, keep)) = join.compute_points(i, rank, many, one) else { continue };
            if join.is_one_to_one() && self.met.get(i) {
                note(self.failure, (i, 1, rank), || TWO_MATCHES.to_owned());
            }
            self.met.set(i);
            new.met.set(i);
            match made {
                _ if !keep => {}
                Made::Float(v) => new.floats.set(i, v),
                Made::Histogram(h) => new.floats.set_histogram(i, h),
            }
        }
        self.joined.push(new);
    }
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
        let (ctx, active, remarks) = (self.ctx, &active, &remarks);
        let join = Join { ctx, b, delayed_names, many_len, swapped, active, remarks, len };
        let mut failure = None;
        let mut out = Vec::with_capacity(many_len);
        for signature in order {
            self.ctx.check()?;
            if let Some((of_many, of_one)) = members.get(signature) {
                // Taken out, so that what has been gone through makes room for the result.
                let (of_many, of_one) = (take(many, of_many), take(one, of_one));
                join.signature(&of_many, &of_one, &mut failure, &mut out)?;
            }
        }
        self.note_remarks(b, &remarks.borrow());
        if let Some(failure) = failure {
            return Err(QueryError::Execution(failure.text));
        }
        if !(grid.is_instant() && self.delayed_names) {
            out = merge_equal(out)?;
        }
        self.rows(out)
    }
}
