//! The vocabulary that every other crate speaks: labels, matchers, samples, relabelling, time and number text.
//!
//! Nothing here does I/O, spawns a thread or knows an async runtime.

mod api_value;
pub mod duration;
pub mod go_json;
pub mod go_url;
pub mod histogram;
mod labels;
pub mod letter_case;
mod matcher;
mod names;
pub mod number;
mod printable;
mod regex;
pub mod relabel;
mod sample;
pub mod size;
pub mod timestamp;

pub use histogram::FloatHistogram;
pub use labels::{
    Labels, LabelsBuilder, METRIC_NAME, METRIC_TYPE, METRIC_UNIT, SortedLabels, describes_metric,
    is_legacy_label_name, is_legacy_metric_name,
};
pub use matcher::{MatchOp, Matcher};
pub use names::ValidationScheme;
pub use regex::{Captures, Regex, RegexError, Search};
pub use sample::{STALE_NAN, Sample, is_stale};
