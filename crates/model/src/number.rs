//! Numbers and strings as Go and Prometheus write them.

pub use crate::api_value::{API_VALUE_ROOM, eight_digits, put_api_value};
pub use crate::printable::is_print;

/// `strconv.FormatFloat(v, 'f', -1, 64)`: shortest digits that read back as `v`, never an exponent.
#[must_use]
pub fn format_f(v: f64) -> String {
    let mut out = String::new();
    push_f(&mut out, v);
    out
}

/// Appends what [`format_f`] returns.
pub fn push_f(out: &mut String, v: f64) {
    match Shortest::of(v) {
        Ok(d) => d.push_plain(out),
        Err(name) => out.push_str(name),
    }
}

/// `strconv.FormatFloat(v, 'e', -1, 64)`: always an exponent, of at least two digits.
#[must_use]
pub fn format_e(v: f64) -> String {
    let mut out = String::new();
    match Shortest::of(v) {
        Ok(d) => d.push_exponent(&mut out),
        Err(name) => out.push_str(name),
    }
    out
}

/// `strconv.FormatFloat(v, 'g', -1, 64)`: shortest digits, an exponent below 1e-4 and from 1e6.
///
/// This is the value of the text exposition format and of `%v` and `%g` in Go.
#[must_use]
pub fn format_g(v: f64) -> String {
    let mut out = String::new();
    push_g(&mut out, v);
    out
}

/// Appends what [`format_g`] returns.
pub fn push_g(out: &mut String, v: f64) {
    match Shortest::of(v) {
        Ok(d) if d.is_zero() || (-4..6).contains(&(d.point - 1)) => d.push_plain(out),
        Ok(d) => d.push_exponent(out),
        Err(name) => out.push_str(name),
    }
}

/// A sample value in the HTTP API, without the quotes: `f`, but `e` below 1e-6 and from 1e21.
pub fn push_api_value(out: &mut String, v: f64) {
    match Shortest::of(v) {
        Ok(d) if d.is_zero() || (1e-6..1e21).contains(&v.abs()) => d.push_plain(out),
        Ok(d) => d.push_exponent(out),
        Err(name) => out.push_str(name),
    }
}

/// Most digits that the shortest form of a double needs.
const MAX_DIGITS: usize = 17;

/// A finite number as its shortest digits: 0.d₁d₂… · 10^point.
struct Shortest {
    negative: bool,
    digits: [u8; MAX_DIGITS],
    len: usize,
    point: i32,
}

impl Shortest {
    /// The digits of `v`, or Go's name for it when it has none.
    fn of(v: f64) -> Result<Self, &'static str> {
        if v.is_nan() {
            return Err("NaN");
        }
        if v.is_infinite() {
            return Err(if v > 0.0 { "+Inf" } else { "-Inf" });
        }
        let mut d = Shortest { negative: v.is_sign_negative(), digits: [b'0'; MAX_DIGITS], len: 0, point: 0 };
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(v.abs());
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut before_point = None;
        let mut seen = 0;
        for b in mantissa.bytes() {
            if b == b'.' {
                before_point = Some(seen);
                continue;
            }
            if b == b'0' && d.len == 0 {
                // A leading zero: after the point it moves the point, before it there is only the one of "0.".
                d.point -= i32::from(before_point.is_some());
                continue;
            }
            if let Some(slot) = d.digits.get_mut(d.len) {
                *slot = b;
                d.len += 1;
            }
            seen += 1;
        }
        d.point += before_point.unwrap_or(seen) + exponent.parse::<i32>().unwrap_or(0);
        while d.len > 0 && d.digits[d.len - 1] == b'0' {
            d.len -= 1;
        }
        if d.len == 0 {
            d.point = 1;
        }
        Ok(d)
    }

    fn is_zero(&self) -> bool {
        self.len == 0
    }

    fn digits(&self) -> &str {
        str::from_utf8(&self.digits[..self.len]).unwrap_or_default()
    }

    fn push_plain(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        let digits = self.digits();
        let Ok(point) = usize::try_from(self.point) else {
            out.push_str("0.");
            push_zeros(out, self.point.unsigned_abs() as usize);
            out.push_str(digits);
            return;
        };
        if point >= digits.len() {
            out.push_str(if digits.is_empty() { "0" } else { digits });
            push_zeros(out, if digits.is_empty() { 0 } else { point - digits.len() });
            return;
        }
        let (whole, fraction) = digits.split_at(point);
        out.push_str(if whole.is_empty() { "0" } else { whole });
        out.push('.');
        out.push_str(fraction);
    }

    fn push_exponent(&self, out: &mut String) {
        use std::fmt::Write as _;
        if self.negative {
            out.push('-');
        }
        let digits = self.digits();
        let (first, rest) = digits.split_at(digits.len().min(1));
        out.push_str(if first.is_empty() { "0" } else { first });
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        let exponent = self.point - 1;
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a String cannot fail.
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
    }
}

