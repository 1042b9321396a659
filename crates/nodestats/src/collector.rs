//! What a collector is, and how it fails.

use std::io;
use std::path::PathBuf;

use exposition::{Family, MetricKind};
use model::Labels;

/// One subject of the machine: reads it and appends its families.
pub(crate) trait Collector: Send {
    /// Appends the present values to `out`. What was appended before an error stays on the page.
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError>;
}

/// Why a collector has nothing, or not everything, to say.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// This machine does not have the subject: nothing to worry about.
    #[error("collector returned no data")]
    NoData,
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not have the form that its kernel documentation gives.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The kernel refused a call that takes no file.
    #[error("{call}: {source}")]
    Call {
        /// The call's name.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl CollectError {
    /// Whether it is that the file does not exist.
    pub(crate) fn is_missing_file(&self) -> bool {
        matches!(self, CollectError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A family of one value without labels.
pub(crate) fn single(
    name: impl Into<String>,
    help: impl Into<String>,
    kind: MetricKind,
    value: f64,
) -> Family {
    Family::new(name, help, kind).with(Labels::empty(), value)
}
