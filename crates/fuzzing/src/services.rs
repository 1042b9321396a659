//! What services that know of targets answer: Consul, Docker, DNS servers and so on.

/// Read as every kind of answer of every service.
pub(crate) fn answer(data: &[u8]) {
    let _ = discovery::answers_read(data);
}
