//! What can go wrong with a request of the API server.

/// Why a list or a watch failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The server is not reached, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// The server answered with a status that is no success.
    #[error("{message} (status {code})")]
    Status {
        /// The HTTP status, or the code of the `Status` object in a stream.
        code: u16,
        /// The server's words.
        message: String,
        /// How long the server wants to be left alone, in seconds.
        retry_after: Option<u64>,
    },
    /// The resource version is too old, or the continue token is: everything has to be listed again.
    #[error("the resource version is too old")]
    Expired,
    /// The server cannot list as a stream.
    #[error("the server does not stream lists: {0}")]
    StreamRefused(String),
    /// What was sent is not what the API promises.
    #[error("cannot be decoded: {0}")]
    Format(String),
    /// How the cluster is reached cannot be found out.
    #[error("{0}")]
    Access(String),
}
