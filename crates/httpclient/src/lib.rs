//! The one outbound HTTP client: TLS, authentication, proxies, limits.
//!
//! A [`Client`] says how to reach servers; a [`Connection`] made from it is one kept-alive HTTP/1.1 connection that
//! belongs to its owner. There is no pool: dropping the owner drops the socket.

mod auth;
mod body_memory;
mod client;
mod connect;
mod connection;
mod error;
mod gzip;
mod options;
mod secret;
mod signer;
mod tls;

pub use body_memory::{BodyMemory, BodyShare};
pub use bytes::Bytes;
pub use client::Client;
pub use connection::{Body, Connection, Head, Request};
pub use error::{BuildError, Error};
pub use gzip::gunzip;
pub use http::Method;
pub use http::header::{HeaderMap, HeaderName, HeaderValue};
pub use options::{
    Authorization, BasicAuth, ClientOptions, ExtraHeader, Limits, Source, TlsOptions, TlsVersion,
};
pub use secret::Secret;
pub use signer::{Signer, Signing, Unsigned};
pub use url::Url;

/// How we name ourselves to servers.
pub const USER_AGENT: &str = concat!("binnacle/", env!("CARGO_PKG_VERSION"));
