//! Targets as Prometheus builds them: `golden/relabel`.

use std::collections::BTreeMap;
use std::time::Duration;

use discovery::ADDRESS;
use model::Labels;
use scrape::{ExternalAddress, JobOptions};

use crate::support::{World, labels, recorded, rule};

#[tokio::test]
async fn targets_are_those_that_prometheus_builds() {
    let cases = recorded("golden/relabel/cases.jsonl", "targets.jsonl");
    let world = World::new();
    let mut jobs = Vec::new();
    for case in &cases {
        let target = case["target_labels"].as_object().unwrap();
        let own: Labels = target
            .iter()
            .map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()))
            .chain([(ADDRESS.to_owned(), case["target"].as_str().unwrap().to_owned())])
            .collect();
        let job = JobOptions {
            scrape_interval: Duration::from_secs(10),
            relabel_configs: case["relabel_configs"].as_array().unwrap().iter().map(rule).collect(),
            ..JobOptions::new(case["name"].as_str().unwrap())
        };
        jobs.push((job, vec![own]));
    }
    let count = jobs.len();
    world.run(jobs);
    crate::support::wait_for("the targets", || (world.manager.targets(None).active.len() > 50).then_some(()))
        .await;
    let view = world.manager.targets(None);
    let external = ExternalAddress { host: "HOST:9090".to_owned(), listen_port: "9090".to_owned() };
    let active: BTreeMap<_, _> = view.active.iter().map(|t| (t.scrape_pool.as_str(), t)).collect();
    let dropped: BTreeMap<_, _> = view.dropped.iter().map(|t| (t.scrape_pool.as_str(), t)).collect();
    assert_eq!(world.manager.pools().len(), count);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        match case["result"].as_str().unwrap() {
            "kept" => {
                let target = active.get(name).unwrap_or_else(|| panic!("{name} was not kept"));
                assert_eq!(target.discovered_labels, labels(&case["discovered"]), "{name}");
                if name != "labelmap-clash" {
                    assert_eq!(target.labels, labels(&case["labels"]), "{name}");
                }
                assert_eq!(target.scrape_url, case["scrape_url"].as_str().unwrap(), "{name}");
                assert_eq!(target.global_url(&external), case["global_url"].as_str().unwrap(), "{name}");
                assert_eq!(target.scrape_interval, case["scrape_interval"].as_str().unwrap(), "{name}");
                assert_eq!(target.scrape_timeout, case["scrape_timeout"].as_str().unwrap(), "{name}");
            }
            "dropped" => {
                let target = dropped.get(name).unwrap_or_else(|| panic!("{name} was not dropped"));
                assert_eq!(target.discovered_labels, labels(&case["discovered"]), "{name}");
                assert_eq!(view.dropped_counts[name], 1);
            }
            _ => assert!(
                !active.contains_key(name) && !dropped.contains_key(name),
                "{name} should be an error"
            ),
        }
    }
}
