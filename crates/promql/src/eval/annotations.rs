//! Warnings and infos, in Prometheus' words.

use std::collections::BTreeMap;

use model::histogram::QuantileNote;
use model::number;

use crate::ast::Span;

/// What a query's caller should know besides the result. Equal texts are kept once, with the place that gave them
/// last; what is merged keeps the first.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeMap<String, Span>,
    infos: BTreeMap<String, Span>,
    forced: BTreeMap<String, (Span, Forced)>,
    /// Warnings that say how often they were given.
    counted: BTreeMap<String, (Span, u64)>,
}

/// Buckets of a classic histogram that had to be made monotonic, merged over steps and series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forced {
    /// Lowest bound at which the count was raised.
    pub(crate) min_bucket: f64,
    /// Highest bound at which the count was raised.
    pub(crate) max_bucket: f64,
    /// Largest amount.
    pub(crate) max_diff: f64,
    /// First time, in milliseconds.
    pub(crate) min_t: i64,
    /// Last time, in milliseconds.
    pub(crate) max_t: i64,
    /// One less than the "samples" that Prometheus reports, see [`count_as_merged`].
    pub(crate) count: i64,
}

impl Forced {
    /// Widens to what `other` has; the count stays.
    pub(crate) fn merge(&mut self, other: &Forced) {
        self.min_bucket = self.min_bucket.min(other.min_bucket);
        self.max_bucket = self.max_bucket.max(other.max_bucket);
        self.max_diff = self.max_diff.max(other.max_diff);
        self.min_t = self.min_t.min(other.min_t);
        self.max_t = self.max_t.max(other.max_t);
    }
}

impl Annotations {
    pub(crate) fn warn(&mut self, text: String, span: Span) {
        self.warnings.insert(text, span);
    }

    pub(crate) fn info(&mut self, text: String, span: Span) {
        self.infos.insert(text, span);
    }

    pub(crate) fn bad_quantile(&mut self, q: f64, span: Span) {
        self.warn(format!("quantile value should be between 0 and 1, got {}", go_g(q)), span);
    }

    pub(crate) fn bad_ratio(&mut self, ratio: f64, capped: f64, span: Span) {
        self.warn(
            format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                go_g(ratio),
                go_g(capped)
            ),
            span,
        );
    }

    pub(crate) fn bad_bucket_label(&mut self, name: &str, value: &str, span: Span) {
        let text =
            format!("bucket label \"le\" is missing or has a malformed value of {}", number::quote(value));
        self.warn(with_metric_name(text, name), span);
    }

    pub(crate) fn maybe_not_counter(&mut self, name: &str, span: Span) {
        let text = format!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
            number::quote(name)
        );
        self.info(text, span);
    }

    pub(crate) fn not_counter_by_label(&mut self, name: &str, metric_type: &str, span: Span) {
        let text = format!(
            "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
            number::quote(metric_type),
            number::quote(name)
        );
        self.info(text, span);
    }

    pub(crate) fn start_times_overlap(&mut self, name: &str, span: Span, windows: u64) {
        let text = format!(
            "sample has start time that overlaps with previous sample timestamp for metric {}",
            number::quote(name)
        );
        self.counted.entry(text).or_insert((span, 0)).1 += windows;
    }

    pub(crate) fn incompatible_types(&mut self, op: &str, left: &str, right: &str, span: Span) {
        let text = format!(
            "incompatible sample types encountered for binary operator {}: {left} {op} {right}",
            number::quote(op)
        );
        self.info(text, span);
    }

    pub(crate) fn mixed_floats_histograms(&mut self, name: &str, span: Span) {
        let name = number::quote(name);
        self.warn(format!("encountered a mix of histograms and floats for metric name {name}"), span);
    }

    pub(crate) fn mixed_floats_histograms_in_aggregation(&mut self, span: Span) {
        self.warn("encountered a mix of histograms and floats for aggregation".to_owned(), span);
    }

    pub(crate) fn mixed_classic_native(&mut self, name: &str, span: Span) {
        let text = "vector contains a mix of classic and native histograms".to_owned();
        self.warn(with_metric_name(text, name), span);
    }

    pub(crate) fn histogram_not_counter(&mut self, name: &str, span: Span) {
        let name = number::quote(name);
        self.warn(format!("this native histogram metric is not a counter: {name}"), span);
    }

    pub(crate) fn histogram_not_gauge(&mut self, name: &str, span: Span) {
        let name = number::quote(name);
        self.warn(format!("this native histogram metric is not a gauge: {name}"), span);
    }

    pub(crate) fn mixed_schemas(&mut self, name: &str, span: Span) {
        let text = format!(
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
            number::quote(name)
        );
        self.warn(text, span);
    }

    pub(crate) fn incompatible_buckets(&mut self, op: &str, span: Span) {
        self.warn(format!("incompatible bucket layout encountered for binary operator {op}"), span);
    }

    pub(crate) fn histogram_ignored_in_aggregation(&mut self, op: &str, span: Span) {
        self.info(format!("ignored histogram in {op} aggregation"), span);
    }

    pub(crate) fn histograms_ignored_in_range(&mut self, name: &str, span: Span) {
        let text = format!(
            "ignored histograms in a range containing both floats and histograms for metric name {}",
            number::quote(name)
        );
        self.info(text, span);
    }

    /// `operation`: addition, subtraction or aggregation.
    pub(crate) fn reset_collision(&mut self, operation: &str, span: Span) {
        self.warn(format!("conflicting counter resets during histogram {operation}"), span);
    }

    /// `operation`: addition, subtraction or aggregation.
    pub(crate) fn bounds_reconciled(&mut self, operation: &str, span: Span) {
        self.info(format!("mismatched custom buckets were reconciled during {operation}"), span);
    }

    pub(crate) fn quantile_of_nans(&mut self, note: QuantileNote, name: &str, span: Span) {
        let effect = match note {
            QuantileNote::IsNan => "result is NaN",
            QuantileNote::Skewed => "result is skewed higher",
        };
        let text = format!("input to histogram_quantile has NaN observations, {effect}");
        self.info(with_metric_name(text, name), span);
    }

    pub(crate) fn fraction_of_nans(&mut self, name: &str, span: Span) {
        let text = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            .to_owned();
        self.info(with_metric_name(text, name), span);
    }

    pub(crate) fn sort_in_range_query(&mut self, span: Span) {
        let text = "sort is ineffective for range queries since results are always ordered by labels";
        self.warn(text.to_owned(), span);
    }

    pub(crate) fn forced_monotonicity(&mut self, name: &str, span: Span, new: Forced) {
        let text = with_metric_name(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
                .to_owned(),
            name,
        );
        self.forced
            .entry(text)
            .and_modify(|(_, old)| {
                old.merge(&new);
                old.count = old.count.wrapping_add(new.count).wrapping_add(1);
            })
            .or_insert((span, new));
    }

    /// The texts with positions in `query`: warnings and infos.
    pub(crate) fn render(&self, query: &str) -> (Vec<String>, Vec<String>) {
        let place = |span: Span| position(query, span.start as usize);
        let warnings =
            self.warnings.iter().map(|(text, &span)| format!("PromQL warning: {text} ({})", place(span)));
        let counted = self.counted.iter().map(|(text, &(span, times))| {
            let often = if times > 1 { format!(" ({times} occurrences)") } else { String::new() };
            format!("PromQL warning: {text}{often} ({})", place(span))
        });
        let infos = self.infos.iter().map(|(text, &span)| format!("PromQL info: {text} ({})", place(span)));
        let forced = self.forced.iter().map(|(text, (span, f))| {
            format!(
                "PromQL info: {text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({})",
                go_g(f.min_bucket),
                go_g(f.max_bucket),
                two_digits(f.max_diff),
                f.count.wrapping_add(1),
                rfc3339(f.min_t),
                rfc3339(f.max_t),
                place(*span)
            )
        });
        (warnings.chain(counted).collect(), infos.chain(forced).collect())
    }
}

