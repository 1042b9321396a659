//! Which names labels and metrics may have.

use crate::{is_legacy_label_name, is_legacy_metric_name};

/// The rule that label and metric names are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ValidationScheme {
    /// Any UTF-8 text that is not empty.
    #[default]
    Utf8,
    /// ASCII letters, digits and underscores (and colons in metric names), not starting with a digit.
    Legacy,
}

impl ValidationScheme {
    /// Whether a label may have this name.
    #[must_use]
    pub fn is_valid_label_name(self, name: &str) -> bool {
        match self {
            ValidationScheme::Utf8 => !name.is_empty(),
            ValidationScheme::Legacy => is_legacy_label_name(name),
        }
    }

    /// Whether a metric may have this name.
    #[must_use]
    pub fn is_valid_metric_name(self, name: &str) -> bool {
        match self {
            ValidationScheme::Utf8 => !name.is_empty(),
            ValidationScheme::Legacy => is_legacy_metric_name(name),
        }
    }

    /// As written in the configuration file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ValidationScheme::Utf8 => "utf8",
            ValidationScheme::Legacy => "legacy",
        }
    }
}
