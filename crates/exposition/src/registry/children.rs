//! The metrics of one family by their label values.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};
use model::Labels;
use parking_lot::RwLock;

use crate::family::{Metric, MetricValue};

/// One metric's state; clones share it.
pub trait Child: Clone {
    /// What all children of a family have in common.
    type Options;
    /// A child that has seen nothing.
    fn new(options: &Self::Options) -> Self;
    /// The present value.
    fn value(&self) -> MetricValue;
}

/// Label values in the order of the family's label names.
#[derive(PartialEq, Eq, Hash)]
struct Values(Box<[Box<str>]>);

/// The same, borrowed from the caller.
struct ValuesRef<'a>(&'a [&'a str]);

impl Hash for ValuesRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<Values> for ValuesRef<'_> {
    fn equivalent(&self, key: &Values) -> bool {
        self.0.len() == key.0.len() && self.0.iter().zip(&key.0).all(|(a, b)| **a == **b)
    }
}

pub(super) struct Children<T: Child> {
    label_names: Vec<String>,
    options: T::Options,
    by_values: RwLock<HashMap<Values, T, RandomState>>,
}

impl<T: Child> Children<T> {
    pub(super) fn new(label_names: &[&str], options: T::Options) -> Self {
        let label_names = label_names.iter().map(|&name| name.to_owned()).collect();
        Children { label_names, options, by_values: RwLock::default() }
    }

    pub(super) fn label_names(&self) -> &[String] {
        &self.label_names
    }

    pub(super) fn metrics(&self) -> Vec<Metric> {
        let children = self.by_values.read();
        children
            .iter()
            .map(|(values, child)| {
                let labels = Labels::from_pairs(self.label_names.iter().zip(&values.0));
                Metric { labels, value: child.value(), timestamp: None }
            })
            .collect()
    }
}

/// The metrics of one family, told apart by label values. Clones share them.
pub struct MetricVec<T: Child>(Arc<Children<T>>);

impl<T: Child> Clone for MetricVec<T> {
    fn clone(&self) -> Self {
        MetricVec(Arc::clone(&self.0))
    }
}

impl<T: Child> std::fmt::Debug for MetricVec<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricVec").field("label_names", &self.0.label_names).finish_non_exhaustive()
    }
}

impl<T: Child> MetricVec<T> {
    pub(super) fn new(children: Arc<Children<T>>) -> Self {
        MetricVec(children)
    }

    /// The metric with these label values, made if it is new. Values are in the order of the label names; a hot path keeps the result.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> T {
        debug_assert_eq!(values.len(), self.0.label_names.len(), "one value for each label name");
        if let Some(child) = self.0.by_values.read().get(&ValuesRef(values)) {
            return child.clone();
        }
        let key = Values(values.iter().map(|&value| value.into()).collect());
        self.0.by_values.write().entry(key).or_insert_with(|| T::new(&self.0.options)).clone()
    }

    /// Forgets the metric with these label values; returns whether there was one.
    pub fn remove(&self, values: &[&str]) -> bool {
        self.0.by_values.write().remove(&ValuesRef(values)).is_some()
    }

    /// Forgets every metric whose label values, in the order of the label names, `keep` refuses.
    pub fn retain(&self, mut keep: impl FnMut(&[Box<str>]) -> bool) {
        self.0.by_values.write().retain(|values, _| keep(&values.0));
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.0.by_values.write().clear();
    }
}
