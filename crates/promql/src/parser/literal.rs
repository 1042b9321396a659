//! Numbers, durations and quoted texts.

use model::number::quote;

use super::{Parsed, Parser, Place};
use crate::ast::{BinaryOp, NumberLiteral};
use crate::lexer::{Kind, Token};

impl Parser<'_> {
    /// The value of a number or duration token that has just been consumed.
    pub(super) fn number_literal(&self, token: Token) -> Parsed<NumberLiteral> {
        let text = token.text(self.text);
        let duration = token.kind == Kind::Duration;
        let value = if duration {
            let millis = model::duration::parse(text).map_err(|e| self.error(token.span, e.to_string()))?;
            // Go's Duration.Seconds: whole seconds and the rest are converted apart.
            (millis / 1000) as f64 + ((millis % 1000) * 1_000_000) as f64 / 1e9
        } else {
            self.number_value(text, token)?
        };
        Ok(NumberLiteral { value, duration, span: token.span })
    }

    fn number_value(&self, text: &str, token: Token) -> Parsed<f64> {
        if let Some(integer) = parse_integer(text) {
            return Ok(integer as f64);
        }
        model::number::parse_float(text).ok_or_else(|| {
            let plain = text.replace('_', "");
            let why = match plain.parse::<f64>() {
                Ok(v) if v.is_infinite() => "value out of range",
                _ => "invalid syntax",
            };
            let message = format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text));
            self.error(token.span, message)
        })
    }

    /// A number or duration with or without sign.
    pub(super) fn signed_number(&mut self, place: Place) -> Parsed<f64> {
        let negative = self.peek_kind()? == Kind::Op(BinaryOp::Sub);
        if negative || self.peek_kind()? == Kind::Op(BinaryOp::Add) {
            self.next()?;
        }
        let value = self.unsigned_number(place)?;
        Ok(if negative { -value } else { value })
    }

    pub(super) fn unsigned_number(&mut self, place: Place) -> Parsed<f64> {
        let token = self.peek()?;
        if !matches!(token.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected_in(place));
        }
        self.next()?;
        Ok(self.number_literal(token)?.value)
    }

    /// The value of a string token; bytes that are not UTF-8 are replaced.
    pub(super) fn unquote(&self, token: Token) -> String {
        String::from_utf8(self.unquote_bytes(token))
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
    }

    /// The bytes of a string token. The lexer has checked every escape.
    pub(super) fn unquote_bytes(&self, token: Token) -> Vec<u8> {
        let text = token.text(self.text);
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
        if text.starts_with('`') || !inner.contains('\\') {
            return inner.as_bytes().to_vec();
        }
        unescape(inner)
    }
}

/// `strconv.ParseInt(text, 0, 64)`: prefixes `0x`, `0o`, `0b`, a leading zero is octal, underscores between digits.
fn parse_integer(text: &str) -> Option<i64> {
    let (radix, digits, prefixed) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, text.get(2..)?, true),
        [b'0', b'o' | b'O', ..] => (8, text.get(2..)?, true),
        [b'0', b'b' | b'B', ..] => (2, text.get(2..)?, true),
        [b'0', _, ..] => (8, text.get(1..)?, true),
        _ => (10, text, false),
    };
    if !digits.contains('_') {
        return i64::from_str_radix(digits, radix).ok();
    }
    // One underscore between digits; one behind a prefix.
    if (digits.starts_with('_') && !prefixed) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    i64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

fn unescape(inner: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push_char(&mut out, c);
            continue;
        }
        let Some(escape) = chars.next() else { break };
        let (digits, radix) = match escape {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (2, 8),
            simple => {
                out.push(simple_escape(simple));
                continue;
            }
        };
        let mut value = if radix == 8 { escape.to_digit(8).unwrap_or(0) } else { 0 };
        for digit in chars.by_ref().take(digits) {
            value = value.wrapping_mul(radix).wrapping_add(digit.to_digit(radix).unwrap_or(0));
        }
        match escape {
            'u' | 'U' => push_char(&mut out, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)),
            _ => out.push(value as u8),
        }
    }
    out
}

fn simple_escape(c: char) -> u8 {
    match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        other => other as u8,
    }
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Go's `%q` of bytes that need not be UTF-8.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = quote(chunk.valid());
        out.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or(""));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}
