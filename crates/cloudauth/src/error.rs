//! Why there are no credentials.

/// Why a token or a set of keys could not be had, in a sentence for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub(crate) String);

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Error(text.into())
    }
}

/// A failure with what was being done in front.
pub(crate) fn while_doing<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Error + '_ {
    move |err| Error(format!("{what}: {err}"))
}
