//! What each node of the plan cost, for those who ask how a query is carried out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::rows::Rows;
use super::stats;
use crate::engine::QueryError;
use crate::explain::{PlanNode, ReadCost};
use crate::plan::Read;

/// The nodes that are being carried out, innermost last, each with when it began. What is done at once on several
/// threads is within one of them.
#[derive(Debug)]
pub(super) struct Trace(Mutex<Vec<(PlanNode, Instant)>>);

/// What was read for a scan.
#[derive(Debug, Default)]
pub(super) struct ReadTotals {
    pub(super) series: AtomicU64,
    pub(super) samples: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl ReadTotals {
    pub(super) fn add(&self, series: u64, samples: u64, bytes: u64) {
        self.series.fetch_add(series, Ordering::Relaxed);
        self.samples.fetch_add(samples, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Trace {
    pub(super) fn new(root: PlanNode) -> Self {
        Trace(Mutex::new(vec![(root, Instant::now())]))
    }

    /// Carries out a node; `cost` notes what its result is.
    pub(super) fn node<R>(
        &self,
        node: PlanNode,
        work: impl FnOnce() -> Result<R, QueryError>,
        cost: impl FnOnce(&R, &mut PlanNode),
    ) -> Result<R, QueryError> {
        self.0.lock().push((node, Instant::now()));
        let result = work();
        let mut open = self.0.lock();
        if let Some((mut node, began)) = open.pop() {
            node.took = began.elapsed();
            if let Ok(result) = &result {
                cost(result, &mut node);
            }
            if let Some((outer, _)) = open.last_mut() {
                outer.nodes.push(node);
            }
        }
        result
    }

    /// Notes what was read for the innermost node.
    pub(super) fn note_read(&self, read: &Read, totals: &ReadTotals) {
        if let Some((node, _)) = self.0.lock().last_mut() {
            let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
            let (series, samples, bytes) = (load(&totals.series), load(&totals.samples), load(&totals.bytes));
            node.read = Some(ReadCost { series, samples, bytes, ..ReadCost::of(read) });
        }
    }

    /// The whole, once everything is done.
    pub(super) fn root(&self) -> Option<PlanNode> {
        let (mut root, began) = self.0.lock().first().cloned()?;
        root.took = began.elapsed();
        Some(root)
    }
}

/// What rows take.
pub(super) fn note_rows(rows: &Rows<'_>, node: &mut PlanNode) {
    node.series = rows.series.len() as u64;
    for series in &rows.series {
        node.samples += series.floats.count() as u64;
        // A value and a bit a step, and the histograms.
        node.bytes += series.floats.len() as u64 * 8 + series.floats.len().div_ceil(8) as u64;
        node.bytes += series.floats.histograms().map(|(_, h)| 16 * stats::weight(h)).sum::<u64>();
    }
}
