//! Computing on each series for itself.

use super::annotations::Annotations;
use super::column::{Column, Grid, Scalars, drop_reserved};
use super::rows::{Rows, merge_equal};
use super::{Evaluator, math, native};
use crate::ast::{BinaryOp, Span};
use crate::engine::QueryError;
use crate::plan::{Scalar, Stage};
use model::FloatHistogram;
use parking_lot::Mutex;
use std::sync::Arc;

/// A stage whose scalar arguments are known.
pub(super) enum Ready {
    Math(fn(f64) -> f64),
    Negate,
    OfHistogram(fn(&FloatHistogram) -> f64),
    Clamp(Scalars, Scalars),
    Round(Scalars),
    WithScalar { op: BinaryOp, scalar: Scalars, scalar_left: bool, return_bool: bool, span: Span },
    StepTime(Grid),
    Nothing,
}

impl Ready {
    pub(super) fn new(evaluator: &Evaluator<'_>, stage: &Stage, grid: Grid) -> Result<Self, QueryError> {
        let bound = |scalar: &Option<Scalar>, default: f64| match scalar {
            Some(s) => evaluator.scalar(s, grid),
            None => Ok(Scalars::Const(default)),
        };
        Ok(match stage {
            Stage::Math(_, f) => Ready::Math(*f),
            Stage::Negate => Ready::Negate,
            Stage::OfHistogram(_, f) => Ready::OfHistogram(*f),
            Stage::Clamp(min, max) => {
                Ready::Clamp(bound(min, f64::NEG_INFINITY)?, bound(max, f64::INFINITY)?)
            }
            Stage::Round(to) => Ready::Round(evaluator.scalar(to, grid)?),
            Stage::WithScalar { op, scalar, scalar_left, return_bool, span } => Ready::WithScalar {
                op: *op,
                scalar: evaluator.scalar(scalar, grid)?,
                scalar_left: *scalar_left,
                return_bool: *return_bool,
                span: *span,
            },
            Stage::StepTime => Ready::StepTime(grid),
            Stage::Nothing => Ready::Nothing,
        })
    }

    /// Computes on one series in place.
    pub(super) fn apply(&self, column: &mut Column, notes: &Mutex<Annotations>) {
        match self {
            Ready::Math(f) => {
                column.keep_floats();
                column.map(f);
            }
            Ready::Negate => {
                column.map(|v| -v);
                column.replace_histograms(|_, h| {
                    let mut h = FloatHistogram::clone(h);
                    h.multiply(-1.0);
                    Some(Arc::new(h))
                });
            }
            Ready::OfHistogram(f) => column.map_histograms(|_, h| Some(f(h))),
            Ready::Clamp(min, max) => {
                column.keep_floats();
                column.filter_map(|i, v| {
                    let (min, max) = (min.get(i), max.get(i));
                    if max < min { None } else { Some(math::max(min, math::min(max, v))) }
                });
            }
            Ready::Round(to) => {
                column.keep_floats();
                column.filter_map(|i, v| Some(math::round(v, to.get(i))));
            }
            Ready::Nothing => {
                column.clear();
            }
            Ready::StepTime(grid) => {
                for i in 0..grid.len() {
                    if column.present.get(i) {
                        column.set(i, grid.time(i) as f64 / 1000.0);
                    }
                }
            }
            Ready::WithScalar { op, scalar, scalar_left, return_bool, span } => {
                let (op, scalar_left, return_bool) = (*op, *scalar_left, *return_bool);
                if column.may_have_histograms() {
                    with_scalar(op, scalar, scalar_left, return_bool, *span, column, notes);
                }
                if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
                    if column.iter().next().is_some() {
                        notes.lock().incompatible_types(math::symbol(op), "float", "float", *span);
                        column.filter_map(|_, _| None);
                    }
                    return;
                }
                column.filter_map(|i, v| {
                    let s = scalar.get(i);
                    let (value, keep) =
                        if scalar_left { math::samples(op, s, v) } else { math::samples(op, v, s) };
                    if return_bool {
                        return Some(f64::from(u8::from(keep)));
                    }
                    // A comparison keeps the vector's value, on whichever side it stands.
                    keep.then_some(if op.is_comparison() { v } else { value })
                });
            }
        }
    }
}

/// An operator between the histograms of a column and a scalar.
fn with_scalar(
    op: BinaryOp,
    scalar: &Scalars,
    scalar_left: bool,
    return_bool: bool,
    span: Span,
    column: &mut Column,
    notes: &Mutex<Annotations>,
) {
    let mut incompatible = false;
    column.replace_histograms(|i, h| {
        let s = scalar.get(i);
        let result = if scalar_left {
            native::float_and_histogram(op, s, h)
        } else {
            native::histogram_and_float(op, h, s)
        };
        incompatible |= result.is_none();
        result.filter(|_| !return_bool).map(Arc::new)
    });
    if incompatible {
        let (left, right) = if scalar_left { ("float", "histogram") } else { ("histogram", "float") };
        notes.lock().incompatible_types(math::symbol(op), left, right, span);
    }
}

impl Evaluator<'_> {
    /// Applies stages to series in memory.
    pub(super) fn map<'e>(
        &'e self,
        mut rows: Rows<'e>,
        stages: &[Stage],
        grid: Grid,
    ) -> Result<Rows<'e>, QueryError> {
        let ready = self.ready_stages(stages, grid)?;
        for (stage, ready) in stages.iter().zip(&ready) {
            self.ctx.check()?;
            let mut renamed = false;
            for series in &mut rows.series {
                ready.apply(&mut series.floats, &self.notes);
                if stage.drops_name() {
                    series.drop_name = true;
                    if !self.delayed_names {
                        let labels = drop_reserved(&series.labels);
                        renamed |= labels != series.labels;
                        series.labels = labels;
                    }
                }
            }
            rows.series.retain(|s| !s.floats.is_absent());
            if renamed {
                rows.series = merge_equal(std::mem::take(&mut rows.series))?;
            }
        }
        Ok(rows)
    }
}
