//! What a scalar without quotes means: YAML 1.1 as Go's YAML package version 2 has it.

use super::node::{Kind, Node};

/// A scalar's meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Resolved {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Timestamp,
    Text,
}

impl Resolved {
    /// The tag as error messages write it.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Resolved::Null => "!!null",
            Resolved::Bool(_) => "!!bool",
            Resolved::Int(_) | Resolved::Uint(_) => "!!int",
            Resolved::Float(_) => "!!float",
            Resolved::Timestamp => "!!timestamp",
            Resolved::Text => "!!str",
        }
    }
}

/// The meaning of a scalar node, with respect to its quotes and its tag. Collections have none.
pub(crate) fn resolve(node: &Node) -> Option<Resolved> {
    let Kind::Scalar { text, plain } = &node.kind else { return None };
    Some(match node.tag.as_deref() {
        None if *plain => resolve_plain(text),
        Some("!!int" | "!!float" | "!!bool" | "!!null" | "!!timestamp") => resolve_plain(text),
        _ => Resolved::Text,
    })
}

/// The meaning of a text that has neither quotes nor tag.
pub(crate) fn resolve_plain(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => model::number::parse_float(text).map_or(Resolved::Text, Resolved::Float),
        Some(b'0'..=b'9' | b'+' | b'-') => number(text),
        _ => Resolved::Text,
    }
}

fn number(text: &str) -> Resolved {
    if is_timestamp(text) {
        return Resolved::Timestamp;
    }
    let plain = text.replace('_', "");
    if let Some(n) = integer(&plain) {
        return match i64::try_from(n) {
            Ok(n) => Resolved::Int(n),
            Err(_) => u64::try_from(n).map_or(Resolved::Text, Resolved::Uint),
        };
    }
    let float_like =
        plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    match model::number::parse_float(&plain) {
        Some(v) if float_like => Resolved::Float(v),
        _ => Resolved::Text,
    }
}

/// `strconv.ParseInt` with base 0: decimal, `0x`, `0o`, `0b`, and octal after a leading zero.
fn integer(text: &str) -> Option<i128> {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, base).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

/// `2001-01-02` and RFC 3339 with a little latitude: a year of four digits and a hyphen, then only what such a
/// text has.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let mut date = text.splitn(3, '-').skip(1);
    let (Some(month), Some(rest)) = (date.next(), date.next()) else { return false };
    let day = rest.split(['T', 't', ' ']).next().unwrap_or("");
    let valid = |s: &str| matches!(s.len(), 1 | 2) && s.bytes().all(|b| b.is_ascii_digit());
    let time = &rest[day.len()..];
    let time_ok = time.is_empty()
        || (time[1..].starts_with(|c: char| c.is_ascii_digit())
            && time.matches(':').count() >= 2
            && time[1..].bytes().all(|b| b.is_ascii_digit() || b":.Z+-".contains(&b)));
    valid(month) && valid(day) && time_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_yaml_1_1_says() {
        let cases = [
            ("5", Resolved::Int(5)),
            ("-5", Resolved::Int(-5)),
            ("1_000", Resolved::Int(1000)),
            ("0x1F", Resolved::Int(31)),
            ("0b11", Resolved::Int(3)),
            ("017", Resolved::Int(15)),
            ("0o17", Resolved::Int(15)),
            ("08", Resolved::Float(8.0)),
            ("18446744073709551615", Resolved::Uint(u64::MAX)),
            ("1.5", Resolved::Float(1.5)),
            ("1e3", Resolved::Float(1000.0)),
            (".5", Resolved::Float(0.5)),
            ("-.inf", Resolved::Float(f64::NEG_INFINITY)),
            ("yes", Resolved::Bool(true)),
            ("n", Resolved::Bool(false)),
            ("~", Resolved::Null),
            ("", Resolved::Null),
            ("1m", Resolved::Text),
            ("5s", Resolved::Text),
            ("+", Resolved::Text),
            ("-foo", Resolved::Text),
            ("2001-01-02", Resolved::Timestamp),
            ("2001-1-2 ", Resolved::Text),
            ("2001-12-14t21:59:43.10-05:00", Resolved::Timestamp),
            ("10.0.0.1", Resolved::Text),
            ("1:2", Resolved::Text),
            ("<<", Resolved::Text),
            ("foo", Resolved::Text),
        ];
        for (text, want) in cases {
            assert_eq!(resolve_plain(text), want, "{text:?}");
        }
    }
}
