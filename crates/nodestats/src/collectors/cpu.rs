//! `cpu`: time by mode from `/proc/stat`, throttling, isolation and hot-plugging from sysfs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use exposition::{Family, MetricKind};
use model::Labels;

use crate::collector::{CollectError, Collector};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, first_line, integer, integer_in, lines, number, numbered_entries, words};

/// The unit of `/proc/stat` on every Linux architecture there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The columns of a CPU's line. The last two are part of the first two and shown apart.
const MODES: [&str; 10] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
const IDLE: usize = 3;
const GUEST: usize = 8;

/// If a CPU's idle time falls by this many seconds, the CPU was taken away and came back, and its counters start anew.
const JUMP_BACK: f64 = 3.0;

struct Cpu {
    stat: ProcFile,
    guest: bool,
    system_cpu: PathBuf,
    isolated: Vec<u64>,
    /// The highest values seen: the kernel's own may fall a little.
    times: BTreeMap<u64, [f64; MODES.len()]>,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    let system_cpu = options.sysfs.join("devices/system/cpu");
    let isolated = first_line(&system_cpu.join("isolated")).and_then(|list| parse_list(&list));
    Ok(Box::new(Cpu {
        stat: ProcFile::new(options.procfs.join("stat")),
        guest: options.cpu_guest,
        system_cpu,
        isolated: isolated.unwrap_or_default(),
        times: BTreeMap::new(),
    }))
}

impl Collector for Cpu {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.read_times()?;
        out.extend(self.times());
        out.push(self.isolation());
        let cpus = numbered_entries(&self.system_cpu, "cpu");
        out.extend(throttling(&cpus));
        out.push(online(&cpus));
        Ok(())
    }
}

impl Cpu {
    fn read_times(&mut self) -> Result<(), CollectError> {
        self.stat.read()?;
        let mut present = BTreeSet::new();
        for line in lines(self.stat.text()) {
            let mut words = words(line);
            let Some(digits) = words.next().and_then(|word| word.strip_prefix(b"cpu")) else { continue };
            if digits.is_empty() {
                continue; // the sum of all
            }
            let malformed = || self.stat.malformed("a CPU's line that is not numbers");
            let cpu = integer(digits).ok_or_else(malformed)?;
            let mut now = [0.0; MODES.len()];
            for (time, word) in now.iter_mut().zip(words) {
                *time = number(word).ok_or_else(malformed)? / TICKS_PER_SECOND;
            }
            advance(self.times.entry(cpu).or_default(), &now);
            present.insert(cpu);
        }
        self.times.retain(|cpu, _| present.contains(cpu));
        Ok(())
    }

    fn times(&self) -> [Family; 2] {
        let mut all = Family::new(
            "node_cpu_seconds_total",
            "Seconds the CPUs spent in each mode.",
            MetricKind::Counter,
        );
        let mut guest = Family::new(
            "node_cpu_guest_seconds_total",
            "Seconds the CPUs spent in guests (VMs) for each mode.",
            MetricKind::Counter,
        );
        for (cpu, times) in &self.times {
            let cpu = cpu.to_string();
            let labels = |mode| Labels::from_sorted([("cpu", cpu.as_str()), ("mode", mode)]);
            for (mode, time) in MODES.iter().zip(times).take(GUEST) {
                all.push(labels(*mode), *time);
            }
            if self.guest {
                for (mode, time) in ["user", "nice"].into_iter().zip(&times[GUEST..]) {
                    guest.push(labels(mode), *time);
                }
            }
        }
        [all, guest]
    }

    fn isolation(&self) -> Family {
        let mut family = Family::new(
            "node_cpu_isolated",
            "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.",
            MetricKind::Gauge,
        );
        for cpu in &self.isolated {
            family.push(Labels::from_sorted([("cpu", cpu.to_string().as_str())]), 1.0);
        }
        family
    }
}

/// Takes over what has grown.
fn advance(times: &mut [f64; MODES.len()], now: &[f64; MODES.len()]) {
    if times[IDLE] - now[IDLE] >= JUMP_BACK {
        *times = *now;
    }
    for (time, now) in times.iter_mut().zip(now) {
        *time = time.max(*now);
    }
}

/// How often cores and packages were slowed down for their heat: read once for each, though every hyper-thread has the files.
fn throttling(cpus: &[(String, PathBuf)]) -> [Family; 2] {
    let mut packages: BTreeMap<u64, u64> = BTreeMap::new();
    let mut cores: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for (_, cpu) in cpus {
        let package = integer_in(&cpu.join("topology/physical_package_id"));
        let core = integer_in(&cpu.join("topology/core_id"));
        let (Some(package), Some(core)) = (package, core) else { continue };
        if !cores.contains_key(&(package, core))
            && let Some(count) = integer_in(&cpu.join("thermal_throttle/core_throttle_count"))
        {
            cores.insert((package, core), count);
        }
        if !packages.contains_key(&package)
            && let Some(count) = integer_in(&cpu.join("thermal_throttle/package_throttle_count"))
        {
            packages.insert(package, count);
        }
    }

    let mut of_cores = Family::new(
        "node_cpu_core_throttles_total",
        "Number of times this CPU core has been throttled.",
        MetricKind::Counter,
    );
    for ((package, core), count) in cores {
        let (package, core) = (package.to_string(), core.to_string());
        of_cores.push(Labels::from_sorted([("core", core.as_str()), ("package", &package)]), count as f64);
    }
    let mut of_packages = Family::new(
        "node_cpu_package_throttles_total",
        "Number of times this CPU package has been throttled.",
        MetricKind::Counter,
    );
    for (package, count) in packages {
        of_packages.push(Labels::from_sorted([("package", package.to_string().as_str())]), count as f64);
    }
    [of_cores, of_packages]
}

/// Nothing where the first CPU cannot be switched off, which is how node_exporter tells whether the machine supports it.
fn online(cpus: &[(String, PathBuf)]) -> Family {
    let mut family =
        Family::new("node_cpu_online", "CPUs that are online and being scheduled.", MetricKind::Gauge);
    if cpus.first().is_some_and(|(_, first)| first.join("online").exists()) {
        for (number, cpu) in cpus {
            let is_online = integer_in(&cpu.join("online")) == Some(1);
            let labels = Labels::from_sorted([("cpu", number.as_str())]);
            family.push(labels, f64::from(u8::from(is_online)));
        }
    }
    family
}

/// A list such as `1,3-5`. Its ranges are bounded, for it is not to be believed that a machine has more CPUs.
fn parse_list(list: &str) -> Option<Vec<u64>> {
    const MOST_CPUS: u64 = 1 << 16;
    let mut cpus = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (integer(first.as_bytes())?, integer(last.as_bytes())?);
        cpus.extend(first..=last.min(MOST_CPUS));
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_list(""), Some(vec![]));
        assert_eq!(parse_list("1,3-5,9"), Some(vec![1, 3, 4, 5, 9]));
        assert_eq!(parse_list("a-b"), None);
    }

    #[test]
    fn times_never_fall_unless_the_cpu_was_away() {
        let times = |user: f64, idle: f64| {
            let mut times = [0.0; MODES.len()];
            (times[0], times[IDLE]) = (user, idle);
            times
        };
        let mut seen = times(10.0, 100.0);
        advance(&mut seen, &times(9.0, 99.0));
        assert_eq!(seen, times(10.0, 100.0));
        advance(&mut seen, &times(11.0, 98.0));
        assert_eq!(seen, times(11.0, 100.0));
        advance(&mut seen, &times(1.0, 97.0));
        assert_eq!(seen, times(1.0, 97.0));
    }
}