/// The number that Prometheus reports for remarks made `made[i]` times at step `i` of one call. It merges the remark
/// kept so far with itself at every further step, so the number more than doubles each time.
pub(crate) fn count_as_merged(made: &[i64]) -> i64 {
    let mut count = None;
    for &n in made {
        count = match count {
            None if n > 0 => Some(n - 1),
            None => None,
            Some(c) => Some(i64::wrapping_add(c, n).wrapping_mul(2).wrapping_add(1)),
        };
    }
    count.unwrap_or(0)
}

fn with_metric_name(text: String, name: &str) -> String {
    if name.is_empty() { text } else { format!("{text} for metric name {}", number::quote(name)) }
}

/// `line:column`, both from 1, the column in bytes.
fn position(query: &str, at: usize) -> String {
    let before = query.as_bytes().get(..at).unwrap_or(query.as_bytes());
    let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
    format!("{line}:{column}")
}

/// Go's `%g`: an exponent below 1e-4 and from 1e21.
fn go_g(v: f64) -> String {
    number::format_g(v)
}

/// Go's `%.2g`.
fn two_digits(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return go_g(v);
    }
    let scientific = format!("{v:.1e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..2).contains(&exponent) {
        let decimals = usize::try_from(1 - exponent).unwrap_or(0);
        let fixed = format!("{v:.decimals$}");
        return if fixed.contains('.') {
            fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            fixed
        };
    }
    let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn rfc3339(millis: i64) -> String {
    let seconds = millis / 1000;
    let date = super::dates::Date::from_unix(seconds);
    let of_day = seconds.rem_euclid(86_400);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_written_as_go_writes_them() {
        for (v, want) in
            [(480.0, "4.8e+02"), (12.0, "12"), (0.5, "0.5"), (0.00123, "0.0012"), (1e-7, "1e-07")]
        {
            assert_eq!(two_digits(v), want);
        }
    }

    #[test]
    fn merged_remarks_are_counted_as_prometheus_counts_them() {
        for (made, want) in [(vec![1; 17], 196_606), (vec![2; 17], 393_212), (vec![2], 2), (vec![1], 1)] {
            assert_eq!(count_as_merged(&made) + 1, want);
        }
    }

    #[test]
    fn places_count_lines_and_bytes_from_one() {
        assert_eq!(position("rate(m[1m])", 5), "1:6");
        assert_eq!(position("a\n+ b", 4), "2:3");
    }
}
