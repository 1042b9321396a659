//! A request as the handlers see it: method, path, headers, and the parameters of query string and form together.

use std::num::IntErrorKind;

use http::{HeaderMap, Method};
use httpserver::Access;

use crate::Api;
use crate::reply::ApiError;
use crate::view::View;

/// A request whose body has been read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Percent-encoded, without the route prefix.
    pub(crate) path: String,
    /// As sent, without the question mark.
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    /// Who sent it, where that is known.
    pub(crate) client: Option<std::net::IpAddr>,
    pub(crate) params: Params,
    /// What the caller may see.
    pub(crate) access: Access,
    /// What the route's `:name` or `*rest` stands for, percent-decoded.
    pub(crate) path_param: String,
    /// The body, of those requests whose body is neither a form nor nothing.
    pub(crate) body: crate::bodies::Body,
}

impl Request {
    /// The series that the caller may see.
    pub(crate) fn view(&self, api: &Api) -> View {
        View::new(api, &self.access)
    }

    /// The value of a header, empty when it is missing or not text.
    pub(crate) fn header(&self, name: http::header::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

/// Pairs of a form or a query string, as Go has it: none is read of one that has more.
const MAX_PAIRS: usize = 10_000;

/// Parameters in order: those of a form body first, then those of the query string, as Go's `Request.Form` has them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// What is wrong with the first pair that was left out.
    flaw: Option<String>,
}

impl Params {
    pub(crate) fn parse(form: &[u8], query: &str) -> Params {
        let mut params = Params::default();
        let few = |text: &&[u8]| text.iter().filter(|b| **b == b'&').count() < MAX_PAIRS;
        let texts = [form, query.as_bytes()];
        if !texts.iter().all(few) {
            params.flaw = Some("number of URL query parameters exceeded limit".to_owned());
        }
        let pairs = texts.into_iter().filter(few).flat_map(|text| text.split(|b| *b == b'&'));
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            match parse_pair(pair) {
                Ok(pair) => params.pairs.push(pair),
                Err(flaw) => {
                    params.flaw.get_or_insert(flaw);
                }
            }
        }
        params
    }

    /// Refuses a form or query string of which a part could not be read; elsewhere that part is passed over.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let flaw = |flaw: &String| Err(ApiError::bad_data(format!("error parsing form values: {flaw}")));
        self.flaw.as_ref().map_or(Ok(()), flaw)
    }

    /// What is wrong with the first part that could not be read.
    pub(crate) fn flaw(&self) -> Option<&str> {
        self.flaw.as_deref()
    }

    /// All names and values, in their order.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The first value of a parameter, empty when it is missing.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| n == name)
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `limit`: 0 stands for none.
    pub(crate) fn limit(&self, name: &str) -> Result<usize, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(0);
        }
        match text.parse::<i64>() {
            Ok(n) if n < 0 => Err(ApiError::invalid(name, "limit must be non-negative")),
            Ok(n) => Ok(usize::try_from(n).unwrap_or(usize::MAX)),
            Err(e) => {
                let why = match e.kind() {
                    IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                let quoted = model::number::quote(text);
                Err(ApiError::invalid(name, &format!("strconv.Atoi: parsing {quoted}: {why}")))
            }
        }
    }

    /// A time in milliseconds, or `default` when the parameter is missing or empty.
    pub(crate) fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        self.plain_time_or(name, default).map_err(|e| ApiError::invalid(name, &e.message))
    }

    /// The same, whose error does not name the parameter a second time.
    pub(crate) fn plain_time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default);
        }
        parse_time(text).map_err(|e| ApiError::bad_data(format!("invalid time value for '{name}': {e}")))
    }

    /// A time in milliseconds that must be there.
    pub(crate) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|e| ApiError::invalid(name, &e))
    }
}

/// `name=value`, decoded.
fn parse_pair(pair: &[u8]) -> Result<(String, String), String> {
    if pair.contains(&b';') {
        return Err("invalid semicolon separator in query".to_owned());
    }
    let end = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
    let value = pair.get(end + 1..).unwrap_or_default();
    Ok((unescape(&pair[..end])?, unescape(value)?))
}

/// Percent-decoded, with spaces for plus signs. What is then no UTF-8 is replaced.
fn unescape(text: &[u8]) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |b: &u8| char::from(*b).to_digit(16).unwrap_or(0);
                out.push((digit(high) << 4 | digit(low)) as u8);
                rest = after;
            }
            (b'%', _) => {
                let shown = [b"%", &after[..after.len().min(2)]].concat();
                let shown = model::number::quote(&String::from_utf8_lossy(&shown));
                return Err(format!("invalid URL escape {shown}"));
            }
            (byte, _) => out.push(*byte),
        }
    }
    Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The earliest and latest times that Prometheus lets clients name, as RFC 3339 text.
const MIN_TIME: &str = "-292273086-05-16T16:47:06Z";
const MAX_TIME: &str = "292277025-08-18T07:12:54.999999999Z";
/// By so many seconds they are nearer than what 64 bits of milliseconds hold: from the year 1 to 1970, and one.
const YEARS_BEFORE_1970: i64 = 62_135_596_801;

/// A float in seconds, or RFC 3339, as milliseconds since the Unix epoch.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = model::number::parse_float(text) {
        return Ok(millis_of_seconds(seconds));
    }
    if text == MIN_TIME {
        return Ok((i64::MIN / 1000 + YEARS_BEFORE_1970) * 1000);
    }
    if text == MAX_TIME {
        return Ok((i64::MAX / 1000 - YEARS_BEFORE_1970) * 1000 + 999);
    }
    model::timestamp::parse_rfc3339(text)
        .ok_or_else(|| format!("cannot parse {} to a valid timestamp", model::number::quote(text)))
}

