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
