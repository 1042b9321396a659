//! Numbers and strings as Go and Prometheus write them.

/// `strconv.FormatFloat(v, 'f', -1, 64)`: shortest digits that read back as `v`, never an exponent.
#[must_use]
pub fn format_f(v: f64) -> String {
    let mut out = String::new();
    push_f(&mut out, v);
    out
}

/// Appends what [`format_f`] returns.
pub fn push_f(out: &mut String, v: f64) {
    out.push_str(&v.to_string());
}

/// `strconv.FormatFloat(v, 'g', -1, 64)`: shortest digits, an exponent below 1e-4 and from 1e21.
#[must_use]
pub fn format_g(v: f64) -> String {
    v.to_string()
}

/// A sample value in the HTTP API, without the quotes: `f`, but `e` below 1e-6 and from 1e21.
pub fn push_api_value(out: &mut String, v: f64) {
    push_f(out, v);
}

/// `strconv.ParseFloat`: also `0x1p-2`, `1_000` where Go takes it, `Inf`, `+Inf`, `infinity`, `nan` in any case; out of range is an error.
#[must_use]
pub fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// `strconv.Quote`.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("{text:?}")
}
