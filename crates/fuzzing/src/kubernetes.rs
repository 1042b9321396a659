//! What the API server of a cluster sends.

/// Read as an event of a watch, as a page of a list, and as every kind of object, alone and inside of both.
pub(crate) fn answer(data: &[u8]) {
    let object = |json: &str| {
        let _ = discovery::kubernetes_kinds(json);
    };
    if let Ok(text) = std::str::from_utf8(data) {
        object(text);
    }
    if let Ok(Some(kubeapi::Event::Put(json) | kubeapi::Event::Delete(json))) = kubeapi::event(data) {
        object(json);
    }
    if let Ok(list) = kubeapi::list(data) {
        list.items.into_iter().for_each(object);
    }
}
