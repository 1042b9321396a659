//! Aggregations that select series: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use model::Labels;
use xxhash_rust::xxh64::xxh64;

use super::Evaluator;
use super::aggregate::{Grouping, ParamBounds, group_rows};
use super::column::{Bitmap, Grid, Point, Scalars, Series};
use super::go_sort;
use super::rows::Rows;
use crate::ast::AggregateOp;
use crate::engine::QueryError;
use crate::plan::Aggregation;

/// A selected sample: index of the series and value.
type Selected = (usize, f64);

/// A binary heap as Go's `container/heap` arranges it, so that of equal values the same ones stay: the worst is on
/// top, NaN is worse than any number.
struct Heap {
    items: Vec<Selected>,
    largest: bool,
}

impl Heap {
    /// Whether `a` belongs above `b`.
    fn worse(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.largest { a < b } else { a > b }
    }

    fn above(&self, i: usize, j: usize) -> bool {
        match (self.items.get(i), self.items.get(j)) {
            (Some(a), Some(b)) => self.worse(a.1, b.1),
            _ => false,
        }
    }

    fn push(&mut self, item: Selected) {
        self.items.push(item);
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.above(at, parent) {
                break;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    /// Takes `item` in, in place of the worst if there are `k` already and it is better than that.
    fn offer(&mut self, item: Selected, k: usize) {
        if self.items.len() < k {
            return self.push(item);
        }
        let Some(top) = self.items.first_mut() else { return };
        let better = if self.largest { top.1 < item.1 } else { top.1 > item.1 };
        if better || (top.1.is_nan() && !item.1.is_nan()) {
            *top = item;
            self.sink();
        }
    }

    fn sink(&mut self) {
        let mut at = 0;
        loop {
            let left = 2 * at + 1;
            if left >= self.items.len() {
                return;
            }
            let right = left + 1;
            let child = if right < self.items.len() && self.above(right, left) { right } else { left };
            if !self.above(child, at) {
                return;
            }
            self.items.swap(at, child);
            at = child;
        }
    }

    /// Best first.
    fn into_sorted(mut self) -> Vec<Selected> {
        let mut items = std::mem::take(&mut self.items);
        go_sort::sort(&mut items, |a, b| self.worse(b.1, a.1));
        items
    }
}

/// Prometheus' hash of a label set: xxhash of each name and value behind its length.
fn label_hash(labels: &Labels) -> u64 {
    fn push(buffer: &mut Vec<u8>, text: &str) {
        match u8::try_from(text.len()) {
            Ok(len) if len < 255 => buffer.push(len),
            _ => {
                buffer.push(255);
                buffer.extend(text.len().to_le_bytes().iter().take(3));
            }
        }
        buffer.extend_from_slice(text.as_bytes());
    }
    let mut buffer = Vec::new();
    for (name, value) in labels {
        push(&mut buffer, name);
        push(&mut buffer, value);
    }
    xxh64(&buffer, 0)
}

/// Whether a series whose hash is at `place` between 0 and 1 is among the fraction `ratio` of all; a negative ratio is
/// the complement of a positive one.
fn in_ratio(place: f64, ratio: f64) -> bool {
    if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio }
}

impl Evaluator<'_> {
    pub(super) fn aggregate_k(
        &self,
        a: &Aggregation,
        grouping: Grouping<'_>,
        grid: Grid,
    ) -> Result<Rows<'_>, QueryError> {
        let len = grid.len();
        let param = match &a.param {
            Some(param) => self.scalar(param, grid)?,
            None => Scalars::Const(f64::NAN),
        };
        let mut rows = self.vector(&a.input, grid)?;
        let bounds = ParamBounds::new(&param, a.param_const, len);
        let fail = |text: String| Err(QueryError::Execution(text));
        if a.op == AggregateOp::LimitRatio {
            if bounds.max == 0.0 && bounds.min == 0.0 {
                return self.rows(Vec::new());
            }
            if bounds.any_nan {
                return fail("Ratio value is NaN".to_owned());
            }
            let mut notes = self.notes.lock();
            if bounds.max > 1.0 {
                notes.bad_ratio(bounds.max, 1.0, a.param_span);
            }
            if bounds.min < -1.0 {
                notes.bad_ratio(bounds.min, -1.0, a.param_span);
            }
        } else {
            if bounds.max < 1.0 {
                return self.rows(Vec::new());
            }
            if bounds.any_nan {
                return fail("Parameter value is NaN".to_owned());
            }
            if bounds.min <= i64::MIN as f64 {
                return fail(format!("Scalar value {} underflows int64", go_v(bounds.min)));
            }
            if bounds.max >= i64::MAX as f64 {
                return fail(format!("Scalar value {} overflows int64", go_v(bounds.max)));
            }
        }

