//! The memory ceiling: how high it is, and how near.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ::storage::{MemoryBudget, MemoryStage};
use exposition::registry::Registry;
use exposition::{Family, Metric, MetricKind, MetricValue};
use model::{Labels, size};
use tokio_util::sync::CancellationToken;

/// How often the process' memory is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What `--memory.limit` says: a share of what there is (`80%`), a size (`4GiB`), or 0 for no limit. In bytes.
pub(crate) fn limit(text: &str) -> Result<u64, String> {
    limit_of(text, available())
}

fn limit_of(text: &str, available: Option<u64>) -> Result<u64, String> {
    let Some(percent) = text.strip_suffix('%') else {
        let bytes = size::parse(text).map_err(|e| format!("{e} (write it like 80%, 512MiB or 4GiB)"))?;
        return u64::try_from(bytes).map_err(|_| "must not be negative".to_owned());
    };
    match percent.parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => {
            Ok((available.unwrap_or(0) as f64 * percent / 100.0) as u64)
        }
        _ => Err("a share must be more than 0% and at most 100%".to_owned()),
    }
}

/// What the control group or the machine has, whichever is less.
fn available() -> Option<u64> {
    let machine = status_bytes("/proc/meminfo", &["MemTotal:"]);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_limit(&groups, Path::new("/sys/fs/cgroup"));
    match (machine, group) {
        (Some(machine), Some(group)) => Some(machine.min(group)),
        (machine, group) => machine.or(group),
    }
}

/// The least limit on the way from the process' control group up; of either version of control groups.
fn group_limit(groups: &str, mounted: &Path) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (mounted.to_path_buf(), "memory.max"),
            c if c.split(',').any(|c| c == "memory") => (mounted.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // In a container the path may be the one outside, of which nothing is seen here but the root.
        for dir in Path::new(path.trim_start_matches('/')).ancestors() {
            let text = fs::read_to_string(root.join(dir).join(file)).unwrap_or_default();
            if let Ok(bytes) = text.trim().parse::<u64>() {
                least = Some(least.map_or(bytes, |least: u64| least.min(bytes)));
            }
        }
    }
    least
}

/// Memory that no file stands behind: what can only be given back by the process.
fn resident() -> Option<u64> {
    status_bytes("/proc/self/status", &["RssAnon:", "RssShmem:"])
}

/// The sum of the lines with these keys, which are in kB.
fn status_bytes(path: &str, keys: &[&str]) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let of = |key: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        rest.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let kilobytes = keys.iter().filter_map(|key| of(key)).reduce(|a, b| a + b)?;
    Some(kilobytes * 1024)
}

/// Shows the budget as metrics.
pub(crate) fn register(budget: &MemoryBudget, registry: &Registry) {
    let budget = budget.clone();
    registry.collector(move |out| {
        let gauge = |name: &str, help: &str, metrics| Family {
            name: name.to_owned(),
            help: help.to_owned(),
            kind: MetricKind::Gauge,
            metrics,
        };
        let plain = |value: f64| {
            vec![Metric { labels: Labels::empty(), value: MetricValue::Float(value), timestamp: None }]
        };
        out.push(gauge(
            "binnacle_memory_limit_bytes",
            "Memory that may be used (--memory.limit); 0 means any.",
            plain(budget.limit() as f64),
        ));
        out.push(gauge(
            "binnacle_memory_used_bytes",
            "Memory that counts against the limit: what the process holds that no file stands behind.",
            plain(budget.used() as f64),
        ));
        out.push(gauge(
            "binnacle_memory_stage",
            "What is done as the limit nears: 0 nothing, 1 caches shrink, 2 new queries wait, 3 stale series are cut early, 4 series creation is refused.",
            plain(f64::from(number(budget.stage()))),
        ));
        let of_component = budget.components().into_iter().map(|(name, bytes)| Metric {
            labels: [("component", name)].into_iter().collect(),
            value: MetricValue::Float(bytes as f64),
            timestamp: None,
        });
        out.push(gauge(
            "binnacle_memory_component_bytes",
            "Memory that components account for.",
            of_component.collect(),
        ));
    });
}

fn number(stage: MemoryStage) -> u8 {
    match stage {
        MemoryStage::Enough => 0,
        MemoryStage::ShrinkCaches => 1,
        MemoryStage::HoldQueries => 2,
        MemoryStage::RefuseSeries => 3,
    }
}

/// Tells the budget what the process has, until `stop`; a change of what has to be done about it is logged.
pub(crate) async fn watch(budget: MemoryBudget, stop: CancellationToken) {
    let mut stage = MemoryStage::Enough;
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        if let Some(bytes) = resident() {
            budget.note_resident(bytes);
        }
        let now = budget.stage();
        let shown = |bytes: u64| size::format(i64::try_from(bytes).unwrap_or(i64::MAX));
        let (used, limit) = (shown(budget.used()), shown(budget.limit()));
        if now > stage {
            tracing::warn!(used, limit, "The memory limit nears: {}", measure(now));
        } else if now < stage {
            tracing::info!(used, limit, "The memory limit is further away: {}", measure(now));
        }
        stage = now;
    }
}

fn measure(stage: MemoryStage) -> &'static str {
    match stage {
        MemoryStage::Enough => "all goes on as usual",
        MemoryStage::ShrinkCaches => "caches shrink",
        MemoryStage::HoldQueries => "new queries wait, series that have ended are moved to blocks",
        MemoryStage::RefuseSeries => {
            "new queries wait, series that have ended are moved to blocks, no series are created"
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shares_or_sizes() {
        let available = Some(10 << 30);
        for (text, want) in
            [("80%", 8 << 30), ("12.5%", (10 << 30) / 8), ("512MiB", 512 << 20), ("4GB", 4 << 30), ("0", 0)]
        {
            assert_eq!(limit_of(text, available), Ok(want), "{text}");
        }
        assert_eq!(limit_of("80%", None), Ok(0), "where nothing is known there is no limit");
        for text in ["", "0%", "101%", "x%", "-1GiB", "4"] {
            assert!(limit_of(text, available).is_err(), "{text}");
        }
    }

    #[test]
    fn the_least_limit_of_the_groups_above_a_process_holds() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("pods/a/memory.max", "max\n");
        write("pods/memory.max", "1000000\n");
        write("memory/docker/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.limit_in_bytes", "500000\n");
        assert_eq!(group_limit("0::/pods/a\n", dir.path()), Some(1_000_000));
        assert_eq!(group_limit("5:cpu:/x\n4:memory,hugetlb:/docker\n", dir.path()), Some(500_000));
        assert_eq!(group_limit("0::/elsewhere\n", dir.path()), None);
    }

    #[test]
    fn a_process_knows_its_memory() {
        assert!(resident().unwrap() > 100_000);
        assert!(available().unwrap() > resident().unwrap());
    }
}
