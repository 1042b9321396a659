//! Series in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::column::Series;
use super::{Evaluator, same_labelset};
use crate::engine::QueryError;
use model::Labels;

/// Samples accounted as held, until dropped.
pub(super) struct Hold<'e> {
    evaluator: &'e Evaluator<'e>,
    samples: u64,
    cells: u64,
}

impl<'e> Hold<'e> {
    pub(super) fn new(evaluator: &'e Evaluator<'_>, samples: u64, cells: u64) -> Self {
        Hold { evaluator, samples, cells }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.evaluator.release(self.samples, self.cells);
    }
}

/// An intermediate result.
pub(super) struct Rows<'e> {
    /// In an order that means something to `sort` and `topk`.
    pub(super) series: Vec<Series>,
    /// What it holds.
    #[allow(dead_code)] // held for its drop
    pub(super) hold: Hold<'e>,
}

/// Hashes label sets quickly and the same in every run.
pub(super) type LabelMap<K, V> = HashMap<K, V, foldhash::fast::FixedState>;

/// Makes series with equal labels one.
///
/// # Errors
/// Where two of them have a value at the same step.
pub(super) fn merge_equal(series: Vec<Series>) -> Result<Vec<Series>, QueryError> {
    let mut at: LabelMap<Labels, usize> =
        LabelMap::with_capacity_and_hasher(series.len(), foldhash::fast::FixedState::default());
    let mut merged: Vec<Series> = Vec::with_capacity(series.len());
    for new in series {
        match at.entry(new.labels.clone()) {
            Entry::Vacant(slot) => {
                slot.insert(merged.len());
                merged.push(new);
            }
            Entry::Occupied(slot) => {
                if let Some(old) = merged.get_mut(*slot.get()) {
                    if old.floats.present.intersects(&new.floats.present) {
                        return Err(same_labelset());
                    }
                    old.floats.fill_from(&new.floats);
                }
            }
        }
    }
    Ok(merged)
}

/// Whether two series have equal labels.
pub(super) fn has_equal(series: &[Series]) -> bool {
    let mut seen: LabelMap<&Labels, ()> =
        LabelMap::with_capacity_and_hasher(series.len(), foldhash::fast::FixedState::default());
    series.iter().any(|s| seen.insert(&s.labels, ()).is_some())
}
