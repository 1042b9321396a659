//! As much of an HTTP client as the measurement needs: a connection a request, bodies read to their end.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// The slowest query that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// How a body in chunks ends.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Gets `path` from the loopback address; the body, if the status is 200.
pub(crate) fn get(port: u16, path: &str) -> Result<Vec<u8>> {
    exchange(port, "GET", path, &[])
}

/// Posts `body` to `path` of the loopback address.
pub(crate) fn post(port: u16, path: &str, body: &[u8]) -> Result<()> {
    exchange(port, "POST", path, body).map(drop)
}

fn exchange(port: u16, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("{path}: no end of the answer"))?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").context("no header")?;
    let header = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = answer.split_off(end + 4);
    let status = header.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{path}: status {status}: {}", String::from_utf8_lossy(&body).trim());
    }
    if header.contains("transfer-encoding: chunked") { without_chunks(&body) } else { Ok(body) }
}

/// An answer that was read to its end and thrown away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    pub(crate) seconds: f64,
    /// As they came, with the sizes of chunks.
    pub(crate) bytes: usize,
}

/// Gets `path`; `header` are whole lines.
pub(crate) fn drain(port: u16, path: &str, header: &str) -> Result<Drained> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}Connection: close\r\n\r\n")?;
    let mut buffer = vec![0; 256 << 10];
    let (mut bytes, mut last) = (0, Vec::new());
    loop {
        let read = stream.read(&mut buffer)?;
        let Some(some) = buffer.get(..read).filter(|some| !some.is_empty()) else { break };
        if bytes == 0 && !some.starts_with(b"HTTP/1.1 200") {
            bail!("{path}: {}", String::from_utf8_lossy(some).lines().next().unwrap_or_default());
        }
        bytes += read;
        last.extend_from_slice(&some[some.len().saturating_sub(LAST_CHUNK.len())..]);
        last.drain(..last.len().saturating_sub(LAST_CHUNK.len()));
    }
    // Long bodies come in chunks.
    if bytes > buffer.len() && last != LAST_CHUNK {
        bail!("{path}: cut off after {bytes} bytes");
    }
    Ok(Drained { seconds: begun.elapsed().as_secs_f64(), bytes })
}

/// Gets `path` on one connection until `end`; how often it was answered.
pub(crate) fn repeat(port: u16, path: &str, header: &str, end: Instant) -> Result<usize> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}\r\n");
    let (mut buffer, mut answers) = ([0; 4096], 0);
    while Instant::now() < end {
        stream.write_all(request.as_bytes())?;
        // These answers come in one piece.
        let read = stream.read(&mut buffer)?;
        if !buffer.get(..read).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200")) {
            bail!("{path}: {}", String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap_or_default());
        }
        answers += 1;
    }
    Ok(answers)
}

/// Takes the sizes of chunks out of a body.
fn without_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::with_capacity(rest.len());
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").context("cut in a chunk's size")?;
        let size = std::str::from_utf8(&rest[..end])?.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16)?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = rest.get(end + 2..end + 2 + size).context("cut in a chunk")?;
        body.extend_from_slice(chunk);
        rest = rest.get(end + 4 + size..).context("cut after a chunk")?;
    }
}

/// Encodes a query parameter's value.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(
            without_chunks(b"3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n").unwrap(),
            b"abc0123456789"
        );
        assert!(without_chunks(b"5\r\nabc").is_err());
    }

    #[test]
    fn parameters_are_encoded() {
        assert_eq!(encode("a{b=~\".+\"} 1"), "a%7Bb%3D~%22.%2B%22%7D%201");
    }
}
