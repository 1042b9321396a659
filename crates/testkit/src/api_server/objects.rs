//! The objects of a cluster and what happened to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::protobuf;

/// An object and what selectors look at.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) json: Arc<str>,
    /// Without envelope.
    pub(super) protobuf: Arc<[u8]>,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    pub(super) fields: Arc<BTreeMap<&'static str, String>>,
}

impl Object {
    fn new(resource: &str, json: &Json) -> Self {
        let text =
            |pointer: &str| json.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
        let labels = json.pointer("/metadata/labels").and_then(Json::as_object);
        let labels =
            labels.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned()));
        let fields = [
            ("metadata.name", text("/metadata/name")),
            ("metadata.namespace", text("/metadata/namespace")),
            ("spec.nodeName", text("/spec/nodeName")),
            ("status.phase", text("/status/phase")),
        ];
        Object {
            json: json.to_string().into(),
            protobuf: protobuf::object(kind_of(resource).0, json).into(),
            labels: Arc::new(labels.collect()),
            fields: Arc::new(fields.into_iter().collect()),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        self.fields.get("metadata.namespace").map_or("", String::as_str)
    }
}

/// A change of an object: what it was and what it is.
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) resource: String,
    pub(super) before: Option<Object>,
    pub(super) after: Option<Object>,
    /// A deleted object's last state, with the version of its deletion.
    pub(super) last: Option<Object>,
}

/// The kind and group of the objects of a resource.
pub(super) fn kind_of(resource: &str) -> (&'static str, String) {
    let (group, name) = resource.rsplit_once('/').unwrap_or_default();
    let kind = match name {
        "nodes" => "Node",
        "services" => "Service",
        "endpoints" => "Endpoints",
        "namespaces" => "Namespace",
        "replicasets" => "ReplicaSet",
        "jobs" => "Job",
        "endpointslices" => "EndpointSlice",
        "ingresses" => "Ingress",
        _ => "Pod",
    };
    (kind, group.trim_start_matches("/apis/").trim_start_matches("/api/").to_owned())
}

type Key = (String, String);

#[derive(Default)]
pub(super) struct Store {
    resources: BTreeMap<String, BTreeMap<Key, Object>>,
    pub(super) log: Vec<Change>,
    pub(super) version: u64,
    /// Versions before this one are too old.
    pub(super) oldest: u64,
}

fn key(object: &Json) -> Key {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

impl Store {
    pub(super) fn load(&mut self, resource: &str, list: &str) {
        let list: Json = serde_json::from_str(list).unwrap_or_default();
        let version = list.pointer("/metadata/resourceVersion").and_then(Json::as_str);
        self.version = self.version.max(version.and_then(|v| v.parse().ok()).unwrap_or(1));
        self.oldest = self.version;
        // Objects of a list do not say what they are, those of a watch do.
        let kind = list["kind"].as_str().and_then(|kind| kind.strip_suffix("List"));
        let items = list["items"].as_array().into_iter().flatten().map(|item| {
            let mut item = item.clone();
            if let Some(kind) = kind.filter(|_| item["kind"].is_null()) {
                item["kind"] = json!(kind);
                item["apiVersion"] = list["apiVersion"].clone();
            }
            (key(&item), Object::new(resource, &item))
        });
        self.resources.insert(resource.to_owned(), items.collect());
    }

    pub(super) fn put(&mut self, resource: &str, mut object: Json) {
        let version = self.version + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        self.record(resource, version, &object, false);
    }

    pub(super) fn delete(&mut self, resource: &str, namespace: &str, name: &str) {
        if let Some(mut object) = self.get(resource, namespace, name) {
            let version = self.version + 1;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            self.record(resource, version, &object, true);
        }
    }

    pub(super) fn replay(&mut self, resource: &str, line: &str) {
        let event: Json = serde_json::from_str(line).unwrap_or_default();
        let object = &event["object"];
        let version = object.pointer("/metadata/resourceVersion").and_then(Json::as_str);
        let version = version.and_then(|v| v.parse().ok()).unwrap_or(0).max(self.version + 1);
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => self.record(resource, version, object, false),
            Some("DELETED") => self.record(resource, version, object, true),
            _ => {}
        }
    }

    fn record(&mut self, resource: &str, version: u64, json: &Json, deleted: bool) {
        self.version = version;
        let object = Object::new(resource, json);
        let objects = self.resources.entry(resource.to_owned()).or_default();
        let key = key(json);
        let before = if deleted { objects.remove(&key) } else { objects.insert(key, object.clone()) };
        self.log.push(Change {
            version,
            resource: resource.to_owned(),
            before,
            after: (!deleted).then(|| object.clone()),
            last: deleted.then_some(object),
        });
    }

    pub(super) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Json> {
        let object = self.resources.get(resource)?.get(&(namespace.to_owned(), name.to_owned()))?;
        serde_json::from_str(&object.json).ok()
    }

    pub(super) fn compact(&mut self) {
        self.log.clear();
        // What happens next has a version that no watch can have seen.
        self.version += 1;
        self.oldest = self.version;
    }

    pub(super) fn objects(&self, resource: &str) -> impl Iterator<Item = (&Key, &Object)> {
        self.resources.get(resource).into_iter().flatten()
    }

    pub(super) fn knows(&self, resource: &str) -> bool {
        self.resources.contains_key(resource)
    }
}
