//! Calendar arithmetic of `year`, `month`, `day_of_week` and their like: UTC, proleptic Gregorian.

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    /// 1970, also negative.
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u32,
    /// From 1.
    pub(crate) day: u32,
    /// From 1.
    pub(crate) day_of_year: u32,
    /// 0 is Sunday.
    pub(crate) weekday: u32,
}

/// Go counts seconds without sign from the first of March of this many years before the year 0, so that times
/// beyond it wrap round; a multiple of 400.
const ABSOLUTE_YEARS: i128 = 292_277_022_400;
const DAYS_PER_400_YEARS: i128 = 146_097;

/// Seconds from Go's zero to the Unix epoch.
const EPOCH: i128 = (ABSOLUTE_YEARS / 400 * DAYS_PER_400_YEARS + 719_468) * 86_400;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Seconds since Go's zero, wrapping as Go's unsigned counter does.
fn absolute(seconds: i64) -> u64 {
    (i128::from(seconds) + EPOCH) as u64
}

impl Date {
    /// The day of a Unix time.
    pub(crate) fn from_unix(seconds: i64) -> Date {
        let days = i128::from(absolute(seconds) / 86_400);
        let era = days / DAYS_PER_400_YEARS;
        let of_era = days % DAYS_PER_400_YEARS;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let from_march = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * from_march + 2) / 153;
        let day = (from_march - (153 * shifted + 2) / 5 + 1) as u32;
        let month = (if shifted < 10 { shifted + 3 } else { shifted - 9 }) as u32;
        let year = (year_of_era + era * 400 - ABSOLUTE_YEARS + i128::from(month <= 2)) as i64;
        let day_of_year = if month <= 2 {
            from_march as u32 - 305
        } else {
            from_march as u32 + 60 + u32::from(is_leap(year))
        };
        Date { year, month, day, day_of_year, weekday: ((days + 3) % 7) as u32 }
    }

    /// Length of the date's month.
    pub(crate) fn days_in_month(&self) -> u32 {
        match self.month {
            2 => 28 + u32::from(is_leap(self.year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// Go's conversion on amd64: what does not fit becomes the smallest integer.
fn to_seconds(v: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&v) { v as i64 } else { i64::MIN }
}

/// The function called `name`, from seconds to its number.
pub(crate) fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "year" => |v| Date::from_unix(to_seconds(v)).year as f64,
        "month" => |v| f64::from(Date::from_unix(to_seconds(v)).month),
        "day_of_month" => |v| f64::from(Date::from_unix(to_seconds(v)).day),
        "day_of_week" => |v| f64::from(Date::from_unix(to_seconds(v)).weekday),
        "day_of_year" => |v| f64::from(Date::from_unix(to_seconds(v)).day_of_year),
        "days_in_month" => |v| f64::from(Date::from_unix(to_seconds(v)).days_in_month()),
        "hour" => |v| (absolute(to_seconds(v)) % 86_400 / 3600) as f64,
        "minute" => |v| (absolute(to_seconds(v)) % 3600 / 60) as f64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_agree_with_the_calendar() {
        for (seconds, year, month, day, day_of_year, weekday) in [
            (0, 1970, 1, 1, 1, 4),
            (951_782_400, 2000, 2, 29, 60, 2),
            (1_704_067_199, 2023, 12, 31, 365, 0),
            (-2_203_891_200, 1900, 3, 1, 60, 4),
            (-62_167_219_200, 0, 1, 1, 1, 6),
        ] {
            let date = Date::from_unix(seconds);
            assert_eq!(date, Date { year, month, day, day_of_year, weekday }, "{seconds}");
        }
    }
}
