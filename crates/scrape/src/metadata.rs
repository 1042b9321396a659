//! What a page says about its metrics: type, help, unit.
//!
//! Replicas of one program expose the same metadata, so equal sets are stored once and shared between targets.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Weak};

use exposition::MetricKind;
use parking_lot::Mutex;

/// One metric's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FamilyMetadata {
    /// The family's name as the page's `# TYPE` or `# HELP` has it.
    pub metric: Box<str>,
    /// Its type; [`MetricKind::Untyped`] if none was given.
    pub kind: MetricKind,
    /// Its help, unescaped.
    pub help: Box<str>,
    /// Its unit.
    pub unit: Box<str>,
}

/// Metadata of a page, in order of appearance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PageMetadata {
    /// One entry for each name.
    pub families: Vec<FamilyMetadata>,
}

/// Collects a page's metadata; later lines about the same name overwrite earlier ones.
#[derive(Default)]
pub(crate) struct MetadataBuilder {
    families: Vec<FamilyMetadata>,
    places: HashMap<Box<str>, usize>,
}

impl MetadataBuilder {
    pub(crate) fn family(&mut self, metric: &str) -> &mut FamilyMetadata {
        let place = match self.places.get(metric) {
            Some(&place) => place,
            None => {
                let place = self.families.len();
                self.families.push(FamilyMetadata {
                    metric: metric.into(),
                    kind: MetricKind::Untyped,
                    help: "".into(),
                    unit: "".into(),
                });
                self.places.insert(metric.into(), place);
                place
            }
        };
        &mut self.families[place]
    }

    pub(crate) fn finish(self) -> PageMetadata {
        let mut families = self.families;
        families.shrink_to_fit();
        PageMetadata { families }
    }
}

impl PageMetadata {
    /// Adds the families of `other` that are not there.
    pub(crate) fn add_others_of(&mut self, other: &PageMetadata) {
        let own: HashSet<&str> = self.families.iter().map(|family| &*family.metric).collect();
        let others = other.families.iter().filter(|family| !own.contains(&*family.metric));
        let others: Vec<_> = others.cloned().collect();
        self.families.extend(others);
    }

    /// Bytes of types, helps and units, for `prometheus_target_metadata_cache_bytes`.
    pub(crate) fn bytes(&self) -> usize {
        self.families.iter().map(|f| f.kind.as_str().len() + f.help.len() + f.unit.len()).sum()
    }
}

/// Finds equal metadata among the targets of a job.
#[derive(Default)]
pub(crate) struct SharedMetadata {
    hasher: foldhash::fast::RandomState,
    known: Mutex<HashMap<u64, Weak<PageMetadata>>>,
}

impl SharedMetadata {
    pub(crate) fn share(&self, metadata: PageMetadata) -> Arc<PageMetadata> {
        let hash = self.hasher.hash_one(&metadata);
        let mut known = self.known.lock();
        if let Some(shared) = known.get(&hash).and_then(Weak::upgrade)
            && *shared == metadata
        {
            return shared;
        }
        known.retain(|_, weak| weak.strong_count() > 0);
        let shared = Arc::new(metadata);
        known.insert(hash, Arc::downgrade(&shared));
        shared
    }
}
