//! `global` and `runtime`.

use std::collections::BTreeMap;

use model::number::quote;

use super::scrape::{Protocol, check_protocols, protobuf_first};
use crate::decode::{Invalid, Section, invalid_at, section};
use crate::kinds::{Bytes, FilePath, Millis, NameScheme};
use crate::load::FeatureDefaults;

section! {
    /// What holds for all jobs and rules that do not say otherwise.
    Global "config.GlobalConfig" "config.plain" {
        /// How often targets are scraped.
        scrape_interval: Millis = "scrape_interval",
        /// How long a scrape may take.
        scrape_timeout: Millis = "scrape_timeout",
        /// The formats to ask for, most wanted first.
        scrape_protocols: Option<Vec<Protocol>> = "scrape_protocols",
        /// How often rules are evaluated.
        evaluation_interval: Millis = "evaluation_interval",
        /// How far rules look back.
        rule_query_offset: Millis = "rule_query_offset",
        /// Where queries are logged.
        query_log_file: FilePath = "query_log_file",
        /// Where failed scrapes are logged.
        scrape_failure_log_file: FilePath = "scrape_failure_log_file",
        /// Labels for the outside world.
        external_labels: BTreeMap<String, String> = "external_labels",
        /// Longest page.
        body_size_limit: Bytes = "body_size_limit",
        /// Most samples of a page.
        sample_limit: usize = "sample_limit",
        /// Most targets of a job.
        target_limit: usize = "target_limit",
        /// Most labels of a series.
        label_limit: usize = "label_limit",
        /// Longest name of a label.
        label_name_length_limit: usize = "label_name_length_limit",
        /// Longest value of a label.
        label_value_length_limit: usize = "label_value_length_limit",
        /// How many dropped targets are remembered.
        keep_dropped_targets: usize = "keep_dropped_targets",
        /// Which names are valid.
        metric_name_validation_scheme: NameScheme = "metric_name_validation_scheme",
        /// How other names are to be escaped.
        metric_name_escaping_scheme: String = "metric_name_escaping_scheme",
        /// Take native histograms.
        scrape_native_histograms: Option<bool> = "scrape_native_histograms",
        /// Make native histograms of classic ones.
        convert_classic_histograms_to_nhcb: bool = "convert_classic_histograms_to_nhcb",
        /// Take classic histograms beside native ones.
        always_scrape_classic_histograms: bool = "always_scrape_classic_histograms",
        /// Further series about each scrape.
        extra_scrape_metrics: Option<bool> = "extra_scrape_metrics",
    }
}

impl Global {
    /// What holds when there is no `global`, or an empty one.
    pub(crate) fn standard() -> Self {
        Global {
            scrape_interval: Millis(60_000),
            scrape_timeout: Millis(10_000),
            evaluation_interval: Millis(60_000),
            metric_name_validation_scheme: NameScheme(Some(model::ValidationScheme::Utf8)),
            metric_name_escaping_scheme: "allow-utf-8".into(),
            scrape_native_histograms: Some(false),
            extra_scrape_metrics: Some(false),
            ..Global::default()
        }
    }

    /// Changes defaults of what was not `written`.
    pub(crate) fn take_defaults(&mut self, features: FeatureDefaults, written: impl Fn(&str) -> bool) {
        if features.extra_scrape_metrics && !written("extra_scrape_metrics") {
            self.extra_scrape_metrics = Some(true);
        }
        if features.protobuf_first && !written("scrape_protocols") {
            self.scrape_protocols = Some(protobuf_first());
        }
    }
}

impl Section for Global {
    fn check(&mut self) -> Result<(), Invalid> {
        let standard = Global::standard();
        let scheme = self.metric_name_validation_scheme.0.unwrap_or_default();
        self.metric_name_validation_scheme = NameScheme(Some(scheme));
        if let Some(name) = self.external_labels.keys().find(|name| !scheme.is_valid_label_name(name)) {
            return invalid_at("external_labels", format!("{} is not a valid label name", quote(name)));
        }
        if self.scrape_interval.0 == 0 {
            self.scrape_interval = standard.scrape_interval;
        }
        if self.scrape_timeout > self.scrape_interval {
            let refusal = invalid_at("scrape_timeout", "global scrape timeout greater than scrape interval");
            let interval = model::duration::format(self.scrape_interval.0);
            return refusal
                .map_err(|err| err.help(format!("at most the scrape interval, which is {interval}")));
        }
        if self.scrape_timeout.0 == 0 {
            self.scrape_timeout = standard.scrape_timeout.min(self.scrape_interval);
        }
        if self.evaluation_interval.0 == 0 {
            self.evaluation_interval = standard.evaluation_interval;
        }
        self.scrape_native_histograms.get_or_insert(false);
        self.extra_scrape_metrics.get_or_insert(false);
        if let Some(protocols) = &self.scrape_protocols
            && let Err(line) = check_protocols(protocols)
        {
            return invalid_at("scrape_protocols", format!("{line} for global config"));
        }
        Ok(())
    }
}

section! {
    /// The Go runtime of Prometheus: read, and of no consequence here.
    Runtime "config.RuntimeConfig" "config.RuntimeConfig" {
        /// The garbage collector's target.
        gogc: isize = "gogc",
    }
}
impl Section for Runtime {}
