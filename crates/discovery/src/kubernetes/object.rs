//! What all objects have.

use kubeapi::{Decode, Decoded, Encoded, Key, Unreadable};
use serde::Deserialize;
use std::marker::PhantomData;

use crate::json::{Many, Text, TextMap};
use crate::label_set::{NameLists, Pairs};

/// What all labels of this provider begin with.
pub(super) const META: &str = "__meta_kubernetes_";
/// The namespace of an object.
pub(super) const NAMESPACE: &str = "__meta_kubernetes_namespace";

/// `metadata` of an object.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) namespace: Text<'a>,
    #[serde(borrow)]
    pub(super) uid: Text<'a>,
    #[serde(borrow)]
    resource_version: Text<'a>,
    #[serde(borrow)]
    pub(super) labels: TextMap<'a>,
    #[serde(borrow)]
    annotations: TextMap<'a>,
    #[serde(borrow)]
    owner_references: Many<Owner<'a>>,
}

/// An object of which nothing else is wanted.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct OnlyMetadata<'a> {
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
}

/// A port of a service or of endpoints.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ServicePort<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    pub(super) port: i64,
    #[serde(borrow)]
    pub(super) protocol: Text<'a>,
}

/// An entry of `ownerReferences`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Owner<'a> {
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    controller: Option<bool>,
}

impl<'a> Metadata<'a> {
    /// The owner that manages the object.
    pub(super) fn controller(&self) -> Option<&Owner<'a>> {
        self.owner_references.0.iter().find(|owner| owner.controller == Some(true))
    }

    /// Name, labels and annotations as those of an object of `role`.
    pub(super) fn push_to(&self, pairs: &mut Pairs, role: &str) {
        pairs.push_sanitized(&[META, role, "_name"], "", &self.name);
        self.push_labels_and_annotations(pairs, role);
    }

    pub(super) fn push_labels_and_annotations(&self, pairs: &mut Pairs, role: &str) {
        self.push_labels(pairs, role);
        self.push_annotations(pairs, role);
    }

    pub(super) fn push_labels(&self, pairs: &mut Pairs, role: &str) {
        push_map(pairs, role, "label", &self.labels);
    }

    pub(super) fn push_annotations(&self, pairs: &mut Pairs, role: &str) {
        push_map(pairs, role, "annotation", &self.annotations);
    }
}

fn push_map(pairs: &mut Pairs, role: &str, kind: &str, map: &TextMap<'_>) {
    for (name, value) in &map.0 {
        pairs.push_sanitized(&[META, role, "_", kind, "_"], name, value);
        pairs.push_sanitized(&[META, role, "_", kind, "present_"], name, "true");
    }
}

/// What is kept of an object: the labels that come from it, ready made.
pub(super) trait Object: PartialEq + Send + Sync + Sized + 'static {
    /// Reads one.
    fn read<'a>(object: Encoded<'a>, lists: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable>;
}

/// Reads objects of type `T`.
pub(super) struct Decoder<T> {
    lists: NameLists,
    of: PhantomData<fn() -> T>,
}

impl<T> Decoder<T> {
    pub(super) fn new(lists: NameLists) -> Self {
        Decoder { lists, of: PhantomData }
    }
}

impl<T: Object> Decode for Decoder<T> {
    type Object = T;

    fn decode(&self, object: Encoded<'_>) -> Result<Decoded<T>, Unreadable> {
        let (metadata, object) = T::read(object, &self.lists)?;
        Ok(Decoded {
            key: Key::new(&metadata.namespace, &metadata.name),
            version: metadata.resource_version.to_string(),
            object,
        })
    }
}
