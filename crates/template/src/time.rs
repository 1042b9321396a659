//! Points in time and durations: Go's layouts and methods.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use crate::value::{Method, Shape, Type, Value};

/// `time.Time`
pub static TIME: Shape = Shape { methods: TIME_METHODS, ..Shape::named("time.Time") };
/// `*time.Time`
pub static TIME_POINTER: Shape = Shape { pointer: true, methods: TIME_METHODS, ..Shape::named("*time.Time") };
/// `time.Duration`: nanoseconds.
pub static DURATION: Shape = duration("time.Duration", false);
/// `*time.Duration`
pub static DURATION_POINTER: Shape = duration("*time.Duration", true);

const fn duration(name: &'static str, pointer: bool) -> Shape {
    Shape { pointer, text: model::duration::format_go, methods: DURATION_METHODS, ..Shape::named(name) }
}

static MONTH: Shape = Shape { text: month_name, ..Shape::named("time.Month") };
static WEEKDAY: Shape = Shape { text: weekday_name, ..Shape::named("time.Weekday") };

/// Nanoseconds since the epoch, in UTC.
pub(crate) fn utc(shape: &'static Shape, nanos: i64) -> Value {
    let at = Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
    Value::Time(shape, Arc::new(at.to_zoned(TimeZone::UTC)))
}

/// `Time.String`
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Time(_, time) => format(time, "2006-01-02 15:04:05.999999999 -0700 MST"),
        _ => String::new(),
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn month_name(number: i64) -> String {
    let name = usize::try_from(number - 1).ok().and_then(|i| MONTHS.get(i));
    name.map_or_else(|| format!("%!Month({number})"), ToString::to_string)
}

fn weekday_name(number: i64) -> String {
    let name = usize::try_from(number).ok().and_then(|i| WEEKDAYS.get(i));
    name.map_or_else(|| format!("%!Weekday({number})"), ToString::to_string)
}

fn weekday(time: &Zoned) -> i64 {
    i64::from(time.weekday().to_sunday_zero_offset())
}

/// A piece of a layout: what Go's `nextStdChunk` finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    LongMonth,
    Month,
    MonthNumber {
        padded: bool,
    },
    LongWeekday,
    Weekday,
    Day {
        padded: bool,
    },
    SpacePaddedDay,
    SpacePaddedDayOfYear,
    DayOfYear,
    Hour,
    Hour12 {
        padded: bool,
    },
    Minute {
        padded: bool,
    },
    Second {
        padded: bool,
    },
    LongYear,
    Year,
    UpperHalfOfDay,
    LowerHalfOfDay,
    ZoneName,
    /// An offset; `Z` for UTC if `zulu`.
    Offset {
        zulu: bool,
        colons: bool,
        minutes: bool,
        seconds: bool,
    },
    /// Fractions of a second; trailing zeros left out unless `all`.
    Fraction {
        separator: char,
        digits: usize,
        all: bool,
    },
}

/// Longest first where one begins like another.
const PIECES: &[(&str, Piece)] = &[
    ("January", Piece::LongMonth),
    ("Jan", Piece::Month),
    ("Monday", Piece::LongWeekday),
    ("Mon", Piece::Weekday),
    ("MST", Piece::ZoneName),
    ("2006", Piece::LongYear),
    ("_2006", Piece::LongYear),
    ("__2", Piece::SpacePaddedDayOfYear),
    ("002", Piece::DayOfYear),
    ("01", Piece::MonthNumber { padded: true }),
    ("02", Piece::Day { padded: true }),
    ("03", Piece::Hour12 { padded: true }),
    ("04", Piece::Minute { padded: true }),
    ("05", Piece::Second { padded: true }),
    ("06", Piece::Year),
    ("15", Piece::Hour),
    ("1", Piece::MonthNumber { padded: false }),
    ("_2", Piece::SpacePaddedDay),
    ("2", Piece::Day { padded: false }),
    ("3", Piece::Hour12 { padded: false }),
    ("4", Piece::Minute { padded: false }),
    ("5", Piece::Second { padded: false }),
    ("PM", Piece::UpperHalfOfDay),
    ("pm", Piece::LowerHalfOfDay),
    ("Z07:00:00", Piece::Offset { zulu: true, colons: true, minutes: true, seconds: true }),
    ("Z070000", Piece::Offset { zulu: true, colons: false, minutes: true, seconds: true }),
    ("Z07:00", Piece::Offset { zulu: true, colons: true, minutes: true, seconds: false }),
    ("Z0700", Piece::Offset { zulu: true, colons: false, minutes: true, seconds: false }),
    ("Z07", Piece::Offset { zulu: true, colons: false, minutes: false, seconds: false }),
    ("-07:00:00", Piece::Offset { zulu: false, colons: true, minutes: true, seconds: true }),
    ("-070000", Piece::Offset { zulu: false, colons: false, minutes: true, seconds: true }),
    ("-07:00", Piece::Offset { zulu: false, colons: true, minutes: true, seconds: false }),
    ("-0700", Piece::Offset { zulu: false, colons: false, minutes: true, seconds: false }),
    ("-07", Piece::Offset { zulu: false, colons: false, minutes: false, seconds: false }),
];