/// What is no number of seconds is the earliest time, and what 64 bits do not hold wraps round, as Go's conversion has it.
fn millis_of_seconds(seconds: f64) -> i64 {
    if !seconds.is_finite() {
        return i64::MIN;
    }
    let whole = seconds.trunc();
    let fraction = ((seconds - whole) * 1000.0).round() / 1000.0;
    let seconds = if whole.abs() < -(i64::MIN as f64) { whole as i64 } else { i64::MIN };
    seconds.wrapping_mul(1000).wrapping_add((fraction * 1e9) as i64 / 1_000_000)
}

/// The time at which a query for this one is evaluated. Prometheus' engine takes it by way of nanoseconds of 64 bits:
/// times before 1678 and after 2262 wrap round, and clients see the wrapped ones.
pub(crate) fn evaluation_time(millis: i64) -> i64 {
    if millis == i64::MIN {
        return i64::MIN / 1_000_000;
    }
    millis.wrapping_mul(1_000_000) / 1_000_000
}

/// A float in seconds or a Prometheus duration, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let quoted = || model::number::quote(text);
    if let Some(seconds) = model::number::parse_float(text) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quoted()));
        }
        return Ok(nanos as i64);
    }
    model::duration::parse(text)
        .map(|millis| millis.saturating_mul(1_000_000))
        .map_err(|_| format!("cannot parse {} to a valid duration", quoted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_floats_or_rfc3339() {
        let cases = [
            ("1700002800", Ok(1_700_002_800_000)),
            ("1700002800.1234567", Ok(1_700_002_800_123)),
            ("-62135596800", Ok(-62_135_596_800_000)),
            ("9999999999", Ok(9_999_999_999_000)),
            ("9999-12-31T23:59:59Z", Ok(253_402_300_799_000)),
            ("NaN", Ok(i64::MIN)),
            ("-Inf", Ok(i64::MIN)),
            ("1e300", Ok(0)),
            ("-1e19", Ok(0)),
            ("9e18", Ok(-2_011_107_970_261_188_608)),
            ("1e18", Ok(3_875_820_019_684_212_736)),
            ("-292273086-05-16T16:47:06Z", Ok(-9_223_309_901_257_974_000)),
            ("2023-11-14T23:00:00Z", Ok(1_700_002_800_000)),
            ("2023-11-14T23:00:00.123+02:00", Ok(1_699_995_600_123)),
            ("2023-11-14", Err("cannot parse \"2023-11-14\" to a valid timestamp".to_owned())),
            ("", Err("cannot parse \"\" to a valid timestamp".to_owned())),
        ];
        for (text, want) in cases {
            assert_eq!(parse_time(text), want, "{text}");
        }
    }

    #[test]
    fn far_off_times_are_evaluated_at_others() {
        for (time, want) in [
            (1_700_002_800_123, 1_700_002_800_123),
            (-1, -1),
            (9_223_372_036_854, 9_223_372_036_854),
            (-62_135_596_800_000, -6_795_364_578_871),
            (253_402_300_799_000, -4_852_116_232_933),
            (i64::MIN, -9_223_372_036_854),
        ] {
            assert_eq!(evaluation_time(time), want, "{time}");
        }
    }

    #[test]
    fn durations_are_floats_or_prometheus_durations() {
        let overflow = "cannot parse \"9223372036854775807\" to a valid duration. It overflows int64";
        let cases = [
            ("0.5", Ok(500_000_000)),
            ("1m30s", Ok(90_000_000_000)),
            ("9223372036854775807", Err(overflow.to_owned())),
            ("-1s", Err("cannot parse \"-1s\" to a valid duration".to_owned())),
            ("", Err("cannot parse \"\" to a valid duration".to_owned())),
        ];
        for (text, want) in cases {
            assert_eq!(parse_duration(text), want, "{text}");
        }
    }

    #[test]
    fn form_parameters_come_before_those_of_the_query_string() {
        let params = Params::parse(b"query=a+b", "query=c&match[]=x&match%5B%5D=y");
        assert_eq!(params.get("query"), "a b");
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert!(params.limit("limit").is_ok_and(|n| n == 0));
        assert!(params.check().is_ok());
    }

    #[test]
    fn nothing_is_read_of_a_form_or_query_string_of_more_than_10000_pairs() {
        let of = |pairs: usize| vec!["a"; pairs].join("&");
        assert_eq!(Params::parse(of(10_000).as_bytes(), "b").pairs.len(), 10_001);
        let params = Params::parse(of(10_001).as_bytes(), "b=1");
        assert_eq!((params.get("b"), params.pairs.len()), ("1", 1));
        let told = params.check().map_err(|e| e.message);
        assert_eq!(
            told,
            Err("error parsing form values: number of URL query parameters exceeded limit".into())
        );
    }

    #[test]
    fn what_cannot_be_read_of_a_form_is_left_out_and_told() {
        for (form, left, flaw) in [
            ("a=1&b=%zz&c=3", "a=1 c=3", r#"invalid URL escape "%zz""#),
            ("a=1&b=%4", "a=1", r#"invalid URL escape "%4""#),
            ("a=1;b=2&c=%", "", "invalid semicolon separator in query"),
            ("%=1&a=b=c&=&d&a=%ff", "a=b=c = d= a=\u{fffd}", r#"invalid URL escape "%""#),
        ] {
            let params = Params::parse(form.as_bytes(), "");
            let pairs: Vec<String> = params.pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!(pairs.join(" "), left, "{form}");
            let told = params.check().map_err(|e| e.message);
            assert_eq!(told, Err(format!("error parsing form values: {flaw}")), "{form}");
        }
    }
}
