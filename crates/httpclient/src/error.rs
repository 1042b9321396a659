//! What can go wrong with a request, in the words that users of the original programs know.

use std::io;

/// Why a client could not be made from its options.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A certificate or key is unusable.
    #[error("{0}")]
    Tls(String),
    /// The options contradict each other or hold something that cannot be sent.
    #[error("{0}")]
    Options(String),
}

/// Why a request failed. `Display` is what ends up in a target's `lastError`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The deadline passed.
    #[error("{operation} {url:?}: context deadline exceeded")]
    Timeout {
        /// `Get`, `Post`.
        operation: String,
        /// The URL asked for.
        url: String,
    },
    /// The body is longer than allowed, as sent or after decompression.
    #[error("body size limit exceeded")]
    BodyTooLarge,
    /// There is no memory for the body: see [`BodyMemory`](crate::BodyMemory).
    #[error("no memory for a body of {needed} bytes: bodies may take {total} bytes together")]
    NoMemory {
        /// The length that the body had reached or announced.
        needed: usize,
        /// What bodies may take together.
        total: usize,
    },
    /// The body is not what its `Content-Encoding` says.
    #[error("{0}")]
    Encoding(String),
    /// The deadline passed while the body was read.
    #[error("context deadline exceeded")]
    BodyTimeout,
    /// The body ended early or the connection broke in the middle of it.
    #[error("{0}")]
    Body(String),
    /// Everything else: name look-up, connecting, TLS, proxy, sending, reading the head.
    #[error("{operation} {url:?}: {reason}")]
    Request {
        /// `Get`, `Post`.
        operation: String,
        /// The URL asked for.
        url: String,
        /// What happened.
        reason: String,
    },
}

/// The operating system's words for an I/O error as Go prints them: lower case, no number.
pub(crate) fn io_text(err: &io::Error) -> String {
    if err.kind() == io::ErrorKind::UnexpectedEof {
        return "EOF".to_owned();
    }
    if let Some(tls) = err.get_ref().and_then(|inner| inner.downcast_ref()) {
        return crate::tls::tls_text(tls);
    }
    let text = err.to_string();
    if let Some(text) = crate::tls::alert_within(&text) {
        return text;
    }
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => "unknown error".to_owned(),
    }
}
