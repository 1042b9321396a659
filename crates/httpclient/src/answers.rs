//! Whatever servers of tokens and proxies may answer, for fuzzing.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::connect::Origin;
use crate::connection::Head;
use crate::oauth2;
use crate::options::ProxyOptions;
use crate::proxy::Proxies;

/// Reads the answer of a server of tokens, with each status and type that matters; how often there was a token.
#[must_use]
pub fn token_answer_read(body: &[u8]) -> usize {
    let statuses = [StatusCode::OK, StatusCode::UNAUTHORIZED];
    let types = ["application/json", "application/x-www-form-urlencoded"];
    let heads = statuses.into_iter().flat_map(|status| {
        types.map(|content_type| {
            let response = http::Response::builder().status(status).header(CONTENT_TYPE, content_type);
            response.body(()).map(|response| Head::of(response.into_parts().0))
        })
    });
    heads.flatten().filter(|head| oauth2::answer(head, body).is_ok()).count()
}

/// Reads what a proxy says, as a SOCKS 5 one with and without a password and as an HTTP one; how often that opened a
/// tunnel.
#[must_use]
pub fn proxy_answer_read(said: &[u8]) -> usize {
    let origin = Origin { https: true, host: "target".to_owned(), port: 443 };
    let urls = ["socks5://proxy", "socks5://user:password@proxy", "http://user:password@proxy"];
    let opened = urls.into_iter().filter(|url| {
        let options = ProxyOptions::url(url);
        let Ok(proxies) = Proxies::new(&options) else { return false };
        let Ok(Some(proxy)) = proxies.of(&origin) else { return false };
        let mut stream = tokio::io::join(said, tokio::io::sink());
        let mut tunnel = pin!(proxies.tunnel(&mut stream, proxy, &origin));
        // Neither half ever waits.
        matches!(tunnel.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    });
    opened.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_and_proxies_really_say_is_understood() {
        for (body, count) in
            [(r#"{"access_token":"t"}"#, 1), ("access_token=t", 1), (r#"{"error":"invalid_client"}"#, 0)]
        {
            assert_eq!(token_answer_read(body.as_bytes()), count, "{body}");
        }
        for (said, count) in [
            (&b"\x05\0\x05\0\0\x01\x0a\0\0\x01\0\x50"[..], 2),
            (b"\x05\x02\x01\0\x05\0\0\x03\x04host\0\x50", 1),
            (b"HTTP/1.1 200 OK\r\n\r\n", 1),
            (b"HTTP/1.1 407 No\r\n\r\n", 0),
            (b"", 0),
        ] {
            assert_eq!(proxy_answer_read(said), count, "{said:?}");
        }
    }
}
