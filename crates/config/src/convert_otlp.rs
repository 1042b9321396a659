//! `otlp` to the options of the receiver.

use otlp::{Naming, Promoted, Translation};

use crate::sections::Otlp;

impl Otlp {
    /// How metrics are translated.
    #[must_use]
    pub fn to_translation(&self) -> Translation {
        let strategy = self.translation_strategy.0.as_str();
        let promoted = match self.promote_all_resource_attributes {
            true => Promoted::AllBut(self.ignore_resource_attributes.iter().cloned().collect()),
            false => Promoted::Only(self.promote_resource_attributes.iter().cloned().collect()),
        };
        Translation {
            naming: Naming {
                suffixes: matches!(strategy, "UnderscoreEscapingWithSuffixes" | "NoUTF8EscapingWithSuffixes"),
                utf8: !matches!(
                    strategy,
                    "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes"
                ),
                key_prefix: self.label_name_underscore_sanitization,
                keep_underscores: self.label_name_preserve_multiple_underscores,
            },
            promoted,
            keep_identifying: self.keep_identifying_resource_attributes,
            custom_buckets: self.convert_histograms_to_nhcb,
            promote_scope: self.promote_scope_metadata,
        }
    }
}
