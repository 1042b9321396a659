//! Window functions over the steps of an inner expression.

use std::sync::atomic::Ordering;

use super::column::{Column, Grid, Series, drop_reserved};
use super::rows::{Rows, has_equal};
use super::window::{self, WindowScratch, Windows};
use super::{Evaluator, same_labelset};
use crate::engine::QueryError;
use crate::plan::SubqueryScan;

impl Evaluator<'_> {
    pub(super) fn subquery(&self, subquery: &SubqueryScan, grid: Grid) -> Result<Rows<'_>, QueryError> {
        let SubqueryScan { input, grid: inner, offset, at, call } = subquery;
        let rows = self.vector(input, *inner)?;
        let args = self.scalars(&call.args, grid)?;
        let windows = Windows {
            grid,
            range: call.range,
            offset: *offset,
            at: *at,
            mode: call.mode,
            lookback: self.lookback,
        };
        let drops_name = call.function.drops_name();
        let mut scratch = WindowScratch::default();
        let (mut times, mut values) = (Vec::new(), Vec::new());
        let mut out = Vec::with_capacity(rows.series.len());
        for series in &rows.series {
            self.ctx.check()?;
            times.clear();
            values.clear();
            for (i, v) in series.floats.iter() {
                times.push(inner.time(i));
                values.push(v);
            }
            let mut floats = Column::absent(grid.len());
            window::apply(call.function, &args, &windows, &times, &values, &mut scratch, &mut floats)?;
            if floats.is_absent() {
                continue;
            }
            self.note_window(&series.labels, &args, &floats, call);
            let drop_name = drops_name || series.drop_name;
            let labels = if drop_name && !self.delayed_names {
                drop_reserved(&series.labels)
            } else {
                series.labels.clone()
            };
            out.push(Series { labels, drop_name, floats });
        }
        self.samples.fetch_add(scratch.samples, Ordering::Relaxed);
        if !self.delayed_names && has_equal(&out) {
            return Err(same_labelset());
        }
        self.rows(out)
    }
}
