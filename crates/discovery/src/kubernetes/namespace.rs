//! Namespaces: their labels and annotations are attached to targets.

use kubeapi::{Encoded, Unreadable, schema};

use super::object::{Metadata, Object, OnlyMetadata};
use crate::label_set::{LabelSet, NameLists, Pairs};

/// A namespace.
#[derive(PartialEq)]
pub(super) struct Namespace {
    /// Labels and annotations.
    pub(super) labels: LabelSet,
}

impl Object for Namespace {
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let OnlyMetadata { metadata } = object.read(&schema::ONLY_METADATA)?;
        let mut pairs = Pairs::default();
        metadata.push_labels_and_annotations(&mut pairs, "namespace");
        Ok((metadata, Namespace { labels: pairs.take(lists) }))
    }
}
