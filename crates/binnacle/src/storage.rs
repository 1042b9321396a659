//! What the configuration says about the storage, put in force.

use config::{Bytes, Config, Millis, Retention};
use model::number::format_g;
use model::{duration, size};
use tsdb::FloatEncoding;

use crate::storage_flags::{StorageOptions, longest_block};
use crate::wiring::Options;

/// Exemplars that are kept where the file does not say.
pub(crate) const DEFAULT_EXEMPLARS: i64 = 100_000;

/// What the flags say about how long and how much is kept, as the configuration has it.
pub(crate) fn flagged_retention(options: &StorageOptions) -> Retention {
    let retention = &options.db.retention;
    let millis = i64::try_from(retention.time.as_millis()).unwrap_or(i64::MAX);
    let bytes = i64::try_from(retention.bytes).unwrap_or(i64::MAX);
    Retention { time: Millis(millis), size: Bytes(bytes), ..Retention::default() }
}

/// Whether what the file says about encodings goes with the features that are on, in Prometheus' words.
pub(crate) fn check(options: &StorageOptions, config: &Config) -> Result<(), &'static str> {
    let tsdb = config.document().storage.tsdb.as_ref();
    match tsdb.map_or("", |tsdb| tsdb.chunk_encoding.floats.as_str()) {
        "xor2" if !options.xor2 => Err(
            "'storage.tsdb.chunk_encoding.floats: xor2' requires the xor2-encoding feature flag to be enabled at startup",
        ),
        "xor" if options.db.head.start_times => Err(
            "'storage.tsdb.chunk_encoding.floats: xor' is incompatible with st-storage; XOR chunks do not store start timestamps",
        ),
        _ => Ok(()),
    }
}

/// What of the configuration must be known before the storage is opened, and holds until it is closed.
pub(crate) fn complete(options: &mut Options, config: &Config) {
    let tsdb = config.document().storage.tsdb.clone().unwrap_or_default();
    let storage = &mut options.storage;
    let head = &mut storage.db.head;
    head.out_of_order_window = tsdb.out_of_order_time_window.into();
    if let Some(agent) = &mut options.agent {
        agent.out_of_order_window = tsdb.out_of_order_time_window.into();
    }
    head.float_encoding = float_encoding(storage.xor2, &tsdb.chunk_encoding.floats);
    head.max_exemplars = max_exemplars(config);
    let longest = storage.max_block.unwrap_or_else(|| longest_block(config.retention_time()));
    storage.db.max_block = longest;
    for (name, value) in &mut options.flags {
        if name == "storage.tsdb.max-block-duration" {
            *value = duration::format(i64::try_from(longest.as_millis()).unwrap_or(i64::MAX));
        }
    }
}

/// How far behind samples may be.
pub(crate) fn out_of_order_window(config: &Config) -> std::time::Duration {
    config
        .document()
        .storage
        .tsdb
        .as_ref()
        .map_or_else(Default::default, |tsdb| tsdb.out_of_order_time_window.into())
}

/// What the file says goes before the feature flag.
fn float_encoding(xor2: bool, floats: &str) -> FloatEncoding {
    match floats {
        "xor" => FloatEncoding::Xor,
        _ if xor2 => FloatEncoding::Xor2,
        _ => FloatEncoding::Xor,
    }
}

fn max_exemplars(config: &Config) -> usize {
    let exemplars = &config.document().storage.exemplars;
    let max = exemplars.as_ref().map_or(DEFAULT_EXEMPLARS, |exemplars| exemplars.max_exemplars);
    usize::try_from(max).unwrap_or(0)
}

/// Puts the section `storage` in force.
pub(crate) fn apply(db: &tsdb::Db, options: &StorageOptions, config: &Config) {
    let tsdb = config.document().storage.tsdb.clone().unwrap_or_default();
    if let Err(error) = db.head().set_out_of_order_window(tsdb.out_of_order_time_window.into()) {
        tracing::error!(err = error.to_string(), "The out-of-order time window stays as it was");
    }
    db.head().set_max_exemplars(max_exemplars(config));
    db.head().set_float_encoding(float_encoding(options.xor2, &tsdb.chunk_encoding.floats));
    db.set_stale_series_threshold(tsdb.stale_series_compaction_threshold);
    let retention = config.retention();
    let rules = retention
        .rules
        .into_iter()
        .map(|rule| tsdb::RetentionRule { matchers: rule.selector.matchers, time: rule.time.into() });
    db.set_retention(tsdb::Retention {
        time: retention.time.into(),
        bytes: u64::try_from(retention.size.0).unwrap_or(0),
        percentage: retention.percentage,
        rules: rules.collect(),
    });
}

/// How long and how much is kept, for people: `15d or 10GiB`.
pub(crate) fn shown_retention(retention: &Retention) -> String {
    let mut limits = Vec::new();
    if retention.time.0 != 0 {
        limits.push(duration::format(retention.time.0));
    }
    if retention.size.0 != 0 {
        limits.push(size::format(retention.size.0));
    }
    if retention.percentage > 0.0 {
        limits.push(format!("{}%", format_g(retention.percentage)));
    }
    limits.join(" or ")
}
