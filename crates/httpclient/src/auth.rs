//! Credentials and extra headers of a request. Files are read at each request, so that a rotated token is used at once.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::options::{Authorization, BasicAuth, ClientOptions, Source};

/// Adds what the options ask for to `headers`. Credentials that are there already stay.
///
/// # Errors
/// A sentence saying which file could not be read or which value cannot be sent.
pub(crate) async fn apply(options: &ClientOptions, headers: &mut HeaderMap) -> Result<(), String> {
    let signed = headers.contains_key(AUTHORIZATION);
    if let Some(basic) = options.basic_auth.as_ref().filter(|_| !signed) {
        headers.insert(AUTHORIZATION, basic_header(basic).await?);
    }
    if let Some(authorization) = options.authorization.as_ref().filter(|_| !signed) {
        headers.insert(AUTHORIZATION, typed_header(authorization).await?);
    }
    for header in &options.headers {
        let name: HeaderName =
            header.name.parse().map_err(|_| format!("invalid header name {:?}", header.name))?;
        for value in &header.values {
            let text = read(value, "http header").await?;
            headers.append(name.clone(), sensitive(&text)?);
        }
    }
    Ok(())
}

/// The text of a source; a file's without the blanks around it.
pub(crate) async fn read(source: &Source, what: &str) -> Result<String, String> {
    match source {
        Source::Inline(secret) => Ok(secret.reveal().to_owned()),
        Source::File(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(err) => Err(format!(
                "unable to read {what} file {}: open {}: {}",
                path.display(),
                path.display(),
                crate::error::io_text(&err)
            )),
        },
    }
}

async fn optional(source: Option<&Source>, what: &str) -> Result<String, String> {
    match source {
        Some(source) => read(source, what).await,
        None => Ok(String::new()),
    }
}

async fn basic_header(basic: &BasicAuth) -> Result<HeaderValue, String> {
    let user = optional(basic.username.as_ref(), "username").await?;
    let password = optional(basic.password.as_ref(), "password").await?;
    sensitive(&basic_credentials(&user, &password))
}

/// `Basic` and the Base64 of `user:password`.
pub(crate) fn basic_credentials(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

async fn typed_header(authorization: &Authorization) -> Result<HeaderValue, String> {
    let credentials = optional(authorization.credentials.as_ref(), "authorization credentials").await?;
    sensitive(&format!("{} {credentials}", authorization.kind))
}

fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| "a header value has bytes that cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
