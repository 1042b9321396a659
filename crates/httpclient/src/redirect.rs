//! Where an answer sends us on to, and what goes along: as Go's client has it.

use http::Method;
use http::header::{
    AUTHORIZATION, COOKIE, HeaderName, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE,
};
use url::Url;

use crate::connection::Head;

/// Where `head`, which came from `url`, sends us on to; nowhere if it does not.
///
/// # Errors
/// When the place cannot be understood.
pub(crate) fn next(url: &Url, head: &Head) -> Result<Option<Url>, String> {
    let moved = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let place = head.header(LOCATION.as_str());
    if !moved || place.is_empty() {
        return Ok(None);
    }
    match url.join(place) {
        Ok(next) => Ok(Some(next)),
        Err(err) => Err(format!("failed to parse Location header {place:?}: {err}")),
    }
}

/// The method of the next request; without content, unless it is the same.
pub(crate) fn method(before: &Method, head: &Head) -> Method {
    let keeps = matches!(head.status.as_u16(), 307 | 308) || matches!(*before, Method::GET | Method::HEAD);
    if keeps { before.clone() } else { Method::GET }
}

/// Whether credentials meant for `first` may be sent to `next` too: to the same host and to those below it, at any
/// port. Unlike Go's client, never in the open when they were meant to be encrypted.
///
/// Who has once been left is not trusted again within a request.
pub(crate) fn trusts(first: &Url, next: &Url) -> bool {
    let (Some(first_host), Some(host)) = (first.host_str(), next.host_str()) else { return false };
    let is_name = matches!(next.host(), Some(url::Host::Domain(_)));
    let below = is_name && host.strip_suffix(first_host).is_some_and(|rest| rest.ends_with('.'));
    (host == first_host || below) && (first.scheme() == next.scheme() || next.scheme() == "https")
}

/// Headers that are only for whom they were meant.
pub(crate) fn is_sensitive(name: &HeaderName) -> bool {
    [AUTHORIZATION, WWW_AUTHENTICATE, COOKIE, PROXY_AUTHORIZATION, PROXY_AUTHENTICATE].contains(name)
        || name.as_str() == "cookie2"
}

/// `Referer`: where we come from, which nobody hears who could be overheard.
pub(crate) fn referer(from: &Url, to: &Url) -> Option<String> {
    if from.scheme() == "https" && to.scheme() == "http" {
        return None;
    }
    let mut from = from.clone();
    let _ = from.set_username("");
    let _ = from.set_password(None);
    from.set_fragment(None);
    Some(from.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_the_same_host_and_below() {
        for (first, next, trusted) in [
            ("http://a.example/", "http://a.example:81/x", true),
            ("http://a.example/", "https://a.example/", true),
            ("https://a.example/", "http://a.example/", false),
            ("http://a.example/", "http://b.a.example/", true),
            ("http://a.example/", "http://ba.example/", false),
            ("http://a.example/", "http://example/", false),
            ("http://10.0.0.1/", "http://10.0.0.2/", false),
            ("http://0.0.1/", "http://10.0.0.1/", false),
            ("http://[::1]/", "http://[::1]:9/", true),
        ] {
            let url = |text: &str| Url::parse(text).unwrap();
            assert_eq!(trusts(&url(first), &url(next)), trusted, "{first} {next}");
        }
    }

    #[test]
    fn the_referer_has_no_secrets() {
        let url = |text: &str| Url::parse(text).unwrap();
        let from = url("http://u:p@h/x?y#z");
        assert_eq!(referer(&from, &url("http://other/")).as_deref(), Some("http://h/x?y"));
        assert_eq!(referer(&url("https://h/"), &url("http://h/")), None);
    }
}
