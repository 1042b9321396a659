//! AWS: keys, their sources, and signed requests.

mod account;
mod container;
mod credentials;
mod endpoint;
mod metadata;
mod profile;
mod sigv4;
mod sts;

pub use account::{Account, AccountOptions, Answer};
pub use credentials::Keys;
pub use endpoint::Service;
pub use sigv4::{Scope, sign};

/// Reads a body as each kind of answer of a service that hands out keys.
pub(crate) fn read_any(body: &[u8]) -> usize {
    let keys = credentials::Document::parse(body).and_then(credentials::Document::keys);
    let refused = Answer { status: 400, body: body.to_vec() };
    let code = refused.error_code();
    usize::from(keys.is_ok())
        + usize::from(sts::keys_of(body).is_ok())
        + usize::from(metadata::region_of(body).is_ok())
        + usize::from(!code.is_empty())
        + usize::from(refused.into_error().to_string().is_empty())
}
