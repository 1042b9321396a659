//! Durations: Prometheus' `1h30m`, in milliseconds, and Go's `1.5h`, in nanoseconds.
//!
//! Configuration files, PromQL and most flags speak the first; logs and a few flags speak the second.

use crate::number::quote;

/// Why a duration was refused, in the words of Prometheus or Go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DurationError(pub String);

/// Prometheus' units, largest first: the order in which they must be written. Milliseconds each.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The longest duration, in nanoseconds: Prometheus counts in these, so they decide what is out of range.
const MAX_NANOS: u64 = i64::MAX as u64;

/// `model.ParseDuration`, in milliseconds.
///
/// # Errors
/// `not a valid duration string: "x"`, `unknown unit "x" in duration "1x"`, `empty duration string`,
/// `duration out of range`.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError(format!("not a valid duration string: {}", quote(text)));
    let out_of_range = || DurationError("duration out of range".into());
    match text {
        "0" => return Ok(0),
        "" => return Err(DurationError("empty duration string".into())),
        _ => {}
    }
    let mut rest = text;
    let mut units_left = &UNITS[..];
    let mut nanos = 0u64;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(leading(rest, |b| b.is_ascii_digit()));
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        let (unit, after) = after.split_at(leading(after, |b| !b.is_ascii_digit()));
        if unit.is_empty() {
            return Err(invalid());
        }
        let Some((_, millis)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError(format!("unknown unit {} in duration {}", quote(unit), quote(text))));
        };
        let at = units_left.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        units_left = &units_left[at + 1..];
        nanos = count
            .checked_mul(millis * NANOS_PER_MILLI)
            .and_then(|n| n.checked_add(nanos))
            .filter(|&n| n <= MAX_NANOS)
            .ok_or_else(out_of_range)?;
        rest = after;
    }
    Ok((nanos / NANOS_PER_MILLI) as i64)
}

/// `model.ParseDurationAllowNegative`, in milliseconds.
///
/// # Errors
/// Those of [`parse`], about the text after the minus sign.
pub fn parse_signed(text: &str) -> Result<i64, DurationError> {
    match text.strip_prefix('-') {
        Some(positive) => parse(positive).map(|ms| -ms),
        None => parse(text),
    }
}

/// Length of the prefix whose bytes `accept` takes; it only ever separates ASCII digits from the rest.
fn leading(text: &str, accept: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !accept(b)).unwrap_or(text.len())
}

