//! `--enable-feature`: which names do what.

use anyhow::bail;

/// What the enabled features switch on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Features {
    pub(crate) experimental_functions: bool,
    pub(crate) extended_range_selectors: bool,
    pub(crate) binop_fill_modifiers: bool,
    pub(crate) delayed_name_removal: bool,
    pub(crate) per_step_stats: bool,
    pub(crate) use_start_timestamps: bool,
    pub(crate) extra_scrape_metrics: bool,
    pub(crate) delayed_compaction: bool,
    pub(crate) exemplar_storage: bool,
    pub(crate) snapshot_on_shutdown: bool,
    pub(crate) metadata_wal_records: bool,
    pub(crate) type_and_unit_labels: bool,
    pub(crate) start_times: bool,
    pub(crate) start_zeros: bool,
    pub(crate) start_synthesis: bool,
    pub(crate) histogram_start_times: bool,
    pub(crate) xor2: bool,
}

/// On for good in Prometheus 3.14, or without meaning: taken and ignored, as there.
const NO_OPS: [&str; 5] = [
    "promql-duration-expr",
    "native-histograms",
    "ooo-native-histograms",
    "concurrent-rule-eval",
    "promql-at-modifier",
];

/// Known to Prometheus, not yet here: refused, so that nobody believes they are on.
const NOT_YET: [&str; 5] =
    ["auto-reload-config", "old-ui", "otlp-deltatocumulative", "otlp-native-delta-ingestion", "search-api"];

impl Features {
    /// Reads the values of the flag, each a comma-separated list. A name that nobody knows is only warned of, as
    /// Prometheus does.
    pub(crate) fn parse(values: &[String]) -> anyhow::Result<Features> {
        let mut features = Features::default();
        for name in values.iter().flat_map(|v| v.split(',')).map(str::trim).filter(|n| !n.is_empty()) {
            match name {
                "promql-experimental-functions" => features.experimental_functions = true,
                "promql-extended-range-selectors" => features.extended_range_selectors = true,
                "promql-binop-fill-modifiers" => features.binop_fill_modifiers = true,
                "promql-delayed-name-removal" => features.delayed_name_removal = true,
                "promql-per-step-stats" => features.per_step_stats = true,
                "delayed-compaction" => features.delayed_compaction = true,
                "memory-snapshot-on-shutdown" => features.snapshot_on_shutdown = true,
                "exemplar-storage" => features.exemplar_storage = true,
                "metadata-wal-records" => features.metadata_wal_records = true,
                "type-and-unit-labels" => features.type_and_unit_labels = true,
                "st-storage" => features.start_times = true,
                "created-timestamp-zero-ingestion" => features.start_zeros = true,
                "st-synthesis" => features.start_synthesis = true,
                "histograms-st-encoding" => features.histogram_start_times = true,
                "xor2-encoding" => features.xor2 = true,
                "use-start-timestamps" => features.use_start_timestamps = true,
                "extra-scrape-metrics" => features.extra_scrape_metrics = true,
                _ if NO_OPS.contains(&name) => {}
                _ if NOT_YET.contains(&name) => {
                    bail!("--enable-feature={name} is not supported yet: leave it out to start without it")
                }
                _ => tracing::warn!(option = name, "unknown option for --enable-feature"),
            }
        }
        Ok(features)
    }

    /// What a scrape does with the times at which sources began to count.
    pub(crate) fn scraped_start_times(&self) -> scrape::StartTimes {
        if self.start_times {
            scrape::StartTimes::Stored
        } else if self.start_zeros {
            scrape::StartTimes::Zeros
        } else {
            scrape::StartTimes::Ignored
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_from_lists_and_unsupported_ones_refused() {
        let on = Features::parse(&["promql-experimental-functions,promql-per-step-stats".into(), "x".into()]);
        assert!(on.is_ok_and(|f| f.experimental_functions && f.per_step_stats && !f.delayed_name_removal));
        // Each name does something.
        for (name, on) in [
            ("memory-snapshot-on-shutdown", (|f| f.snapshot_on_shutdown) as fn(&Features) -> bool),
            ("exemplar-storage", |f| f.exemplar_storage),
            ("metadata-wal-records", |f| f.metadata_wal_records),
            ("type-and-unit-labels", |f| f.type_and_unit_labels),
            ("delayed-compaction", |f| f.delayed_compaction),
            ("use-start-timestamps", |f| f.use_start_timestamps),
            ("st-synthesis", |f| f.start_synthesis),
        ] {
            assert!(Features::parse(&[name.into()]).is_ok_and(|f| on(&f)), "{name}");
        }
        let refused = Features::parse(&["search-api".into()]);
        assert!(refused.is_err_and(|e| e.to_string().contains("search-api is not supported yet")));
    }
}
