//! Numbers on a page.

use super::cursor::{ParseError, quote_bytes};

/// The NaN of a sample that is not a staleness marker.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Powers of ten that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads a plain decimal from the front of `text`: at most 15 digits, a point, an exponent. Returns the value and the number's length.
///
/// Such a number is the quotient or product of two integers that a double holds exactly, so one division or multiplication rounds it as a
/// full parser would. `None` says nothing but "ask the full parser".
#[inline]
pub(super) fn scan_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let mut at = 0;
    let negative = text.first() == Some(&b'-');
    if negative {
        at = 1;
    }
    let start = at;
    let mut mantissa = 0u64;
    while let Some(digit) = digit_at(text, at) {
        mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
        at += 1;
    }
    let mut digits = at - start;
    let mut scale = 0i32;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let point = at;
        while let Some(digit) = digit_at(text, at) {
            mantissa = mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        digits += at - point;
        scale = -i32::try_from(at - point).ok()?;
    }
    if digits == 0 || digits > 15 {
        return None;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        let down = match text.get(at) {
            Some(b'-') => true,
            Some(b'+') => false,
            _ => {
                at -= 1;
                false
            }
        };
        at += 1;
        let first = at;
        let mut exponent = 0i32;
        while let Some(digit) = digit_at(text, at) {
            exponent = exponent * 10 + digit as i32;
            at += 1;
            if at - first > 3 {
                return None;
            }
        }
        if at == first {
            return None;
        }
        scale += if down { -exponent } else { exponent };
    }
    let tens = *TENS.get(scale.unsigned_abs() as usize)?;
    let whole = mantissa as f64;
    let magnitude = if scale < 0 { whole / tens } else { whole * tens };
    Some((if negative { -magnitude } else { magnitude }, at))
}

#[inline]
fn digit_at(text: &[u8], at: usize) -> Option<u64> {
    text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|digit| *digit < 10).map(u64::from)
}

/// `strconv.ParseFloat` without hexadecimal numbers and underscores. The error is the part before "while parsing".
pub(super) fn parse_value(text: &[u8]) -> Result<f64, ParseError> {
    if let Some((v, len)) = scan_decimal(text)
        && len == text.len()
    {
        return Ok(v);
    }
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err(ParseError::new("unsupported character in float"));
    }
    let failed =
        |what: &str| ParseError::new(format!("strconv.ParseFloat: parsing {}: {what}", quote_bytes(text)));
    let Ok(as_text) = std::str::from_utf8(text) else { return Err(failed("invalid syntax")) };
    match model::number::parse_float(as_text) {
        Some(v) if v.is_nan() => Ok(NAN),
        Some(v) => Ok(v),
        None if as_text.parse::<f64>().is_ok_and(f64::is_infinite) => Err(failed("value out of range")),
        None => Err(failed("invalid syntax")),
    }
}

/// Decimal digits to Unix milliseconds.
pub(super) fn parse_milliseconds(digits: &[u8]) -> Result<i64, ParseError> {
    let value = digits
        .iter()
        .try_fold(0i64, |value, b| value.checked_mul(10)?.checked_add(i64::from(b.wrapping_sub(b'0'))));
    value.ok_or_else(|| {
        ParseError::new(format!("strconv.ParseInt: parsing {}: value out of range", quote_bytes(digits)))
    })
}

/// Seconds to whole milliseconds, towards zero. What no integer holds is the smallest one, as the conversion on x86-64 has it.
pub(super) fn to_milliseconds(seconds: f64) -> i64 {
    let milliseconds = seconds * 1000.0;
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&milliseconds) { milliseconds as i64 } else { i64::MIN }
}

/// NaN and the infinities as `%f` prints them.
pub(super) fn not_finite(v: f64) -> &'static str {
    if v.is_nan() {
        "NaN"
    } else if v > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_decimals_read_as_the_standard_parser_reads_them() {
        let texts = [
            "0",
            "-0",
            "1",
            "-1",
            "12345",
            "123456789012345",
            "0.1",
            "0.3",
            ".5",
            "5.",
            "-2.5",
            "1e3",
            "1E3",
            "1.5837952e+07",
            "1.790182793e+09",
            "1e-5",
            "3.25e-06",
            "1e22",
            "0e0",
            "1.7e-21",
            "999999999999999e22",
            "0.000001",
            "00012",
            "1.000000000000",
        ];
        for text in texts {
            let (v, len) = scan_decimal(text.as_bytes()).unwrap_or_else(|| panic!("{text} is not scanned"));
            assert_eq!((v.to_bits(), len), (text.parse::<f64>().unwrap().to_bits(), text.len()), "{text}");
        }
        for text in ["", "-", ".", "e5", "1e", "1e+", "1234567890123456", "1e23", "NaN", "+1", "1e0000"] {
            assert_eq!(scan_decimal(text.as_bytes()), None, "{text}");
        }
        assert_eq!(scan_decimal(b"12 34"), Some((12.0, 2)));
        assert_eq!(scan_decimal(b"1.5x"), Some((1.5, 3)));
    }
}
