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
    pub(crate) search: bool,
    pub(crate) concurrent_rules: bool,
    /// Also set by `--config.auto-reload`.
    pub(crate) auto_reload: bool,
    pub(crate) otlp_deltas: otlp::Deltas,
}

/// On for good in Prometheus 3.14, or without meaning: taken and ignored, as there.
const NO_OPS: [&str; 4] =
    ["promql-duration-expr", "native-histograms", "ooo-native-histograms", "promql-at-modifier"];

/// Known to Prometheus, not yet here: refused, so that nobody believes they are on.
const NOT_YET: [&str; 1] = ["old-ui"];

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
                "auto-reload-config" => features.auto_reload = true,
                "delayed-compaction" => features.delayed_compaction = true,
                "memory-snapshot-on-shutdown" => features.snapshot_on_shutdown = true,
                "exemplar-storage" => features.exemplar_storage = true,
                "metadata-wal-records" => features.metadata_wal_records = true,
                "type-and-unit-labels" => features.type_and_unit_labels = true,
                "st-storage" => features.start_times = true,
                "created-timestamp-zero-ingestion" => features.start_zeros = true,
                "st-synthesis" => features.start_synthesis = true,
                "histograms-st-encoding" => features.histogram_start_times = true,
                "otlp-deltatocumulative" => features.set_deltas(otlp::Deltas::Summed)?,
                "otlp-native-delta-ingestion" => features.set_deltas(otlp::Deltas::Stored)?,
                "search-api" => features.search = true,
                "concurrent-rule-eval" => features.concurrent_rules = true,
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

    fn set_deltas(&mut self, deltas: otlp::Deltas) -> anyhow::Result<()> {
        if ![otlp::Deltas::Refused, deltas].contains(&self.otlp_deltas) {
            bail!(
                "cannot enable otlp-deltatocumulative and otlp-native-delta-ingestion features at the same time"
            );
        }
        self.otlp_deltas = deltas;
        Ok(())
    }

    /// What the program can do beside the API and the language, as `/api/v1/features` lists it.
    pub(crate) fn listed(&self, agent: bool) -> Vec<api::Feature> {
        let feature = |area, name, enabled| api::Feature { area, name, enabled };
        let mut all = vec![
            feature("otlp_receiver", "delta_conversion", self.otlp_deltas == otlp::Deltas::Summed),
            feature("otlp_receiver", "native_delta_ingestion", self.otlp_deltas == otlp::Deltas::Stored),
            feature("prometheus", "agent_mode", agent),
            feature("prometheus", "auto_reload_config", self.auto_reload),
            feature("prometheus", "server_mode", !agent),
            feature("rules", "concurrent_rule_eval", self.concurrent_rules && !agent),
            feature("rules", "keep_firing_for", !agent),
            feature("rules", "query_offset", !agent),
            // Which jobs have them, the configuration says.
            feature("scrape", "extra_scrape_metrics", true),
            feature("scrape", "start_timestamp_zero_ingestion", self.start_zeros),
            feature("scrape", "type_and_unit_labels", self.type_and_unit_labels),
            feature("service_discovery_providers", "aws", true),
            feature("tsdb", "delayed_compaction", self.delayed_compaction),
            feature("tsdb", "exemplar_storage", self.exemplar_storage),
            feature("tsdb", "histograms_st_encoding", self.histogram_start_times),
            feature("tsdb", "isolation", true),
            feature("tsdb", "native_histograms", true),
            feature("tsdb", "st_storage", self.start_times),
            feature("tsdb", "use_uncached_io", false),
            feature("tsdb", "xor2_encoding", self.xor2),
        ];
        if self.metadata_wal_records {
            all.push(feature("tsdb", "metadata_wal_records", true));
        }
        if self.start_synthesis {
            all.push(feature("scrape", "st-synthesis", true));
        }
        let mechanisms = discovery::ProviderOptions::MECHANISMS.iter();
        all.extend(mechanisms.map(|name| feature("service_discovery_providers", name, true)));
        all
    }

    /// Which parts of PromQL are on.
    pub(crate) fn expressions(&self) -> promql::ParseOptions {
        promql::ParseOptions {
            experimental_functions: self.experimental_functions,
            extended_range_selectors: self.extended_range_selectors,
            binop_fill_modifiers: self.binop_fill_modifiers,
            ..Default::default()
        }
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
            ("search-api", |f| f.search),
            ("concurrent-rule-eval", |f| f.concurrent_rules),
        ] {
            assert!(Features::parse(&[name.into()]).is_ok_and(|f| on(&f)), "{name}");
        }
        let refused = Features::parse(&["old-ui".into()]);
        assert!(refused.is_err_and(|e| e.to_string().contains("old-ui is not supported yet")));
    }
}
