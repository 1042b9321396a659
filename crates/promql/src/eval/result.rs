//! From the outermost expression to the query's value.

use std::sync::Arc;

use super::Evaluator;
use super::column::{Grid, Scalars, Series, drop_reserved};
use super::rows::merge_equal;
use crate::engine::QueryError;
use crate::plan::Root;
use crate::value::{MatrixSeries, Value, VectorSample};
use model::Labels;

impl Evaluator<'_> {
    /// The value of the plan.
    pub(crate) fn run(&self, grid: Grid, instant: bool) -> Result<Value, QueryError> {
        let t = grid.start;
        match &self.plan.root {
            Root::String(text) => Ok(Value::String { t, v: text.clone() }),
            Root::Scalar(scalar) => {
                let scalars = self.scalar(scalar, grid)?;
                if instant {
                    return Ok(Value::Scalar { t, v: scalars.get(0) });
                }
                let _hold = self.hold(grid.len() as u64)?;
                Ok(scalar_matrix(&scalars, grid))
            }
            Root::Vector(vector) => {
                let mut rows = self.vector(vector, grid)?;
                let series = self.final_names(std::mem::take(&mut rows.series))?;
                Ok(if instant { vector_of(series, t) } else { matrix_of(series, grid) })
            }
            Root::Subquery(vector, inner) => {
                let mut rows = self.vector(vector, *inner)?;
                let series = self.final_names(std::mem::take(&mut rows.series))?;
                Ok(matrix_of(series, *inner))
            }
            Root::ScalarSubquery(scalar, inner) => {
                let scalars = self.scalar(scalar, *inner)?;
                let _hold = self.hold(inner.len() as u64)?;
                Ok(scalar_matrix(&scalars, *inner))
            }
            Root::Samples(scan) => {
                let mut all = Vec::new();
                self.raw_samples(scan, t, |labels, times, values| {
                    all.push(MatrixSeries { labels, times: times.into(), values: values.to_vec() });
                    Ok(())
                })?;
                all.sort_by(|a, b| a.labels.cmp(&b.labels));
                Ok(Value::Matrix(all))
            }
        }
    }

    /// With delayed name removal, drops the names that functions marked.
    fn final_names(&self, mut series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
        if !self.delayed_names {
            return Ok(series);
        }
        for s in series.iter_mut().filter(|s| s.drop_name) {
            s.labels = drop_reserved(&s.labels);
        }
        merge_equal(series)
    }
}

fn scalar_matrix(scalars: &Scalars, grid: Grid) -> Value {
    if grid.len() == 0 {
        return Value::Matrix(Vec::new());
    }
    let times = (0..grid.len()).map(|i| grid.time(i)).collect();
    let values = (0..grid.len()).map(|i| scalars.get(i)).collect();
    Value::Matrix(vec![MatrixSeries { labels: Labels::empty(), times, values }])
}

fn vector_of(series: Vec<Series>, t: i64) -> Value {
    let sample = |s: Series| Some(VectorSample { v: s.floats.get(0)?, labels: s.labels, t });
    Value::Vector(series.into_iter().filter_map(sample).collect())
}

fn matrix_of(mut series: Vec<Series>, grid: Grid) -> Value {
    series.retain(|s| !s.floats.is_absent());
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let all_times: Arc<[i64]> = (0..grid.len()).map(|i| grid.time(i)).collect();
    let rows = series.into_iter().map(|s| {
        if s.floats.count() == grid.len() {
            let times = Arc::clone(&all_times);
            return MatrixSeries { labels: s.labels, times, values: s.floats.into_values() };
        }
        let times = s.floats.present.ones().map(|i| grid.time(i)).collect();
        let values = s.floats.iter().map(|(_, v)| v).collect();
        MatrixSeries { labels: s.labels, times, values }
    });
    Value::Matrix(rows.collect())
}