/// `model.Duration.String()`: the largest units that divide, `1h30m`, `0s`.
#[must_use]
pub fn format(millis: i64) -> String {
    use std::fmt::Write as _;
    if millis == 0 {
        return "0s".into();
    }
    let mut out = String::from(if millis < 0 { "-" } else { "" });
    let mut rest = millis.unsigned_abs();
    for (unit, size) in UNITS {
        // Years and weeks only where nothing is left over: `90d` reads better than `12w6d`.
        if matches!(unit, "y" | "w") && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            // Writing to a String cannot fail.
            let _ = write!(out, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    out
}

/// Go's units in nanoseconds, with both spellings of the micro sign.
const GO_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go's `time.ParseDuration`, in nanoseconds: `1.5h`, `-2m3.5s`, `0`.
///
/// # Errors
/// `time: invalid duration "x"`, `time: missing unit in duration "1"`, `time: unknown unit "y" in duration "1y"`.
pub fn parse_go(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError(format!("time: invalid duration {}", quote_bytes(text)));
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    /// One more than the longest positive duration: the longest negative one.
    const LIMIT: u64 = 1 << 63;
    let mut total = 0u64;
    while !rest.is_empty() {
        let (whole, after) = rest.split_at(leading(rest, |b| b.is_ascii_digit()));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(leading(after, |b| b.is_ascii_digit())),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let (unit, after) = after.split_at(leading(after, |b| b != b'.' && !b.is_ascii_digit()));
        if unit.is_empty() {
            return Err(DurationError(format!("time: missing unit in duration {}", quote_bytes(text))));
        }
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let Some((_, nanos)) = GO_UNITS.iter().find(|(name, _)| *name == unit) else {
            let (unit, text) = (quote_bytes(unit), quote_bytes(text));
            return Err(DurationError(format!("time: unknown unit {unit} in duration {text}")));
        };
        total = whole
            .checked_mul(*nanos)
            .and_then(|n| n.checked_add(fraction_of(fraction, *nanos)))
            .and_then(|n| n.checked_add(total))
            .filter(|&n| n <= LIMIT)
            .ok_or_else(invalid)?;
        rest = after;
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// `0.digits` of a unit, truncated; digits that no longer fit are ignored, as Go does.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0u64, 1f64);
    for b in digits.bytes() {
        let Some(next) = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(b - b'0'))) else {
            break;
        };
        if next > i64::MAX as u64 {
            break;
        }
        value = next;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

/// The quoting of package `time`'s errors: what is not printable ASCII is written byte by byte.
fn quote_bytes(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='\u{7f}' => out.push(c),
            c => {
                for b in c.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\x{b:02x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// Go's `time.Duration.String()`: `1h30m0s`, `1.5s`, `2µs`, `0s`.
#[must_use]
pub fn format_go(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    match n {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", with_fraction(n, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", with_fraction(n, 1_000_000, 6)),
        _ => {
            let (seconds, minutes) = (n % 60_000_000_000, n / 60_000_000_000);
            let seconds = with_fraction(seconds, 1_000_000_000, 9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// `n / unit` with up to `places` decimals and no trailing zeros.
fn with_fraction(n: u64, unit: u64, places: usize) -> String {
    let text = format!("{}.{:0places$}", n / unit, n % unit);
    text.trim_end_matches('0').trim_end_matches('.').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_durations_are_parsed_and_refused_as_by_prometheus() {
        const DAY: i64 = 86_400_000;
        let cases: &[(&str, Result<i64, &str>)] = &[
            ("0", Ok(0)),
            ("0s", Ok(0)),
            ("0w", Ok(0)),
            ("324ms", Ok(324)),
            ("3s", Ok(3_000)),
            ("5m", Ok(300_000)),
            ("1h", Ok(3_600_000)),
            ("4d", Ok(4 * DAY)),
            ("3w", Ok(21 * DAY)),
            ("10y", Ok(3650 * DAY)),
            ("4d1h", Ok(4 * DAY + 3_600_000)),
            ("1h30m", Ok(5_400_000)),
            ("1y2w3d4h5m6s7ms", Ok(382 * DAY + 14_706_007)),
            ("14d1s", Ok(14 * DAY + 1000)),
            ("0001s", Ok(1000)),
            ("292y", Ok(292 * 365 * DAY)),
            ("", Err("empty duration string")),
            ("1", Err("not a valid duration string: \"1\"")),
            ("1m1d", Err("not a valid duration string: \"1m1d\"")),
            ("1m1m", Err("not a valid duration string: \"1m1m\"")),
            ("-1w", Err("not a valid duration string: \"-1w\"")),
            ("1.5d", Err("unknown unit \".\" in duration \"1.5d\"")),
            ("d", Err("not a valid duration string: \"d\"")),
            ("5x", Err("unknown unit \"x\" in duration \"5x\"")),
            ("5 s", Err("unknown unit \" s\" in duration \"5 s\"")),
            ("1é", Err("unknown unit \"é\" in duration \"1é\"")),
            ("99999999999999999999s", Err("not a valid duration string: \"99999999999999999999s\"")),
            ("294y", Err("duration out of range")),
            ("200y10400w", Err("duration out of range")),
            ("107675d", Err("duration out of range")),
            ("2584200h", Err("duration out of range")),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).map_err(|e| e.0), want.map_err(String::from), "{text:?}");
        }
        assert_eq!(parse_signed("-1w"), Ok(-7 * DAY));
        assert_eq!(parse_signed("--1w").unwrap_err().0, "not a valid duration string: \"-1w\"");
    }

    #[test]
    fn prometheus_durations_are_printed_in_the_units_that_divide() {
        for text in
            ["0s", "324ms", "3s", "5m", "1h", "4d", "4d1h", "14d1s", "3w", "10y", "1h30m", "90d", "-5m"]
        {
            assert_eq!(format(parse_signed(text).unwrap()), text);
        }
        assert_eq!(format(7 * 24 * 3_600_000), "1w");
        assert_eq!(format(366 * 24 * 3_600_000), "366d");
        assert_eq!(format(372 * 24 * 3_600_000), "372d");
        assert_eq!(format(90_061_001), "1d1h1m1s1ms");
    }

    #[test]
    fn go_durations_are_parsed_and_refused_as_by_go() {
        let cases: &[(&str, Result<i64, &str>)] = &[
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("5s", Ok(5_000_000_000)),
            ("1.5h", Ok(5_400_000_000_000)),
            ("-2m3.4s", Ok(-123_400_000_000)),
            ("+.5s", Ok(500_000_000)),
            ("5.s", Ok(5_000_000_000)),
            ("1h1h", Ok(7_200_000_000_000)),
            ("12µs", Ok(12_000)),
            ("12μs", Ok(12_000)),
            ("0.3333333333333333333h", Ok(1_200_000_000_000)),
            ("9007199254740993ns", Ok((1 << 53) + 1)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("9223372036854775808ns", Err("time: invalid duration \"9223372036854775808ns\"")),
            ("", Err("time: invalid duration \"\"")),
            ("3", Err("time: missing unit in duration \"3\"")),
            ("-", Err("time: invalid duration \"-\"")),
            ("s", Err("time: invalid duration \"s\"")),
            (".s", Err("time: invalid duration \".s\"")),
            ("1d", Err("time: unknown unit \"d\" in duration \"1d\"")),
            ("1é", Err("time: unknown unit \"\\xc3\\xa9\" in duration \"1\\xc3\\xa9\"")),
        ];
        for (text, want) in cases {
            assert_eq!(parse_go(text).map_err(|e| e.0), want.map_err(String::from), "{text:?}");
        }
    }

    #[test]
    fn go_durations_are_printed_as_by_go() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_000_000_000, "4m5s"),
            (245_001_000_000, "4m5.001s"),
            (5_400_000_000_000, "1h30m0s"),
            (-60_000_000_000, "-1m0s"),
            (i64::MAX, "2562047h47m16.854775807s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ];
        for (nanos, want) in cases {
            assert_eq!(format_go(nanos), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_printed_reads_back(millis in 0..i64::MAX / 1_000_000, nanos: i64) {
            proptest::prop_assert_eq!(parse(&format(millis)), Ok(millis));
            proptest::prop_assert_eq!(parse_go(&format_go(nanos)), Ok(nanos));
        }
    }
}
