//! Requests that are signed as a whole, or carry a token that only a cloud's own rules can get.

use std::pin::Pin;

use http::Method;
use http::header::HeaderMap;
use url::Url;

/// A request that is complete but for its signature.
#[derive(Debug)]
pub struct Unsigned<'a> {
    /// The method.
    pub method: &'a Method,
    /// Where it goes.
    pub url: &'a Url,
    /// What is sent; `Host` is there. The signature goes here.
    pub headers: &'a mut HeaderMap,
    /// What is sent along.
    pub content: &'a [u8],
}

/// What a signer answers.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Says who we are in a way that depends on the request or has to be fetched: SigV4, Azure AD, Google.
///
/// It is called last, for each attempt: also when a request is sent again on a new connection and when a redirect is
/// followed to where credentials may go.
pub trait Signer: Send + Sync {
    /// Adds headers to `request`, or says why it cannot; the request fails with those words.
    fn sign<'a>(&'a self, request: Unsigned<'a>) -> Signing<'a>;
}
