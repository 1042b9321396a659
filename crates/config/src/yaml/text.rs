//! From the bytes of a file to its text: UTF-8, or UTF-16 behind a byte order mark. What is neither is refused in the
//! words of Go's YAML package.

use std::borrow::Cow;

use super::node::{Place, SyntaxError};
use super::syntax::check_characters;

/// The text of a file.
pub(crate) fn decode(content: &[u8]) -> Result<Cow<'_, str>, SyntaxError> {
    match content {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        _ => match std::str::from_utf8(content) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(err) => {
                let (before, rest) = content.split_at(err.valid_up_to());
                Err(refused(&String::from_utf8_lossy(before), utf8_reason(rest)))
            }
        },
    }
}

/// What is to be shown of bytes that may be no text.
pub(crate) fn shown(content: &[u8]) -> Cow<'_, str> {
    decode(content).unwrap_or_else(|_| String::from_utf8_lossy(content))
}

/// What is wrong with bytes that do not begin with a character.
fn utf8_reason(bytes: &[u8]) -> &'static str {
    let (width, shortest, bits) = match bytes.first() {
        Some(lead @ 0xc0..=0xdf) => (2, 0x80, lead & 0x1f),
        Some(lead @ 0xe0..=0xef) => (3, 0x800, lead & 0x0f),
        Some(lead @ 0xf0..=0xf7) => (4, 0x1_0000, lead & 0x07),
        _ => return "invalid leading UTF-8 octet",
    };
    let Some(rest) = bytes.get(1..width) else { return "incomplete UTF-8 octet sequence" };
    if rest.iter().any(|byte| byte & 0xc0 != 0x80) {
        return "invalid trailing UTF-8 octet";
    }
    let value = rest.iter().fold(u32::from(bits), |value, byte| value << 6 | u32::from(byte & 0x3f));
    if value < shortest { "invalid length of a UTF-8 sequence" } else { "invalid Unicode character" }
}

fn utf16(bytes: &[u8], read: fn([u8; 2]) -> u16) -> Result<String, SyntaxError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(units.len());
    let mut units = units.iter().map(|unit| read(*unit)).peekable();
    while let Some(unit) = units.next() {
        let reason = match unit {
            0xdc00..=0xdfff => "unexpected low surrogate area",
            0xd800..=0xdbff => match units.next() {
                None => "incomplete UTF-16 surrogate pair",
                Some(low) => match char::decode_utf16([unit, low]).next() {
                    Some(Ok(c)) => {
                        text.push(c);
                        continue;
                    }
                    _ => "expected low surrogate area",
                },
            },
            _ => {
                text.extend(char::from_u32(u32::from(unit)));
                continue;
            }
        };
        return Err(refused(&text, reason));
    }
    if rest.is_empty() { Ok(text) } else { Err(refused(&text, "incomplete UTF-16 character")) }
}

/// An earlier character that is not allowed is met first.
fn refused(before: &str, reason: &str) -> SyntaxError {
    if let Err(earlier) = check_characters(before) {
        return earlier;
    }
    let (lines, last) = match before.rsplit_once('\n') {
        Some((lines, last)) => (lines.matches('\n').count() + 1, last),
        None => (0, before),
    };
    let place = Place { line: lines + 1, column: last.chars().count() + 1 };
    SyntaxError { message: format!("yaml: {reason}"), place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_refused_in_gos_words() {
        for (bytes, reason, line, column) in [
            (&b"a: \"b\xff\"\n"[..], "invalid leading UTF-8 octet", 1, 6),
            (b"# \xe9\nb: c\n", "invalid trailing UTF-8 octet", 1, 3),
            (b"a:\n  \xc3\xa4b: \xc3", "incomplete UTF-8 octet sequence", 2, 7),
            (b"a: \xed\xa0\x80", "invalid Unicode character", 1, 4),
            (b"a: \xf4\x90\x80\x80", "invalid Unicode character", 1, 4),
            (b"a: \xf8\x80", "invalid leading UTF-8 octet", 1, 4),
            (b"a: \xc0\x80b", "invalid length of a UTF-8 sequence", 1, 4),
            (b"a: \xe2\x28\xa1", "invalid trailing UTF-8 octet", 1, 4),
            (b"a: \x01\xff", "control characters are not allowed", 1, 4),
            (b"\xff\xfea\0\n\0\0", "incomplete UTF-16 character", 2, 1),
            (b"\xfe\xff\xdc\0", "unexpected low surrogate area", 1, 1),
            (b"\xfe\xff\xd8\0\0a", "expected low surrogate area", 1, 1),
            (b"\xff\xfe\0\xd8", "incomplete UTF-16 surrogate pair", 1, 1),
        ] {
            let message = format!("yaml: {reason}");
            assert_eq!(
                decode(bytes),
                Err(SyntaxError { message, place: Place { line, column } }),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn text_may_be_utf_8_or_utf_16() {
        assert_eq!(decode("a: ä".as_bytes()), Ok("a: ä".into()));
        for big in [false, true] {
            let units = "\u{feff}a: 😀ä".encode_utf16();
            let bytes: Vec<u8> =
                units.flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect();
            assert_eq!(decode(&bytes), Ok("a: 😀ä".into()));
        }
    }
}
