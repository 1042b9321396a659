//! Percent-encoding (RFC 3986, section 2.1).

use std::fmt::Write as _;

/// A value of a form, as Go's programs write it: `+` for a blank.
pub(crate) fn encode_form(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &b in text.as_bytes() {
        match b {
            b' ' => out.push('+'),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => out.push(b as char),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

/// The text with `%XX` replaced by the bytes meant; what is not UTF-8 then is replaced.
pub(crate) fn decode(text: &str) -> String {
    let digit = |at: usize| text.as_bytes().get(at).and_then(|b| (*b as char).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&b) = text.as_bytes().get(at) {
        match (b, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
                at += 3;
            }
            _ => {
                bytes.push(b);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_encoded_is_decoded() {
        for (text, plain) in
            [("", ""), ("a%20b", "a b"), ("%c3%BC", "ü"), ("100%", "100%"), ("%zz%4", "%zz%4")]
        {
            assert_eq!(decode(text), plain);
        }
        assert_eq!(encode_form("a b~*ü+"), "a+b~%2A%C3%BC%2B");
    }
}
