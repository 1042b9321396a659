//! What those answer who hand out credentials, and the proxies on the way.

/// Read as what a server of OAuth 2 tokens, a cloud, and a plugin of a kubeconfig file may say.
pub(crate) fn answer(data: &[u8]) {
    let _ = httpclient::token_answer_read(data);
    let _ = cloudauth::answers_read(data);
    let _ = kubeapi::exec_credential_read(data);
}

/// Read as what a SOCKS 5 proxy says, and as the answer of an HTTP proxy that was asked for a tunnel.
pub(crate) fn proxy(data: &[u8]) {
    let _ = httpclient::proxy_answer_read(data);
}
