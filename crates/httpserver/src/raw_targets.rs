//! Request targets as people type them: `/api/v1/query?query=up{job="x"}`.
//!
//! Quotes and angle brackets must be percent-encoded in a URL, but curl sends them as they are, Prometheus takes them, and
//! the HTTP library refuses the request before any of our code sees it. So they are encoded on the way in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// A connection whose requests have their targets encoded. After the first request with a body the rest passes
/// unseen: where the next one begins is then not known here.
pub(crate) struct RawTargets<S> {
    stream: S,
    at: At,
    /// Encoded bytes that did not fit into the reader's buffer.
    left: Vec<u8>,
}

enum At {
    RequestLine,
    Headers {
        /// The beginning of the line, in lower case, until the colon.
        name: Vec<u8>,
        named: bool,
        has_body: bool,
    },
    Unseen,
}

impl At {
    fn headers(has_body: bool) -> At {
        At::Headers { name: Vec::new(), named: false, has_body }
    }
}

impl<S> RawTargets<S> {
    pub(crate) fn new(stream: S) -> Self {
        RawTargets { stream, at: At::RequestLine, left: Vec::new() }
    }
}

/// Moves on over what was read, and appends it with the targets in it encoded.
fn encode(at: &mut At, bytes: &[u8], out: &mut Vec<u8>) {
    for (i, &byte) in bytes.iter().enumerate() {
        match at {
            At::Unseen => return out.extend_from_slice(&bytes[i..]),
            At::RequestLine => match byte {
                b'"' => out.extend_from_slice(b"%22"),
                // There are no fragments in requests: what looks like one is a part of the target, as Go has it.
                b'#' => out.extend_from_slice(b"%23"),
                b'<' => out.extend_from_slice(b"%3C"),
                b'>' => out.extend_from_slice(b"%3E"),
                _ => out.push(byte),
            },
            At::Headers { .. } => out.push(byte),
        }
        match at {
            At::RequestLine if byte == b'\n' => *at = At::headers(false),
            At::Headers { name, named, has_body } => match byte {
                b'\n' if name.is_empty() && !*named => {
                    *at = if *has_body { At::Unseen } else { At::RequestLine };
                }
                b'\n' => *at = At::headers(*has_body),
                b'\r' => {}
                b':' if !*named => {
                    *named = true;
                    *has_body |= matches!(name.as_slice(), b"content-length" | b"transfer-encoding");
                }
                _ if !*named && name.len() < 32 => name.push(byte.to_ascii_lowercase()),
                _ => {}
            },
            At::RequestLine | At::Unseen => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RawTargets<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            if matches!(this.at, At::Unseen) {
                return Pin::new(&mut this.stream).poll_read(cx, buf);
            }
            let mut bytes = [0; 2048];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            encode(&mut this.at, read.filled(), &mut this.left);
        }
        let fits = this.left.len().min(buf.remaining());
        buf.put_slice(&this.left[..fits]);
        this.left.drain(..fits);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_encoded_and_nothing_else() {
        let requests = "GET /q?query=up{a=\"<b>\"}#c HTTP/1.1\r\nHost: \"h\"\r\nAccept: <x>\r\n\r\n\
            POST /d?match[]=\"a\" HTTP/1.1\r\nContent-Length: 14\r\n\r\n\"GET \" \r\n\"<>\"\r\n\
            GET /\"unseen\" HTTP/1.1\r\n\r\n";
        let want = requests.replacen("up{a=\"<b>\"}#c", "up{a=%22%3Cb%3E%22}%23c", 1).replacen(
            "match[]=\"a\"",
            "match[]=%22a%22",
            1,
        );
        for step in 1..requests.len() {
            let (mut at, mut out) = (At::RequestLine, Vec::new());
            for piece in requests.as_bytes().chunks(step) {
                encode(&mut at, piece, &mut out);
            }
            assert_eq!(String::from_utf8(out).unwrap_or_default(), want, "in pieces of {step}");
        }
    }
}
