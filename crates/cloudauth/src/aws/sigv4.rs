//! AWS Signature Version 4 (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>).

use std::fmt::Write;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use httpclient::{HeaderMap, HeaderName, HeaderValue, Method, Url};
use jiff::Timestamp;

use super::credentials::Keys;
use crate::error::{Error, while_doing};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Headers that change on their way, that the signature goes into, or that are made of the URL.
const UNSIGNED: [&str; 6] =
    ["host", "authorization", "user-agent", "x-amzn-trace-id", "expect", "transfer-encoding"];

/// What a request is signed for.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The region.
    pub region: &'a str,
    /// The service's name for signatures: `ec2`, `aps`.
    pub service: &'a str,
    /// The time of the request.
    pub now: SystemTime,
}

/// Adds `X-Amz-Date`, `X-Amz-Security-Token` (with temporary keys) and `Authorization` to `headers`. What is in `headers`
/// is signed and must be sent as it is; the host of `url` is signed as well.
///
/// # Errors
/// When a key cannot stand in a header.
pub fn sign(
    method: &Method,
    url: &Url,
    headers: &mut HeaderMap,
    content: &[u8],
    keys: &Keys,
    scope: Scope<'_>,
) -> Result<(), Error> {
    let time = Timestamp::try_from(scope.now).map_err(while_doing("time of the signature"))?;
    let (date, moment) = (time.strftime("%Y%m%d").to_string(), time.strftime("%Y%m%dT%H%M%SZ").to_string());
    put(headers, "x-amz-date", &moment)?;
    if let Some(token) = &keys.session_token {
        put(headers, "x-amz-security-token", token.reveal())?;
    }
    let (canonical, signed) =
        canonical_request(method, url, headers, &hex(digest(&SHA256, content).as_ref()));
    let credential_scope = format!("{date}/{}/{}/aws4_request", scope.region, scope.service);
    let to_sign = format!(
        "{ALGORITHM}\n{moment}\n{credential_scope}\n{}",
        hex(digest(&SHA256, canonical.as_bytes()).as_ref())
    );
    let first = format!("AWS4{}", keys.secret.reveal());
    let key = [date.as_str(), scope.region, scope.service, "aws4_request"]
        .into_iter()
        .fold(first.into_bytes(), |key, part| hmac_sha256(&key, part));
    let signature = hex(&hmac_sha256(&key, &to_sign));
    let authorization = format!(
        "{ALGORITHM} Credential={}/{credential_scope}, SignedHeaders={signed}, Signature={signature}",
        keys.key_id
    );
    put(headers, "authorization", &authorization)
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Error> {
    let mut value = HeaderValue::from_str(value).map_err(while_doing(name))?;
    value.set_sensitive(true);
    headers.insert(HeaderName::from_static(name), value);
    Ok(())
}

/// The request as it is signed, and the names of the headers in it.
fn canonical_request(method: &Method, url: &Url, headers: &HeaderMap, payload: &str) -> (String, String) {
    let mut lines: Vec<(&str, String)> = headers
        .keys()
        .filter(|name| !UNSIGNED.contains(&name.as_str()))
        .map(|name| {
            let values: Vec<String> = headers
                .get_all(name)
                .iter()
                .map(|v| single_spaced(&String::from_utf8_lossy(v.as_bytes())))
                .collect();
            (name.as_str(), values.join(","))
        })
        .collect();
    lines.push(("host", host(url)));
    lines.sort_unstable();
    let signed = lines.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let mut out = format!("{method}\n{}\n{}\n", canonical_path(url), canonical_query(url));
    for (name, value) in &lines {
        let _ = writeln!(out, "{name}:{value}");
    }
    let _ = write!(out, "\n{signed}\n{payload}");
    (out, signed)
}

fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn single_spaced(value: &str) -> String {
    value.split(' ').filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The path as it is sent, escaped once more: every service but S3 wants that.
fn canonical_path(url: &Url) -> String {
    let mut out = String::new();
    escape(url.path(), true, &mut out);
    if out.is_empty() { "/".to_owned() } else { out }
}

fn canonical_query(url: &Url) -> String {
    let mut pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| {
            let (mut n, mut v) = (String::new(), String::new());
            escape(&name, false, &mut n);
            escape(&value, false, &mut v);
            (n, v)
        })
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn escape(text: &str, keep_slashes: bool, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slashes && byte == b'/') {
            out.push(byte as char);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
