//! Namespaces: their labels and annotations are attached to targets.

use super::object::{Metadata, Object, OnlyMetadata};
use crate::label_set::{LabelSet, NameLists, Pairs};

/// A namespace.
#[derive(PartialEq)]
pub(super) struct Namespace {
    /// Labels and annotations.
    pub(super) labels: LabelSet,
}

impl Object for Namespace {
    fn read<'a>(json: &'a str, lists: &NameLists) -> Result<(Metadata<'a>, Self), serde_json::Error> {
        let OnlyMetadata { metadata } = serde_json::from_str(json)?;
        let mut pairs = Pairs::default();
        metadata.push_labels_and_annotations(&mut pairs, "namespace");
        Ok((metadata, Namespace { labels: pairs.take(lists) }))
    }
}
