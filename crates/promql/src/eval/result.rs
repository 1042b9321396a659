//! From the outermost expression to the query's value.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Evaluator;
use super::column::{Grid, Point, Scalars, Series, drop_reserved};
use super::rows::merge_equal;
use crate::engine::QueryError;
use crate::plan::Root;
use crate::value::{MatrixSeries, Value, VectorSample};
use model::Labels;
use model::histogram::HistogramSample;

impl Evaluator<'_> {
    /// The value of the plan.
    pub(crate) fn run(&self, grid: Grid, instant: bool) -> Result<Value, QueryError> {
        let t = grid.start;
        match &self.plan.root {
            Root::String(text) => Ok(Value::String { t, v: text.clone() }),
            Root::Scalar(scalar) => {
                let scalars = self.scalar(scalar, grid)?;
                if instant {
                    let _hold = self.hold(1)?;
                    return Ok(Value::Scalar { t, v: scalars.get(0) });
                }
                let _hold = self.hold(grid.len() as u64)?;
                Ok(scalar_matrix(&scalars, grid))
            }
            Root::Vector(vector) => {
                let mut rows = self.vector(vector, grid)?;
                let series = self.final_names(std::mem::take(&mut rows.series))?;
                Ok(if instant { vector_of(series, t) } else { self.matrix_of(series, grid) })
            }
            Root::Subquery(vector, inner) => {
                let (mut rows, looked_at) = self.inside_subquery(vector, *inner)?;
                if let Some(looked_at) = looked_at {
                    self.count(grid, &[looked_at.total()]);
                }
                let series = self.final_names(std::mem::take(&mut rows.series))?;
                Ok(self.matrix_of(series, *inner))
            }
            Root::ScalarSubquery(scalar, inner) => {
                let scalars = self.scalar(scalar, *inner)?;
                let _hold = self.hold(inner.len() as u64)?;
                Ok(scalar_matrix(&scalars, *inner))
            }
            Root::Samples(scan) => {
                let mut all = Vec::new();
                self.raw_samples(scan, t, |labels, times, values, histograms| {
                    all.push(MatrixSeries {
                        labels,
                        times: times.into(),
                        values: values.to_vec(),
                        histograms: histograms.to_vec(),
                    });
                    Ok(())
                })?;
                all.sort_by(|a, b| a.labels.cmp(&b.labels));
                Ok(Value::Matrix(all))
            }
        }
    }

    fn matrix_of(&self, mut series: Vec<Series>, grid: Grid) -> Value {
        series.retain(|s| !s.floats.is_absent());
        let began = Instant::now();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.sorting.fetch_add(took, Ordering::Relaxed);
        let all_times: Arc<[i64]> = (0..grid.len()).map(|i| grid.time(i)).collect();
        let rows = series.into_iter().map(|s| {
            if s.floats.count() == grid.len() && !s.floats.may_have_histograms() {
                let times = Arc::clone(&all_times);
                let values = s.floats.into_values();
                return MatrixSeries { labels: s.labels, times, values, histograms: Vec::new() };
            }
            let times = s.floats.iter().map(|(i, _)| grid.time(i)).collect();
            let values = s.floats.iter().map(|(_, v)| v).collect();
            let sample =
                |(i, h): (usize, &Arc<_>)| HistogramSample { t: grid.time(i), histogram: Arc::clone(h) };
            let histograms = s.floats.histograms().map(sample).collect();
            MatrixSeries { labels: s.labels, times, values, histograms }
        });
        Value::Matrix(rows.collect())
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
    Value::Matrix(vec![MatrixSeries { labels: Labels::empty(), times, values, histograms: Vec::new() }])
}

fn vector_of(series: Vec<Series>, t: i64) -> Value {
    let sample = |s: Series| {
        let (v, histogram) = match s.floats.point(0)? {
            Point::Float(v) => (v, None),
            Point::Histogram(h) => (0.0, Some(Arc::clone(h))),
        };
        Some(VectorSample { labels: s.labels, t, v, histogram })
    };
    Value::Vector(series.into_iter().filter_map(sample).collect())
}