fn push_zeros(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n('0', count));
}

/// `strconv.ParseFloat`: also `0x1p-2`, `1_000` where Go takes it, `Inf`, `+Inf`, `infinity`, `nan` in any case; out of range is an error.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    match text.parse::<f64>() {
        // Go takes no sign before NaN.
        Ok(v) if v.is_nan() => (text.len() == "nan".len()).then_some(v),
        // Digits that make an infinity are out of range.
        Ok(v) if v.is_infinite() => (!text.bytes().any(|b| b.is_ascii_digit())).then_some(v),
        Ok(v) => Some(v),
        Err(_) => parse_hex_or_underscored(text),
    }
}

fn parse_hex_or_underscored(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let hex = unsigned.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x"));
    if text.contains('_') {
        let digits = if hex { &unsigned[2..] } else { unsigned };
        if !underscores_separate_digits(digits, hex) {
            return None;
        }
        let plain = text.replace('_', "");
        return if hex { parse_hex(&plain) } else { parse_float(&plain) };
    }
    if hex { parse_hex(text) } else { None }
}

/// Whether every underscore stands between digits; directly after the prefix `0x` is allowed too.
fn underscores_separate_digits(digits: &str, hex: bool) -> bool {
    let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    let mut before_is_digit = hex;
    let mut bytes = digits.bytes().peekable();
    while let Some(b) = bytes.next() {
        if b == b'_' && !(before_is_digit && bytes.peek().is_some_and(|&next| is_digit(next))) {
            return false;
        }
        before_is_digit = is_digit(b);
    }
    true
}

/// `[+-]0x` hexadecimal digits with at most one point, `p` and a decimal exponent, which must be there.
fn parse_hex(text: &str) -> Option<f64> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa_text, exponent_text) = unsigned.get(2..)?.split_once(['p', 'P'])?;
    let exponent_digits = exponent_text.strip_prefix(['+', '-']).unwrap_or(exponent_text);
    if exponent_digits.is_empty() || !exponent_digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond this the result is zero or out of range whatever the digits are.
    let magnitude = exponent_digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    let mut exponent = if exponent_text.starts_with('-') { -magnitude } else { magnitude };

    // The mantissa keeps its first 60 bits; what follows is remembered only as "not zero" in the lowest bit.
    let mut mantissa = 0u64;
    let (mut after_point, mut any_digit) = (false, false);
    for c in mantissa_text.chars() {
        if c == '.' {
            if after_point {
                return None;
            }
            after_point = true;
            continue;
        }
        let digit = u64::from(c.to_digit(16)?);
        any_digit = true;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if after_point { 4 } else { 0 };
        } else {
            mantissa |= u64::from(digit != 0);
            exponent += if after_point { 0 } else { 4 };
        }
    }
    if !any_digit {
        return None;
    }
    let magnitude = scale(mantissa, exponent)?;
    Some(if negative { -magnitude } else { magnitude })
}

