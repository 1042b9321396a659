//! The collectors over a prepared machine, compared with what node_exporter said about it (`testdata/README.md`).
#![allow(clippy::unwrap_used, clippy::panic)] // a failing test panics

use std::path::{Path, PathBuf};

use exposition::{Family, Format, MetricValue, encode};
use nodestats::{NodeStats, Options, Selection};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The prepared machine, seen by one collector.
fn options(collector: &str) -> Options {
    Options {
        procfs: testdata().join("proc"),
        sysfs: testdata().join("sys"),
        udev_data: testdata().join("udev"),
        disabled: NodeStats::collectors().filter(|name| *name != collector).map(str::to_owned).collect(),
        netdev_netlink: false,
        stat_softirq: true,
        mount_points: Selection { exclude: String::new(), include: "^/missing".to_owned() },
        ..Options::default()
    }
}

/// Without what depends on the clock, the time zone or the program.
fn comparable(mut families: Vec<Family>) -> Vec<Family> {
    const OTHER: [&str; 4] = [
        "node_exporter_build_info",
        "node_scrape_collector_duration_seconds",
        "node_time_seconds",
        "node_time_zone_offset_seconds",
    ];
    families.retain(|family| !OTHER.contains(&family.name.as_str()));
    families
}

fn family<'a>(families: &'a [Family], name: &str) -> &'a Family {
    families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn value(families: &[Family], name: &str) -> f64 {
    let MetricValue::Float(value) = family(families, name).metrics[0].value else { panic!("{name}") };
    value
}

#[test]
fn every_collector_says_what_node_exporter_says() {
    let mut compared = 0;
    for collector in NodeStats::collectors().filter(|name| *name != "uname") {
        let golden = testdata().join("golden").join(format!("{collector}.txt"));
        let expected =
            std::fs::read_to_string(&golden).unwrap_or_else(|e| panic!("{}: {e}", golden.display()));
        let node = NodeStats::new(&options(collector)).unwrap();
        for round in 1..=2 {
            let said = encode(&comparable(node.collect()), Format::TEXT);
            for (line, (said, expected)) in said.lines().zip(expected.lines()).enumerate() {
                assert_eq!(said, expected, "{collector}, round {round}, line {}", line + 1);
            }
            assert_eq!(said.lines().count(), expected.lines().count(), "{collector}, round {round}");
        }
        compared += 1;
    }
    assert_eq!(compared, 13);
}

#[test]
fn this_machine_is_described_as_it_is() {
    let node = NodeStats::new(&Options::default()).unwrap();
    let families = node.collect();
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    assert!(names.is_sorted(), "{names:?}");

    let uname = &family(&families, "node_uname_info").metrics[0].labels;
    for (label, file) in [("sysname", "ostype"), ("release", "osrelease"), ("nodename", "hostname")] {
        let expected = std::fs::read_to_string(Path::new("/proc/sys/kernel").join(file)).unwrap();
        assert_eq!(uname.value(label), expected.trim());
    }

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((value(&families, "node_time_seconds") - now.as_secs_f64()).abs() < 60.0);

    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes = meminfo.lines().next().unwrap().split_whitespace().nth(1).unwrap();
    assert_eq!(value(&families, "node_memory_MemTotal_bytes"), kilobytes.parse::<f64>().unwrap() * 1024.0);

    let cpus = std::thread::available_parallelism().unwrap().get();
    assert!(family(&families, "node_cpu_seconds_total").metrics.len() >= cpus * 8);

    let devices = std::fs::read_dir("/sys/class/net").unwrap().count();
    assert_eq!(family(&families, "node_network_receive_nohandler_total").metrics.len(), devices);
}

#[test]
fn both_ways_to_the_network_devices_agree() {
    let only_netdev = |netdev_netlink| {
        let mut options = Options { netdev_netlink, ..options("netdev") };
        options.procfs = "/proc".into();
        let families = NodeStats::new(&options).unwrap().collect();
        let transmitted = family(&families, "node_network_transmit_errs_total").clone();
        (transmitted.metrics.into_iter().map(|m| m.labels).collect::<Vec<_>>(), families.len())
    };
    let (by_netlink, count) = only_netdev(true);
    assert_eq!(only_netdev(false), (by_netlink, count - 1), "only receive_nohandler is missing");
}

#[test]
fn a_collector_that_cannot_read_fails_alone() {
    let node = NodeStats::new(&Options {
        procfs: testdata().join("nowhere"),
        sysfs: testdata().join("nowhere"),
        netdev_netlink: false,
        ..Options::default()
    });
    let families = node.unwrap().collect();
    let success = family(&families, "node_scrape_collector_success");
    let failed: Vec<&str> = success
        .metrics
        .iter()
        .filter(|metric| metric.value == MetricValue::Float(0.0))
        .map(|metric| metric.labels.value("collector"))
        .collect();
    let expected = [
        "cpu",
        "diskstats",
        "filefd",
        "filesystem",
        "loadavg",
        "meminfo",
        "netdev",
        "netstat",
        "pressure",
        "stat",
        "vmstat",
    ];
    assert_eq!(failed, expected);
    assert_eq!(success.metrics.len(), 14);
}

#[test]
fn wrong_options_are_refused_by_their_flags_name() {
    let cases = [
        (
            Options { vmstat_fields: "(".to_owned(), ..Options::default() },
            "--collector.vmstat.fields: error parsing regexp",
        ),
        (
            Options {
                net_devices: Selection { exclude: "*".to_owned(), include: String::new() },
                ..Options::default()
            },
            "--collector.netdev.device-exclude: error parsing regexp",
        ),
        (Options { disabled: vec!["bogus".to_owned()], ..Options::default() }, "missing collector: bogus"),
    ];
    for (options, expected) in cases {
        let error = NodeStats::new(&options).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with(expected), "{error}");
    }
}

/// `exposition/node_exporter.txt` of the reference recordings: the page of another machine.
#[test]
#[allow(clippy::print_stderr)] // says that it was skipped
fn families_are_described_as_on_the_recorded_page() {
    let shared = std::env::var_os("BINNACLE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let Ok(recorded) = std::fs::read_to_string(shared.join("exposition/node_exporter.txt")) else {
        eprintln!("skipped: no recorded page of node_exporter");
        return;
    };
    let description = |page: &str, name: &str| -> Vec<String> {
        let of_name = |line: &&str| line.starts_with('#') && line.split(' ').nth(2) == Some(name);
        page.lines().filter(of_name).map(str::to_owned).collect()
    };
    let families = NodeStats::new(&Options { disabled: Vec::new(), ..options("") }).unwrap().collect();
    let ours = encode(&families, Format::TEXT);
    let mut compared = 0;
    for family in families.iter().filter(|family| family.name != "node_exporter_build_info") {
        let expected = description(&recorded, &family.name);
        if !expected.is_empty() {
            assert_eq!(description(&ours, &family.name), expected);
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} families in common");
}
