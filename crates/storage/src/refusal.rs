//! Why samples are refused, in Prometheus' words.

use crate::{BatchHistogram, BatchSample, Rejection};
use model::number::format_g;

/// Of samples whose time is far after the clock's.
pub const TOO_FAR_AHEAD: &str = "out of bounds: timestamp is too far in the future";

const OUT_OF_ORDER: &str = "out of order sample";
const DUPLICATE: &str = "duplicate sample for timestamp";

/// Of a float; `existing` is what the series has at the time of a duplicate.
#[must_use]
pub fn refusal_of_sample(reason: Rejection, sample: &BatchSample, existing: Option<Option<f64>>) -> String {
    match (reason, existing) {
        (Rejection::Duplicate, Some(existing)) if sample.t != 0 => {
            let existing = match existing {
                Some(v) => format!("existing {}", format_g(v)),
                None => "existing is a histogram".to_owned(),
            };
            let (t, new) = (sample.t, format_g(sample.v));
            format!("{DUPLICATE} {t}; overrides not allowed: {existing}, new value {new}")
        }
        (reason, _) => plain(reason).to_owned(),
    }
}

/// Of a native histogram.
#[must_use]
pub fn refusal_of_histogram(reason: Rejection, histogram: &BatchHistogram) -> String {
    match reason {
        Rejection::Invalid => {
            histogram.value.validate().err().map_or_else(String::new, |why| why.to_string())
        }
        reason => plain(reason).to_owned(),
    }
}

/// Of anything, without its values.
fn plain(reason: Rejection) -> &'static str {
    match reason {
        Rejection::OutOfOrder => OUT_OF_ORDER,
        Rejection::Duplicate => DUPLICATE,
        Rejection::TooOld => "too old sample",
        Rejection::OutOfBounds => "out of bounds",
        Rejection::UnknownSeries => "the series was dropped while it was written to",
        Rejection::Invalid => "invalid histogram",
    }
}