/// What `layout` begins with, and its length.
fn piece(layout: &str) -> Option<(Piece, usize)> {
    let (text, piece) = PIECES.iter().find(|(text, _)| layout.starts_with(text)).copied().or_else(|| {
        let separator = layout.chars().next().filter(|c| *c == '.' || *c == ',')?;
        let digit = layout.get(1..2).filter(|d| *d == "0" || *d == "9")?;
        let digits = layout.len() - 1 - layout.get(1..)?.trim_start_matches(digit).len();
        let after = layout.as_bytes().get(1 + digits);
        let piece = Piece::Fraction { separator, digits, all: digit == "0" };
        (!after.is_some_and(u8::is_ascii_digit)).then_some((layout.get(..=digits)?, piece))
    })?;
    // `January` is a month, `Janet` is not; `_2006` is a year behind an underscore.
    let followed_by_lower = layout.as_bytes().get(text.len()).is_some_and(u8::is_ascii_lowercase);
    if matches!(piece, Piece::Month | Piece::Weekday) && followed_by_lower {
        return None;
    }
    Some((piece, text.len()))
}

/// `Time.Format`
pub(crate) fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let length = match piece(rest) {
            Some((piece, length)) => {
                if rest.starts_with("_2006") {
                    out.push('_');
                }
                push_piece(&mut out, time, piece);
                length
            }
            None => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

fn push_piece(out: &mut String, time: &Zoned, piece: Piece) {
    let month = month_name(i64::from(time.month()));
    let weekday = weekday_name(weekday(time));
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    // Writing to a String cannot fail.
    let _ = match piece {
        Piece::LongMonth => write!(out, "{month}"),
        Piece::Month => write!(out, "{}", month.get(..3).unwrap_or(&month)),
        Piece::MonthNumber { padded } => write_padded(out, time.month(), padded),
        Piece::LongWeekday => write!(out, "{weekday}"),
        Piece::Weekday => write!(out, "{}", weekday.get(..3).unwrap_or(&weekday)),
        Piece::Day { padded } => write_padded(out, time.day(), padded),
        Piece::SpacePaddedDay => write!(out, "{:2}", time.day()),
        Piece::SpacePaddedDayOfYear => write!(out, "{:3}", time.day_of_year()),
        Piece::DayOfYear => write!(out, "{:03}", time.day_of_year()),
        Piece::Hour => write_padded(out, time.hour(), true),
        Piece::Hour12 { padded } => write_padded(out, hour12, padded),
        Piece::Minute { padded } => write_padded(out, time.minute(), padded),
        Piece::Second { padded } => write_padded(out, time.second(), padded),
        Piece::LongYear if time.year() < 0 => write!(out, "-{:04}", time.year().unsigned_abs()),
        Piece::LongYear => write!(out, "{:04}", time.year()),
        Piece::Year => write!(out, "{:02}", time.year().rem_euclid(100)),
        Piece::UpperHalfOfDay => out.write_str(if time.hour() >= 12 { "PM" } else { "AM" }),
        Piece::LowerHalfOfDay => out.write_str(if time.hour() >= 12 { "pm" } else { "am" }),
        Piece::ZoneName => push_zone_name(out, time),
        Piece::Offset { zulu: true, .. } if time.offset().is_zero() => out.write_char('Z'),
        Piece::Offset { colons, minutes, seconds, .. } => push_offset(out, time, colons, minutes, seconds),
        Piece::Fraction { separator, digits, all } => push_fraction(out, time, separator, digits, all),
    };
}

fn write_padded(out: &mut String, number: i8, padded: bool) -> std::fmt::Result {
    if padded { write!(out, "{number:02}") } else { write!(out, "{number}") }
}

fn push_zone_name(out: &mut String, time: &Zoned) -> std::fmt::Result {
    let info = time.time_zone().to_offset_info(time.timestamp());
    match info.abbreviation() {
        // Zones without an abbreviation are called by their offset.
        name if name.starts_with(['+', '-']) => {
            push_offset(out, time, false, time.offset().seconds() % 3600 != 0, false)
        }
        name => out.write_str(name),
    }
}

fn push_offset(
    out: &mut String,
    time: &Zoned,
    colons: bool,
    minutes: bool,
    seconds: bool,
) -> std::fmt::Result {
    let offset = time.offset().seconds();
    let colon = if colons { ":" } else { "" };
    let magnitude = offset.unsigned_abs();
    write!(out, "{}{:02}", if offset < 0 { '-' } else { '+' }, magnitude / 3600)?;
    if minutes {
        write!(out, "{colon}{:02}", magnitude % 3600 / 60)?;
    }
    if seconds {
        write!(out, "{colon}{:02}", magnitude % 60)?;
    }
    Ok(())
}

fn push_fraction(
    out: &mut String,
    time: &Zoned,
    separator: char,
    digits: usize,
    all: bool,
) -> std::fmt::Result {
    let nanos = format!("{:09}", time.subsec_nanosecond());
    let shown = nanos.get(..digits.min(9)).unwrap_or(&nanos);
    let shown = if all { shown } else { shown.trim_end_matches('0') };
    if !shown.is_empty() {
        write!(out, "{separator}{shown}")?;
    }
    Ok(())
}

fn time_of(value: &Value) -> Result<&Zoned, String> {
    match value {
        Value::Time(_, time) => Ok(time),
        _ => Err(format!("{} is not a time", value.type_name())),
    }
}

fn same_kind(time: Zoned) -> Value {
    Value::Time(&TIME, Arc::new(time))
}

fn text_of(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn nanos_of(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Named(_, number) | Value::Int(number)) => *number,
        _ => 0,
    }
}

