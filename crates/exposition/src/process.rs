//! What every program tells about its own process, from `/proc/self`, under the names of Go's client.

use std::fs;

use model::Labels;

use crate::family::{Family, MetricKind};
use crate::registry::Registry;

/// `/proc/<pid>/stat` counts in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the `process_*` metrics. A value that cannot be read is left out of that page.
pub fn process_metrics(registry: &Registry) {
    registry.collector(|out| {
        for (name, help, kind, value) in values() {
            if let Some(value) = value {
                out.push(Family::new(name, help, kind).with(Labels::empty(), value));
            }
        }
    });
}

type Value = (&'static str, &'static str, MetricKind, Option<f64>);

fn values() -> [Value; 9] {
    use MetricKind::{Counter, Gauge};
    let stat = Stat::read();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let (received, sent) = octets(&fs::read_to_string("/proc/self/net/netstat").unwrap_or_default());
    let of_stat = |value: fn(&Stat) -> f64| stat.as_ref().map(value);
    let started = boot_time().zip(of_stat(|stat| stat.started)).map(|(boot, after)| boot + after);
    [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            Counter,
            of_stat(|stat| stat.cpu),
        ),
        ("process_open_fds", "Number of open file descriptors.", Gauge, open_files()),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            Gauge,
            soft_limit(&limits, "Max open files"),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            Gauge,
            of_stat(|stat| stat.virtual_memory),
        ),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            Gauge,
            soft_limit(&limits, "Max address space"),
        ),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", Gauge, resident_memory()),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            Gauge,
            started,
        ),
        (
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
            Counter,
            received,
        ),
        (
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
            Counter,
            sent,
        ),
    ]
}

/// Fields of `/proc/self/stat` (proc_pid_stat(5)).
struct Stat {
    cpu: f64,
    /// Seconds after boot.
    started: f64,
    virtual_memory: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The command's name is in parentheses and may hold anything.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // Numbered from 1 with the process id first; here the third comes first.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            cpu: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            started: field(22)? / TICKS_PER_SECOND,
            virtual_memory: field(23)?,
        })
    }
}

fn boot_time() -> Option<f64> {
    number_after(&fs::read_to_string("/proc/stat").ok()?, "btime")
}

fn resident_memory() -> Option<f64> {
    let kilobytes = number_after(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
    Some(kilobytes * 1024.0)
}

/// The number behind `key` at the beginning of a line.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    // Without the directory that is being read.
    Some(open.saturating_sub(1) as f64)
}

fn soft_limit(limits: &str, what: &str) -> Option<f64> {
    let rest = limits.lines().find_map(|line| line.strip_prefix(what))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

/// `InOctets` and `OutOctets` of the `IpExt` lines: one of names, one of numbers.
fn octets(netstat: &str) -> (Option<f64>, Option<f64>) {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { return (None, None) };
    let find = |wanted: &str| {
        let mut pairs = names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace());
        pairs.find(|(name, _)| *name == wanted).and_then(|(_, number)| number.parse().ok())
    };
    (find("InOctets"), find("OutOctets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_and_blanks_is_skipped() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 3 0 98765 1000000 300 1 1";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!((stat.cpu, stat.started, stat.virtual_memory), (4.0, 987.65, 1_000_000.0));
    }

    #[test]
    fn limits_and_octets_are_found() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\nMax address space  unlimited  unlimited  bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(soft_limit(limits, "Max address space"), Some(1.844_674_407_370_955_2e19));
        let netstat = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 10 20\n";
        assert_eq!(octets(netstat), (Some(10.0), Some(20.0)));
        assert_eq!(octets(""), (None, None));
    }

    #[test]
    fn this_process_has_all_metrics() {
        let registry = Registry::new();
        process_metrics(&registry);
        let families = registry.gather();
        let value = |name: &str| {
            let family =
                families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name}"));
            match family.metrics[0].value {
                crate::MetricValue::Float(v) => v,
                _ => panic!("{name} is no number"),
            }
        };
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_resident_memory_bytes") < value("process_virtual_memory_bytes"));
        assert!(value("process_start_time_seconds") > 1.6e9);
        assert!(registry.lint().is_empty());
    }
}
