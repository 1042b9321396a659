//! Objects as protobuf: the fields that `kubeapi` knows under their numbers, all others as text under a number that
//! nobody knows, so that messages are about as long as real ones and have fields to be passed over.

use exposition::protobuf_write::{push_bytes, push_varint};
use kubeapi::{Field, Kind, Message, schema};
use serde_json::Value as Json;

/// Where fields go whose number is not known.
const UNKNOWN: u32 = 1_000;

/// An object without envelope.
pub(super) fn object(kind: &str, json: &Json) -> Vec<u8> {
    let of = match kind {
        "Node" => &schema::NODE,
        "Pod" => &schema::POD,
        "Service" => &schema::SERVICE,
        "Endpoints" => &schema::ENDPOINTS,
        "EndpointSlice" => &schema::ENDPOINT_SLICE,
        "Ingress" => &schema::INGRESS,
        _ => &schema::ONLY_METADATA,
    };
    let mut bytes = Vec::new();
    fields(&mut bytes, of, json);
    bytes
}

/// A bookmark without envelope.
pub(super) fn bookmark(json: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    fields(&mut bytes, &schema::ONLY_METADATA, json);
    bytes
}

/// A `Status` without envelope.
pub(super) fn status(json: &Json) -> Vec<u8> {
    let mut bytes = Vec::new();
    fields(&mut bytes, &schema::STATUS, json);
    bytes
}

/// A list without envelope.
pub(super) fn list<'a>(version: &str, next: &str, items: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut metadata, mut bytes) = (Vec::new(), Vec::new());
    push_bytes(&mut metadata, 2, version.as_bytes());
    push_bytes(&mut metadata, 3, next.as_bytes());
    push_bytes(&mut bytes, 1, &metadata);
    items.for_each(|item| push_bytes(&mut bytes, 2, item));
    bytes
}

/// The envelope of a message: `k8s\0` and a `runtime.Unknown`.
pub(super) fn envelope(kind: &str, message: &[u8]) -> Vec<u8> {
    let mut of = Vec::new();
    push_bytes(&mut of, 2, kind.as_bytes());
    let mut bytes = b"k8s\0".to_vec();
    push_bytes(&mut bytes, 1, &of);
    push_bytes(&mut bytes, 2, message);
    bytes
}

/// An event of a watch as a frame.
pub(super) fn event(kind: &str, envelope: &[u8]) -> Vec<u8> {
    let (mut raw, mut event) = (Vec::new(), Vec::new());
    push_bytes(&mut raw, 1, envelope);
    push_bytes(&mut event, 1, kind.as_bytes());
    push_bytes(&mut event, 2, &raw);
    let mut frame = u32::try_from(event.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    frame.append(&mut event);
    frame
}

fn fields(out: &mut Vec<u8>, of: &Message, json: &Json) {
    for (name, value) in json.as_object().into_iter().flatten() {
        match of.0.iter().find(|field| field.name == name) {
            Some(Field { number, kind, .. }) => push(out, number.cast_unsigned(), kind, value),
            None => push_bytes(out, UNKNOWN, value.to_string().as_bytes()),
        }
    }
}

fn push(out: &mut Vec<u8>, number: u32, kind: &Kind, json: &Json) {
    match kind {
        _ if json.is_null() => {}
        Kind::Text => push_bytes(out, number, json.as_str().unwrap_or_default().as_bytes()),
        Kind::Int => push_varint(out, number, json.as_i64().unwrap_or_default().cast_unsigned()),
        Kind::Bool => push_varint(out, number, u64::from(json.as_bool().unwrap_or_default())),
        Kind::TextMap => {
            for (key, value) in json.as_object().into_iter().flatten() {
                let mut entry = Vec::new();
                push_bytes(&mut entry, 1, key.as_bytes());
                push_bytes(&mut entry, 2, value.as_str().unwrap_or_default().as_bytes());
                push_bytes(out, number, &entry);
            }
        }
        Kind::Message(of) => {
            let mut message = Vec::new();
            fields(&mut message, of, json);
            push_bytes(out, number, &message);
        }
        Kind::Many(kind) => {
            json.as_array().into_iter().flatten().for_each(|item| push(out, number, kind, item));
        }
        Kind::Inner(inner, kind) => {
            let mut message = Vec::new();
            push(&mut message, inner.cast_unsigned(), kind, json);
            push_bytes(out, number, &message);
        }
    }
}