fn other_time(value: Option<&Value>) -> Result<&Zoned, String> {
    value.map_or_else(|| Err("a time is missing".into()), time_of)
}

const DURATION_TYPE: Type = Type { name: "time.Duration", kind: crate::value::TypeKind::Integer };
const TIME_TYPE: Type = Type::other("time.Time");

macro_rules! methods {
    ($($name:literal ($($parameter:expr),*) => $call:expr),* $(,)?) => {
        &[$(Method { name: $name, parameters: &[$($parameter),*], call: $call }),*]
    };
}

const TIME_METHODS: &[Method] = methods![
    "Add"(DURATION_TYPE) => |value, arguments| {
        let by = SignedDuration::from_nanos(nanos_of(arguments.first()));
        time_of(value)?.checked_add(by).map(same_kind).map_err(|error| error.to_string())
    },
    "AddDate"(Type::INT, Type::INT, Type::INT) => |value, arguments| {
        let [years, months, days] = [0, 1, 2].map(|i| nanos_of(arguments.get(i)));
        let time = time_of(value)?;
        let span = jiff::Span::new().try_years(years).and_then(|s| s.try_months(months)).and_then(|s| s.try_days(days));
        let moved = span.and_then(|span| time.checked_add(span));
        moved.map(same_kind).map_err(|error| error.to_string())
    },
    "After"(TIME_TYPE) => |value, arguments| Ok((time_of(value)?.timestamp() > other_time(arguments.first())?.timestamp()).into()),
    "Before"(TIME_TYPE) => |value, arguments| Ok((time_of(value)?.timestamp() < other_time(arguments.first())?.timestamp()).into()),
    "Equal"(TIME_TYPE) => |value, arguments| Ok((time_of(value)?.timestamp() == other_time(arguments.first())?.timestamp()).into()),
    "Day"() => |value, _| Ok(Value::Int(time_of(value)?.day().into())),
    "Format"(Type::STRING) => |value, arguments| Ok(format(time_of(value)?, text_of(arguments.first())).into()),
    "Hour"() => |value, _| Ok(Value::Int(time_of(value)?.hour().into())),
    "IsZero"() => |value, _| {
        let time = time_of(value)?.timestamp();
        Ok((time.as_second() == ZERO_TIME_SECONDS && time.subsec_nanosecond() == 0).into())
    },
    "Local"() => |value, _| Ok(same_kind(time_of(value)?.with_time_zone(TimeZone::system()))),
    "Minute"() => |value, _| Ok(Value::Int(time_of(value)?.minute().into())),
    "Month"() => |value, _| Ok(Value::Named(&MONTH, time_of(value)?.month().into())),
    "Nanosecond"() => |value, _| Ok(Value::Int(time_of(value)?.subsec_nanosecond().into())),
    "Second"() => |value, _| Ok(Value::Int(time_of(value)?.second().into())),
    "String"() => |value, _| Ok(text(value).into()),
    "Sub"(TIME_TYPE) => |value, arguments| {
        let apart = time_of(value)?.timestamp().duration_since(other_time(arguments.first())?.timestamp());
        let nanos = apart.as_nanos().clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        Ok(Value::Named(&DURATION, nanos))
    },
    "UTC"() => |value, _| Ok(same_kind(time_of(value)?.with_time_zone(TimeZone::UTC))),
    "Unix"() => |value, _| Ok(Value::Int(time_of(value)?.timestamp().as_second())),
    "UnixMicro"() => |value, _| Ok(Value::Int(time_of(value)?.timestamp().as_microsecond())),
    "UnixMilli"() => |value, _| Ok(Value::Int(time_of(value)?.timestamp().as_millisecond())),
    "UnixNano"() => |value, _| Ok(Value::Int(time_of(value)?.timestamp().as_nanosecond() as i64)),
    "Weekday"() => |value, _| Ok(Value::Named(&WEEKDAY, weekday(time_of(value)?))),
    "Year"() => |value, _| Ok(Value::Int(time_of(value)?.year().into())),
    "YearDay"() => |value, _| Ok(Value::Int(time_of(value)?.day_of_year().into())),
];