/// `mantissa · 2^exponent`, rounded once, half to even. `None` when out of range.
fn scale(mantissa: u64, exponent: i64) -> Option<f64> {
    /// Exponent of the lowest bit of a subnormal.
    const LOWEST: i64 = -1074;
    if mantissa == 0 {
        return Some(0.0);
    }
    let bits = i64::from(u64::BITS - mantissa.leading_zeros());
    // A double keeps 53 bits, fewer where its lowest bit would fall below `LOWEST`.
    let drop = (bits - 53).max(LOWEST - exponent).max(0);
    let (kept, exponent) = if drop > bits {
        (0, LOWEST)
    } else {
        let drop_bits = u32::try_from(drop).ok()?;
        let kept = mantissa.checked_shr(drop_bits).unwrap_or(0);
        let rest = mantissa - kept.checked_shl(drop_bits).unwrap_or(0);
        let half = if drop == 0 { u64::MAX } else { 1 << (drop - 1) };
        let up = rest > half || (rest == half && kept & 1 == 1);
        (kept + u64::from(up), exponent + drop)
    };
    if kept == 0 {
        return Some(0.0);
    }
    let top = exponent + i64::from(u64::BITS - kept.leading_zeros());
    if top > 1024 {
        return None;
    }
    // `kept` has at most 54 bits with the lowest one zero then, so each product is exact.
    let mut v = kept as f64;
    let mut left = exponent;
    while left > 0 {
        let step = left.min(1000);
        v *= 2f64.powi(step as i32);
        left -= step;
    }
    while left < 0 {
        let step = left.max(-1000);
        v *= 2f64.powi(step as i32);
        left -= step;
    }
    v.is_finite().then_some(v)
}

/// `strconv.Quote`.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text, is_print);
    out
}

/// `strconv.QuoteToASCII`.
#[must_use]
pub fn quote_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text, |c| c.is_ascii() && is_print(c));
    out
}

fn push_quoted(out: &mut String, text: &str, keep: impl Fn(char) -> bool) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            c if keep(c) => out.write_char(c),
            '\x07' => out.write_str("\\a"),
            '\x08' => out.write_str("\\b"),
            '\x0c' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\x0b' => out.write_str("\\v"),
            c if c < ' ' || c == '\x7f' => write!(out, "\\x{:02x}", c as u32),
            c if (c as u32) < 0x10000 => write!(out, "\\u{:04x}", c as u32),
            c => write!(out, "\\U{:08x}", c as u32),
        };
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "UPPERCASE")]
    struct Formatted {
        #[serde(rename = "bits")]
        bits: String,
        f: String,
        g: String,
        e: String,
        a: String,
    }

    #[test]
    fn floats_are_formatted_as_go_formats_them() {
        for line in include_str!("../testdata/format-float.jsonl").lines() {
            let row: Formatted = serde_json::from_str(line).unwrap();
            let v = f64::from_bits(u64::from_str_radix(&row.bits, 16).unwrap());
            let mut api = String::new();
            push_api_value(&mut api, v);
            let mut room = [0; API_VALUE_ROOM];
            let len = put_api_value(&mut room, v);
            assert_eq!(&room[..len], row.a.as_bytes(), "bits {}", row.bits);
            assert_eq!(
                [format_f(v), format_g(v), format_e(v), api],
                [row.f, row.g, row.e, row.a],
                "bits {}",
                row.bits
            );
        }
    }

    #[test]
    fn floats_are_parsed_as_go_parses_them() {
        for line in include_str!("../testdata/parse-float.tsv").lines() {
            let (text, want) = line.split_once('\t').unwrap();
            let text: String = serde_json::from_str(text).unwrap();
            match parse_float(&text) {
                None => assert_eq!(want, "error", "{text:?}"),
                Some(v) if v.is_nan() => assert_eq!(want, "7ff8000000000001", "{text:?}"),
                Some(v) => assert_eq!(format!("{:016x}", v.to_bits()), want, "{text:?}"),
            }
        }
    }

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        for line in include_str!("../testdata/quote.jsonl").lines() {
            let [text, want, want_ascii]: [String; 3] = serde_json::from_str(line).unwrap();
            assert_eq!((quote(&text), quote_ascii(&text)), (want, want_ascii));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_layout_reads_back_as_the_same_number(bits: u64) {
            let v = f64::from_bits(bits);
            proptest::prop_assume!(v.is_finite());
            for text in [format_f(v), format_g(v), format_e(v)] {
                proptest::prop_assert_eq!(parse_float(&text).map(f64::to_bits), Some(bits), "{}", text);
            }
        }
    }
}
