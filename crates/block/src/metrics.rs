//! Metrics about blocks, Prometheus' names where it has the thing.

use exposition::{Counter, Gauge, Registry};

/// Handles of all metrics of blocks.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) loaded: Gauge,
    pub(crate) bytes: Gauge,
    pub(crate) symbol_bytes: Gauge,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Counter,
    pub(crate) set_aside: Gauge,
    pub(crate) damaged_reads: Counter,
    pub(crate) chunks_skipped: Counter,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn register(r: &Registry) -> Self {
        Metrics {
            loaded: r.gauge("prometheus_tsdb_blocks_loaded", "Number of currently loaded data blocks"),
            bytes: r.gauge(
                "prometheus_tsdb_storage_blocks_bytes",
                "The number of bytes that are currently used for local storage by all blocks.",
            ),
            symbol_bytes: r.gauge(
                "prometheus_tsdb_symbol_table_size_bytes",
                "Size of symbol table in memory for loaded blocks",
            ),
            reloads: r.counter(
                "prometheus_tsdb_reloads_total",
                "Number of times the database reloaded block data from disk.",
            ),
            reload_failures: r.counter(
                "prometheus_tsdb_reloads_failures_total",
                "Number of times the database failed to reloadBlocks block data from disk.",
            ),
            set_aside: r.gauge(
                "binnacle_tsdb_blocks_set_aside",
                "Blocks of the data directory that are not served because they are damaged.",
            ),
            damaged_reads: r.counter(
                "binnacle_tsdb_block_damaged_reads_total",
                "Chunks, series and postings of blocks that could not be read because they are damaged.",
            ),
            chunks_skipped: r.counter(
                "binnacle_tsdb_block_chunks_skipped_total",
                "Chunks of blocks that were not read because their encoding is not known.",
            ),
        }
    }
}
