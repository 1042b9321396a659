//! Sizes in bytes as Prometheus reads and writes them: `512MB`, `1GiB`, with powers of 1024 either way.

/// Why a size was refused, in the words of Prometheus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("units: {0}")]
pub struct SizeError(pub String);

const PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

/// Reads one or more numbers with units, `1.5GiB`, `1GB512MB`, or `0`. Either all units have an `i` or none
/// has; both are powers of 1024.
///
/// # Errors
/// `units: invalid x`, `units: unknown unit x in 1x`, `units: overflow parsing unit`.
pub fn parse(text: &str) -> Result<i64, SizeError> {
    parse_units(text, "iB").or_else(|_| parse_units(text, "B"))
}

fn parse_units(text: &str, suffix: &str) -> Result<i64, SizeError> {
    let invalid = || SizeError(format!("invalid {text}"));
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut bytes = 0.0;
    while !rest.is_empty() {
        let (number, unit, after) = split_number(rest);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let whole = digits(whole).ok_or_else(invalid)?;
        let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
        let fraction = digits(fraction).ok_or_else(invalid)? / 10f64.powi(places);
        let power = match unit {
            "B" => 0,
            _ => PREFIXES
                .iter()
                .skip(1)
                .position(|prefix| unit.strip_prefix(prefix) == Some(suffix))
                .map(|at| at as i32 + 1)
                .ok_or_else(|| SizeError(format!("unknown unit {unit} in {text}")))?,
        };
        bytes += (whole + fraction) * 1024f64.powi(power);
        rest = after;
    }
    if text.starts_with('-') {
        bytes = -bytes;
    }
    // 2^63, which the largest count rounds to, is let through and saturates.
    if bytes.abs() > i64::MAX as f64 {
        return Err(SizeError("overflow parsing unit".into()));
    }
    Ok(bytes as i64)
}

/// Splits `1.5GiB…` into number, unit and what follows.
fn split_number(text: &str) -> (&str, &str, &str) {
    let whole = text.bytes().take_while(u8::is_ascii_digit).count();
    let fraction = match text[whole..].strip_prefix('.') {
        Some(after) => 1 + after.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    let (number, rest) = text.split_at(whole + fraction);
    let unit = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    (number, &rest[..unit], &rest[unit..])
}

/// Digits as a number, none as zero; `None` past what 63 bits hold.
fn digits(text: &str) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    text.parse::<u64>().ok().filter(|&n| n <= i64::MAX as u64 - 7).map(|n| n as f64)
}

/// The size in the largest units that fit, `1GiB512MiB`; nothing is rounded.
#[must_use]
pub fn format(bytes: i64) -> String {
    if bytes == 0 {
        return "0B".into();
    }
    let mut parts = Vec::new();
    let mut rest = bytes;
    for (power, prefix) in PREFIXES.iter().enumerate() {
        if rest % 1024 != 0 {
            let suffix = if power == 0 { "B" } else { "iB" };
            parts.push(format!("{}{prefix}{suffix}", rest % 1024));
        }
        rest /= 1024;
        if rest == 0 {
            break;
        }
    }
    parts.reverse();
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_and_refused_as_by_prometheus() {
        let cases: &[(&str, Result<i64, &str>)] = &[
            ("0", Ok(0)),
            ("0B", Ok(0)),
            ("1B", Ok(1)),
            ("10MB", Ok(10 << 20)),
            ("512MiB", Ok(512 << 20)),
            ("1.5KB", Ok(1536)),
            ("1GB512MB", Ok(3 << 29)),
            ("1GiB512MiB", Ok(3 << 29)),
            ("-1KB", Ok(-1024)),
            ("7EB", Ok(7 << 60)),
            (".5KB", Ok(512)),
            ("5.KB", Ok(5120)),
            ("", Err("units: invalid ")),
            ("10", Err("units: unknown unit  in 10")),
            ("MB", Err("units: invalid MB")),
            ("1kB", Err("units: unknown unit kB in 1kB")),
            ("1GiB512MB", Err("units: unknown unit GiB in 1GiB512MB")),
            ("10 MB", Err("units: unknown unit  MB in 10 MB")),
            ("8EB1B", Ok(i64::MAX)),
            ("9EB", Err("units: overflow parsing unit")),
            (".MB", Err("units: invalid .MB")),
            ("99999999999999999999B", Err("units: invalid 99999999999999999999B")),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text).map_err(|e| e.to_string()), want.map_err(String::from), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_printed_without_rounding() {
        let cases = [
            (0, "0B"),
            (1, "1B"),
            (1024, "1KiB"),
            (1 << 30, "1GiB"),
            ((1 << 20) + 1, "1MiB1B"),
            (-2048, "-2KiB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(format(bytes), want);
        }
        assert_eq!(format(i64::MAX), "7EiB1023PiB1023TiB1023GiB1023MiB1023KiB1023B");
    }
}