/// The zero of `time.Time`: the first of January of the year 1.
const ZERO_TIME_SECONDS: i64 = -62_135_596_800;

const DURATION_METHODS: &[Method] = methods![
    "Abs"() => |value, _| Ok(Value::Named(&DURATION, nanos_of(Some(value)).saturating_abs())),
    "Hours"() => |value, _| Ok(in_units(value, 3_600_000_000_000)),
    "Microseconds"() => |value, _| Ok(Value::Int(nanos_of(Some(value)) / 1000)),
    "Milliseconds"() => |value, _| Ok(Value::Int(nanos_of(Some(value)) / 1_000_000)),
    "Minutes"() => |value, _| Ok(in_units(value, 60_000_000_000)),
    "Nanoseconds"() => |value, _| Ok(Value::Int(nanos_of(Some(value)))),
    "Round"(DURATION_TYPE) => |value, arguments| {
        let (nanos, unit) = (nanos_of(Some(value)), nanos_of(arguments.first()));
        if unit <= 0 {
            return Ok(Value::Named(&DURATION, nanos));
        }
        let rest = nanos % unit;
        let away = if rest.unsigned_abs() * 2 >= unit.unsigned_abs() { unit * rest.signum() } else { 0 };
        Ok(Value::Named(&DURATION, (nanos - rest).saturating_add(away)))
    },
    "Seconds"() => |value, _| Ok(in_units(value, 1_000_000_000)),
    "String"() => |value, _| Ok(model::duration::format_go(nanos_of(Some(value))).into()),
    "Truncate"(DURATION_TYPE) => |value, arguments| {
        let (nanos, unit) = (nanos_of(Some(value)), nanos_of(arguments.first()));
        Ok(Value::Named(&DURATION, if unit <= 0 { nanos } else { nanos - nanos % unit }))
    },
];

/// Whole units and the rest apart, so that large durations keep their fraction.
fn in_units(value: &Value, unit: i64) -> Value {
    let nanos = nanos_of(Some(value));
    Value::Float((nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64)
}
