//! What was found and counted.

use std::time::Duration;

use discovery::{ADDRESS, Manager, TargetSets};
use exposition::{MetricValue, Registry};

/// Waits until `look` sees in what is found what is wanted, `patience` at most.
pub(crate) async fn until(
    manager: &Manager,
    patience: Duration,
    look: impl Fn(&TargetSets) -> Vec<String>,
    want: &[&str],
) {
    let mut sets = manager.subscribe();
    let waited = tokio::time::timeout(patience, async {
        while look(&sets.borrow_and_update()) != want {
            sets.changed().await.unwrap();
        }
    });
    assert!(waited.await.is_ok(), "found {:#?}, not {want:#?}", look(&sets.borrow()));
}

/// Address and further labels of the targets of a job, sorted; these prefixes are left out.
pub(crate) fn told(sets: &TargetSets, job: &str, prefixes: &[&str]) -> Vec<String> {
    let short = |name: &str| prefixes.iter().fold(name.to_owned(), |name, prefix| name.replace(prefix, ""));
    let groups = sets.get(job).into_iter().flatten();
    let mut told: Vec<String> = groups
        .flat_map(|group| (0..group.targets.len()).map(|i| group.labels_of(i)))
        .map(|labels| {
            let others = labels.iter().filter(|(name, _)| *name != ADDRESS);
            let others: Vec<String> =
                others.map(|(name, value)| format!("{}={value}", short(name))).collect();
            format!("{} {}", labels.value(ADDRESS), others.join(" "))
        })
        .collect();
    told.sort();
    told
}

/// The value of a metric's only series, or of the first with these labels.
pub(crate) fn metric(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"));
    let fits = |metric: &&exposition::Metric| labels.iter().all(|(n, v)| metric.labels.value(n) == *v);
    match family.metrics.iter().find(fits).unwrap().value {
        MetricValue::Float(value) => value,
        ref other => panic!("{other:?}"),
    }
}
