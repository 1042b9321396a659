//! Points in time: milliseconds since the Unix epoch, RFC 3339 text, and what the HTTP API takes for a time.

use crate::number::parse_float;

const MILLIS_PER_DAY: i64 = 86_400_000;

/// Reads a time as the HTTP API does: seconds since the epoch, with decimals, or RFC 3339. In milliseconds,
/// rounded to the nearest.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    match parse_float(text) {
        Some(seconds) => {
            let millis = seconds.trunc() * 1000.0 + (seconds.fract() * 1000.0).round();
            // Also refuses NaN.
            (millis.abs() < i64::MAX as f64).then_some(millis as i64)
        }
        None => parse_rfc3339(text),
    }
}

/// Reads `2006-01-02T15:04:05.999999999Z` or with an offset `+07:00`; digits after the millisecond are cut off.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let mut rest = Reader(text.as_bytes());
    let year = rest.digits(4)?;
    let month = rest.after(b'-')?.digits(2).filter(|m| (1..=12).contains(m))?;
    let day = rest.after(b'-')?.digits(2).filter(|&d| d >= 1 && d <= days_in_month(year, month))?;
    let hour = rest.after(b'T')?.digits(2).filter(|&h| h < 24)?;
    let minute = rest.after(b':')?.digits(2).filter(|&m| m < 60)?;
    let second = rest.after(b':')?.digits(2).filter(|&s| s < 60)?;
    let millis = rest.fraction()?;
    let offset = rest.offset()?;
    if !rest.0.is_empty() {
        return None;
    }
    let seconds = (hour * 60 + minute - offset) * 60 + second;
    Some(days_from_epoch(year, month, day) * MILLIS_PER_DAY + seconds * 1000 + millis)
}

/// Reads a time as Prometheus' tools do: as [`parse`], but in nanoseconds, without rounding.
#[must_use]
pub fn parse_nanos(text: &str) -> Option<i128> {
    if let Some(seconds) = parse_float(text) {
        return Some(seconds.trunc() as i128 * 1_000_000_000 + (seconds.fract() * 1e9) as i128);
    }
    let millis = parse_rfc3339(text)?;
    let decimals = text.split_once(['.', ',']).map_or("", |(_, decimals)| decimals).bytes();
    let digits = decimals.take_while(u8::is_ascii_digit).chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0'));
    Some(i128::from(millis.div_euclid(1000)) * 1_000_000_000 + nanos)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    }

    fn after(&mut self, byte: u8) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(self)
    }

    /// Milliseconds; a point or a comma must be followed by a digit.
    fn fraction(&mut self) -> Option<i64> {
        let Some(digits) = self.0.strip_prefix(b".").or_else(|| self.0.strip_prefix(b",")) else {
            return Some(0);
        };
        let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        let (digits, rest) = digits.split_at(len);
        self.0 = rest;
        if digits.is_empty() {
            return None;
        }
        let digit = |at| digits.get(at).map_or(0, |b| i64::from(b - b'0'));
        Some(digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    /// Minutes east of Greenwich.
    fn offset(&mut self) -> Option<i64> {
        let (&sign, rest) = self.0.split_first()?;
        self.0 = rest;
        if sign == b'Z' {
            return Some(0);
        }
        let sign = match sign {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.digits(2).filter(|&h| h <= 24)?;
        let minutes = self.after(b':')?.digits(2).filter(|&m| m < 60)?;
        Some(sign * (hours * 60 + minutes))
    }
}

/// Go's `RFC3339Nano` in UTC: no more decimals than needed. Years have four digits or more.
#[must_use]
pub fn format_rfc3339(millis: i64) -> String {
    format_rfc3339_nanos(i128::from(millis) * 1_000_000)
}

/// [`format_rfc3339`] with three decimals, always.
#[must_use]
pub fn format_rfc3339_millis(millis: i64) -> String {
    let seconds = format_rfc3339(millis.div_euclid(1000) * 1000);
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), millis.rem_euclid(1000))
}

/// [`format_rfc3339`] for nanoseconds since the epoch.
#[must_use]
pub fn format_rfc3339_nanos(nanos: i128) -> String {
    let seconds = nanos.div_euclid(1_000_000_000) as i64;
    let nanos = nanos.rem_euclid(1_000_000_000);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let time = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}") };
    let fraction = fraction.trim_end_matches('0');
    let sign = if year < 0 { "-" } else { "" };
    let year = year.unsigned_abs();
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the 400 years after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01 to the epoch.
const EPOCH_DAY: i64 = 719_468;

/// Days from 1970-01-01, in the Gregorian calendar extended both ways.
///
/// Years are counted from March, so that the leap day is the last of its year.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - EPOCH_DAY
}

/// Year, month and day of a count of days from 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAY;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_seconds_or_as_rfc_3339() {
        let cases = [
            ("0", Some(0)),
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.1234", Some(1_700_000_000_123)),
            ("1700000000.9996", Some(1_700_000_001_000)),
            ("-1.5", Some(-1500)),
            ("1e3", Some(1_000_000)),
            ("2015-06-03T13:21:58.555Z", Some(1_433_337_718_555)),
            ("2015-06-03T13:21:58.5559Z", Some(1_433_337_718_555)),
            ("2015-06-03T14:21:58.555+01:00", Some(1_433_337_718_555)),
            ("2015-06-03T13:21:58Z", Some(1_433_337_718_000)),
            ("1969-12-31T23:59:59.999Z", Some(-1)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("2023-02-29T00:00:00Z", None),
            ("2023-13-01T00:00:00Z", None),
            ("2023-01-01T24:00:00Z", None),
            ("2023-01-01T00:00:00", None),
            ("2023-01-01T00:00:00z", None),
            ("2023-01-01 00:00:00Z", None),
            ("2023-01-01", None),
            ("2023-01-01T00:00:00.Z", None),
            ("2023-01-01T00:00:00Zx", None),
            ("NaN", None),
            ("+Inf", None),
            ("", None),
            ("foo", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), want, "{text:?}");
        }
    }

    #[test]
    fn times_are_written_with_the_decimals_that_they_need() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_433_337_718_550, "2015-06-03T13:21:58.55Z"),
            (1_709_164_800_000, "2024-02-29T00:00:00Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ];
        for (millis, want) in cases {
            assert_eq!(format_rfc3339(millis), want);
        }
        assert_eq!(format_rfc3339_nanos(1_000_000_001), "1970-01-01T00:00:01.000000001Z");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(millis in -62_167_219_200_000i64..253_402_300_800_000) {
            proptest::prop_assert_eq!(parse_rfc3339(&format_rfc3339(millis)), Some(millis));
        }
    }
}
