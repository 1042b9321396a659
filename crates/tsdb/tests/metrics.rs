//! The metrics of the database are Prometheus': names, types and help texts.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::time::Duration;

use exposition::{MetricKind, Registry};
use tsdb::{Db, DbOptions, HeadOptions};

#[test]
fn every_metric_of_prometheus_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let head = HeadOptions { out_of_order_window: Duration::from_secs(60), ..HeadOptions::default() };
    let db = Db::open(dir.path(), DbOptions { head, ..DbOptions::default() }, &registry).unwrap();
    let ours: BTreeMap<String, (&str, String)> = registry
        .gather()
        .into_iter()
        .map(|family| {
            let kind = match family.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
                MetricKind::Summary => "summary",
                _ => "other",
            };
            (family.name, (kind, family.help))
        })
        .collect();
    // As Prometheus 3.14.0 shows them.
    let mut wrong = Vec::new();
    for line in include_str!("../testdata/metrics.txt").lines() {
        let mut words = line.splitn(4, ' ').skip(1);
        let (what, name, rest) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        match ours.get(name) {
            None if what == "TYPE" => wrong.push(format!("{name} is missing")),
            Some((kind, _)) if what == "TYPE" && *kind != rest => wrong.push(format!("{name} is a {rest}")),
            Some((_, help)) if what == "HELP" && help != rest => {
                wrong.push(format!("{name}: {rest}\n  {help}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(db);
}
