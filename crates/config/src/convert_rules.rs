//! Files of rules to the groups of their component.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use model::Labels;
use model::number::quote;
use rules::{GroupOptions, RuleKind, RuleOptions, Settings};

use crate::Config;
use crate::glob::glob;
use crate::rule_file::{RuleFileOptions, RuleGroup, load_rules};

impl Config {
    /// The groups of all files that `rule_files` names now, which are read.
    ///
    /// # Errors
    /// In Prometheus' words, with a line for each flaw of a file.
    pub fn rule_groups(&self, options: &RuleFileOptions) -> Result<Vec<GroupOptions>, String> {
        let interval = Duration::from(self.document().global.evaluation_interval);
        let mut all = BTreeMap::new();
        for pattern in &self.document().rule_files {
            let pattern = &pattern.0;
            let files = glob(pattern)
                .map_err(|err| format!("failed retrieving rule files for {}: {err}", quote(pattern)))?;
            for file in files {
                if all.contains_key(&file) {
                    continue;
                }
                let refused = |lines: Vec<String>| {
                    let (file, pattern) = (quote(&file), quote(pattern));
                    format!("parse rules from file {file} (pattern: {pattern}): {}", lines.join("\n"))
                };
                let content = std::fs::read(Path::new(&file)).map_err(|err| {
                    refused(vec![format!("{file}: {}", crate::error::of_reading(&file, &err))])
                })?;
                let loaded = load_rules(content, options);
                if !loaded.refusals.is_empty() {
                    return Err(refused(
                        loaded.refusals.iter().map(|line| format!("{file}: {line}")).collect(),
                    ));
                }
                let groups = loaded.file.groups.into_iter();
                let groups: Vec<GroupOptions> =
                    groups.map(|group| group.to_options(&file, interval)).collect();
                all.insert(file, groups);
            }
        }
        Ok(all.into_values().flatten().collect())
    }

    /// What all groups go by.
    #[must_use]
    pub fn rule_settings(&self) -> Settings {
        let global = &self.document().global;
        Settings {
            external_labels: Labels::from_pairs(&global.external_labels),
            query_offset: global.rule_query_offset.into(),
        }
    }
}

impl RuleGroup {
    /// The group, which is written in `file`; it is evaluated every `interval` if it does not say how often.
    #[must_use]
    pub fn to_options(self, file: &str, interval: Duration) -> GroupOptions {
        let rules = self.rules.into_iter().map(|rule| RuleOptions {
            name: rule.name().to_owned(),
            kind: if rule.alert.is_empty() {
                RuleKind::Recording
            } else {
                RuleKind::Alerting {
                    hold: rule.hold.into(),
                    keep_firing_for: rule.keep_firing_for.into(),
                    annotations: rule.annotations,
                }
            },
            expr: rule.expr,
            labels: rule.labels,
        });
        GroupOptions {
            rules: rules.collect(),
            file: file.to_owned(),
            name: self.name,
            interval: if self.interval.0 == 0 { interval } else { self.interval.into() },
            query_offset: self.query_offset.map(Duration::from),
            limit: i64::try_from(self.limit).unwrap_or(i64::MAX),
            labels: self.labels,
        }
    }
}
