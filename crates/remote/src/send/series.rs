//! The series that the log names by number, as the destination is to see them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use model::{Labels, LabelsBuilder, relabel};
use parking_lot::RwLock;
use storage::{MemoryAccount, Metadata};

/// A series that is sent.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: Labels,
    metadata: RwLock<Option<Arc<Metadata>>>,
}

impl Series {
    pub(super) fn new(labels: Labels) -> Self {
        Series { labels, metadata: RwLock::default() }
    }

    /// What was last said about it.
    pub(super) fn metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.read().clone()
    }
}

/// What became of a series.
#[derive(Debug)]
enum Fate {
    Sent(Arc<Series>),
    /// A rule drops it.
    Dropped,
}

impl Fate {
    /// About what it takes.
    fn bytes(&self) -> u64 {
        match self {
            Fate::Sent(series) => (series.labels.as_bytes().len() + ENTRY) as u64,
            Fate::Dropped => 0,
        }
    }
}

/// What is known of a reference.
pub(super) enum Known {
    Sent(Arc<Series>),
    Dropped,
    Unknown,
}

/// About what a series takes besides its labels, in bytes.
const ENTRY: usize = 120;

/// See the module.
pub(super) struct SeriesMap {
    by_reference: HashMap<u64, (Fate, u32), FixedState>,
    /// Each text once.
    metadata: HashSet<Arc<Metadata>>,
    external: Labels,
    rules: Vec<relabel::Config>,
    account: MemoryAccount,
    held: u64,
}

impl Drop for SeriesMap {
    fn drop(&mut self) {
        self.account.sub(self.held);
    }
}

impl SeriesMap {
    pub(super) fn new(external: Labels, rules: Vec<relabel::Config>, account: MemoryAccount) -> Self {
        let by_reference = HashMap::with_hasher(FixedState::with_seed(3));
        SeriesMap { by_reference, metadata: HashSet::new(), external, rules, account, held: 0 }
    }

    /// Notes a series that the log names in a segment. A reference may have been another series before: who opens a log
    /// counts on from the greatest reference that is in it, and that of a series that ended may be there no more.
    pub(super) fn add(&mut self, reference: u64, labels: &Labels, segment: u32) {
        let labels = self.outward(labels);
        if let Some((fate, last)) = self.by_reference.get_mut(&reference) {
            let is_same = match (&*fate, &labels) {
                (Fate::Sent(series), Some(labels)) => series.labels == *labels,
                (Fate::Dropped, None) => true,
                _ => false,
            };
            if is_same {
                *last = segment;
                return;
            }
        }
        let fate = labels.map_or(Fate::Dropped, |labels| Fate::Sent(Arc::new(Series::new(labels))));
        let (new, replaced) = (fate.bytes(), self.by_reference.insert(reference, (fate, segment)));
        let freed = replaced.map_or(0, |(fate, _)| fate.bytes());
        self.held = self.held + new - freed;
        self.account.add(new);
        self.account.sub(freed);
    }

    /// The labels that the destination sees; none if it does not see the series. Own labels win over external ones.
    fn outward(&self, labels: &Labels) -> Option<Labels> {
        if self.external.is_empty() && self.rules.is_empty() {
            return Some(labels.clone());
        }
        let mut builder = LabelsBuilder::new(labels);
        for (name, value) in &self.external {
            if builder.value(name).is_empty() {
                builder.set(name, value);
            }
        }
        relabel::process_builder(&mut builder, &self.rules).then(|| builder.build())
    }

    pub(super) fn get(&self, reference: u64) -> Known {
        match self.by_reference.get(&reference) {
            Some((Fate::Sent(series), _)) => Known::Sent(Arc::clone(series)),
            Some((Fate::Dropped, _)) => Known::Dropped,
            None => Known::Unknown,
        }
    }

    /// Notes what is said about a series.
    pub(super) fn describe(&mut self, reference: u64, metadata: Metadata) {
        let Some((Fate::Sent(series), _)) = self.by_reference.get(&reference) else { return };
        let shared = match self.metadata.get(&metadata) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(metadata);
                self.metadata.insert(Arc::clone(&new));
                new
            }
        };
        *series.metadata.write() = Some(shared);
    }

    /// Notes that a series lives on in a segment.
    pub(super) fn keep(&mut self, reference: u64, segment: u32) {
        if let Some((_, last)) = self.by_reference.get_mut(&reference) {
            *last = (*last).max(segment);
        }
    }

    /// Forgets the series that nothing from this segment on names.
    pub(super) fn forget_before(&mut self, segment: u32) {
        let mut freed = 0;
        self.by_reference.retain(|_, (fate, last)| {
            let stays = *last >= segment;
            if !stays {
                freed += fate.bytes();
            }
            stays
        });
        self.by_reference.shrink_to(self.by_reference.len() * 2);
        self.metadata.retain(|text| Arc::strong_count(text) > 1);
        self.held -= freed;
        self.account.sub(freed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    #[test]
    fn external_labels_are_added_where_the_series_has_none_and_rules_see_them() {
        let drop = relabel::Config {
            source_labels: vec!["cluster".into()],
            regex: model::Regex::new("none").unwrap(),
            action: relabel::Action::Drop,
            ..relabel::Config::default()
        };
        let account = storage::MemoryBudget::default().account("x");
        let mut map = SeriesMap::new(labels(&[("cluster", "c1"), ("replica", "0")]), vec![drop], account);
        map.add(1, &labels(&[("__name__", "up"), ("replica", "own")]), 0);
        map.add(2, &labels(&[("__name__", "up"), ("cluster", "none")]), 0);
        let Known::Sent(series) = map.get(1) else { panic!() };
        assert_eq!(series.labels, labels(&[("__name__", "up"), ("cluster", "c1"), ("replica", "own")]));
        assert!(matches!(map.get(2), Known::Dropped));
        assert!(matches!(map.get(3), Known::Unknown));
        // Another series has the number now.
        map.add(1, &labels(&[("__name__", "down")]), 1);
        let Known::Sent(series) = map.get(1) else { panic!() };
        assert_eq!(series.labels, labels(&[("__name__", "down"), ("cluster", "c1"), ("replica", "0")]));
        map.keep(1, 5);
        map.forget_before(5);
        assert!(matches!(map.get(1), Known::Sent(_)));
        assert!(matches!(map.get(2), Known::Unknown));
    }
}