        if matches!(a.op, AggregateOp::Topk | AggregateOp::Bottomk)
            && rows.series.iter().any(|s| s.floats.histograms().any(|(i, _)| param.get(i) >= 1.0))
        {
            let op = if a.op == AggregateOp::Topk { "topk" } else { "bottomk" };
            self.notes.lock().histogram_ignored_in_aggregation(op, a.span);
        }
        let (_, members) = group_rows(&rows.series, grouping);
        let mut selected: Vec<Option<Bitmap>> = vec![None; rows.series.len()];
        let mut order = Vec::new();
        let tiles: Vec<std::ops::Range<usize>> =
            (0..len).step_by(TILE).map(|from| from..(from + TILE).min(len)).collect();
        for members in &members {
            let heavy = members.len() * len > SAMPLES_FOR_THREADS;
            let chosen = self.workers.run(tiles.clone(), heavy, |tiles| {
                let mut chosen = Vec::new();
                for steps in tiles {
                    self.ctx.check()?;
                    select(a.op, &param, members, &rows.series, steps, &mut chosen);
                }
                Ok::<_, QueryError>(chosen)
            });
            for chosen in chosen {
                for (i, (at, _)) in chosen? {
                    let Some(steps) = selected.get_mut(at) else { continue };
                    steps.get_or_insert_with(|| Bitmap::new(len)).set(i);
                    if grid.is_instant() {
                        order.push(at);
                    }
                }
            }
        }
        if !grid.is_instant() {
            order.extend(0..rows.series.len());
        }
        let mut out = Vec::new();
        for at in order {
            if let (Some(series), Some(steps)) =
                (rows.series.get_mut(at), selected.get_mut(at).and_then(Option::take))
            {
                series.floats.present = steps;
                out.push(std::mem::take(series));
            }
        }
        drop(rows);
        self.rows(out)
    }
}

/// Steps that are looked at together: so many values lie side by side in each series' column.
const TILE: usize = 64;
/// With fewer samples a thread is not worth its while.
const SAMPLES_FOR_THREADS: usize = 50_000;

/// The samples of one group that are selected at some steps, with the step, in order within each step.
fn select(
    op: AggregateOp,
    param: &Scalars,
    members: &[usize],
    series: &[Series],
    steps: std::ops::Range<usize>,
    chosen: &mut Vec<(usize, Selected)>,
) {
    let ordered = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
    let largest = op != AggregateOp::Bottomk;
    // For each step the heap, and how many it takes.
    let mut heaps: Vec<(Heap, usize)> = steps
        .clone()
        .map(|i| {
            let k = param.get(i) as i64;
            let k = usize::try_from(k.max(0)).unwrap_or(usize::MAX).min(series.len());
            (Heap { items: Vec::new(), largest }, k)
        })
        .collect();
    for &at in members {
        let Some(s) = series.get(at) else { continue };
        let place = match op {
            AggregateOp::LimitRatio => label_hash(&s.labels) as f64 / u64::MAX as f64,
            _ => 0.0,
        };
        for (i, (heap, k)) in steps.clone().zip(&mut heaps) {
            let v = match s.floats.point(i) {
                Some(Point::Float(v)) => v,
                Some(Point::Histogram(_)) if !ordered => 0.0,
                _ => continue,
            };
            match op {
                AggregateOp::LimitRatio => {
                    let ratio = param.get(i).clamp(-1.0, 1.0);
                    if ratio != 0.0 && in_ratio(place, ratio) {
                        heap.push((at, v));
                    }
                }
                AggregateOp::LimitK if heap.items.len() < *k => heap.items.push((at, v)),
                AggregateOp::LimitK => {}
                _ => heap.offer((at, v), *k),
            }
        }
    }
    for (i, (heap, _)) in steps.zip(heaps) {
        let items = if ordered { heap.into_sorted() } else { heap.items };
        chosen.extend(items.into_iter().map(|item| (i, item)));
    }
}

/// Go's `%v` of a float.
fn go_v(v: f64) -> String {
    model::number::format_g(v)
}
