//! `and`, `or`, `unless`.

use super::Evaluator;
use super::binary::Signatures;
use super::column::{Bitmap, Grid};
use super::rows::{Rows, merge_equal};
use crate::ast::BinaryOp;
use crate::engine::QueryError;
use crate::plan::VectorBinary;

impl Evaluator<'_> {
    pub(super) fn set_operation(&self, b: &VectorBinary, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let mut left = self.vector(&b.left, grid)?;
        let right = self.vector(&b.right, grid)?;
        let mut signatures = Signatures::new(&b.matching);
        let left_of: Vec<usize> = left.series.iter().map(|s| signatures.of(&s.labels)).collect();
        let right_of: Vec<usize> = right.series.iter().map(|s| signatures.of(&s.labels)).collect();
        let mut present = vec![Bitmap::new(grid.len()); signatures.len()];
        let (side, of) =
            if b.op == BinaryOp::Or { (&left.series, &left_of) } else { (&right.series, &right_of) };
        for (series, &signature) in side.iter().zip(of) {
            if let Some(bits) = present.get_mut(signature) {
                bits.union(&series.floats.present);
            }
        }
        if b.op == BinaryOp::Or {
            let Rows { series, hold: _hold } = right;
            for (mut series, signature) in series.into_iter().zip(right_of) {
                if let Some(bits) = present.get(signature) {
                    series.floats.present.subtract(bits);
                }
                left.series.push(series);
            }
        } else {
            for (series, signature) in left.series.iter_mut().zip(left_of) {
                let Some(bits) = present.get(signature) else { continue };
                match b.op {
                    BinaryOp::And => series.floats.present.intersect(bits),
                    _ => series.floats.present.subtract(bits),
                }
            }
        }
        let mut series = std::mem::take(&mut left.series);
        series.retain(|s| !s.floats.is_absent());
        if b.op == BinaryOp::Or && !(grid.is_instant() && self.delayed_names) {
            series = merge_equal(series)?;
        }
        self.rows(series)
    }
}
