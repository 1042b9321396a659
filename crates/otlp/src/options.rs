//! What a receiver is told, at start and by the configuration.

use std::collections::HashSet;

use crate::names::Naming;

/// What becomes of deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Deltas {
    /// They are refused.
    #[default]
    Refused,
    /// They are added up (`--enable-feature=otlp-deltatocumulative`).
    Summed,
    /// They are stored as they are (`--enable-feature=otlp-native-delta-ingestion`).
    Stored,
}

/// What holds as long as the process.
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// What becomes of deltas.
    pub deltas: Deltas,
    /// How far back queries look, in milliseconds: samples of `target_info` are at most half of it apart.
    pub lookback_delta: i64,
    /// Type and unit become labels (`--enable-feature=type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// A zero is stored at the time at which counting began (`--enable-feature=created-timestamp-zero-ingestion`).
    pub start_zeros: bool,
    /// The time at which counting began is stored (`--enable-feature=st-storage`).
    pub start_times: bool,
    /// What is said about metrics goes to the log (`--enable-feature=metadata-wal-records`).
    pub metadata: bool,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        ReceiverOptions {
            deltas: Deltas::Refused,
            lookback_delta: 5 * 60 * 1000,
            type_and_unit_labels: false,
            start_zeros: false,
            start_times: false,
            metadata: false,
        }
    }
}

/// Attributes of resources that become labels of all their series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promoted {
    /// These.
    Only(HashSet<String>),
    /// All but these.
    AllBut(HashSet<String>),
}

/// How metrics are translated: `otlp` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// What becomes of names.
    pub naming: Naming,
    /// Attributes of resources that become labels.
    pub promoted: Promoted,
    /// What `job` and `instance` are made of stays in `target_info` too.
    pub keep_identifying: bool,
    /// Histograms with bounds become native ones.
    pub custom_buckets: bool,
    /// Name, version, schema and attributes of the scope become labels.
    pub promote_scope: bool,
}

impl Default for Translation {
    fn default() -> Self {
        Translation {
            naming: Naming { suffixes: true, utf8: false, key_prefix: true, keep_underscores: true },
            promoted: Promoted::Only(HashSet::new()),
            keep_identifying: false,
            custom_buckets: false,
            promote_scope: false,
        }
    }
}
