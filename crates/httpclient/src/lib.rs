//! The one outbound HTTP client: TLS, authentication, proxies, limits.
//!
//! A [`Client`] says how to reach servers; a [`Connection`] made from it is kept alive for its owner. Of HTTP/1.1 each
//! has a socket of its own, and dropping the owner drops it; of HTTP/2 all that lead to the same server share one.

mod answers;
mod assertion;
mod base64;
mod body_memory;
mod client;
mod connect;
mod connection;
mod credentials;
mod error;
mod exchange;
mod gzip;
mod http2;
mod key_pair;
mod no_proxy;
mod oauth2;
mod options;
mod percent;
mod proxy;
mod redirect;
mod secret;
mod signer;
mod socks;
mod stream;
mod text;
mod tls;

#[doc(hidden)]
pub use answers::{proxy_answer_read, token_answer_read};
pub use body_memory::{BodyMemory, BodyShare};
pub use bytes::Bytes;
pub use client::Client;
pub use connection::{Body, Connection, Head, Request};
pub use error::{BuildError, Error};
pub use exchange::IDLE_TIMEOUT;
pub use gzip::gunzip;
pub use http::Method;
pub use http::header::{HeaderMap, HeaderName, HeaderValue};
pub use key_pair::check_key_pair;
pub use options::{
    Assertion, Authorization, BasicAuth, ClientOptions, ExtraHeader, Grant, Limits, OAuth2, ProxyOptions,
    SignatureAlgorithm, Source, TlsOptions, TlsVersion,
};
pub use secret::Secret;
pub use signer::{Signer, Signing, Unsigned};
pub use tls::system_roots;
pub use url::Url;

/// How we name ourselves to servers.
pub const USER_AGENT: &str = concat!("binnacle/", env!("CARGO_PKG_VERSION"));
