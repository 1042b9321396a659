//! What the API server of a cluster sends.

use kubeapi::{Encoded, Encoding, Event};

/// Read as an event of a watch, as a page of a list, and as every kind of object, alone and inside of both; in both
/// encodings.
pub(crate) fn answer(data: &[u8]) {
    let object = |object: Encoded<'_>| {
        let _ = discovery::kubernetes_kinds(object);
    };
    object(Encoded::Protobuf(data));
    if let Ok(text) = std::str::from_utf8(data) {
        object(Encoded::Json(text));
    }
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        if let Ok(Some(Event::Put(one) | Event::Delete(one))) = kubeapi::event(encoding, data) {
            object(one);
        }
        if let Ok(list) = kubeapi::list(encoding, data) {
            list.items.into_iter().for_each(object);
        }
    }
}
