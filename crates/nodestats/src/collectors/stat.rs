//! `stat`: interrupts, context switches and processes, from `/proc/stat`.

use exposition::MetricKind::{Counter, Gauge};
use exposition::{Family, MetricKind};
use model::Labels;

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, integer, lines, words};

/// The kernel's line, the metric's name, help and kind. Absent lines count as 0, as in node_exporter.
const LINES: [(&str, &str, &str, MetricKind); 6] = [
    ("intr", "node_intr_total", "Total number of interrupts serviced.", Counter),
    ("ctxt", "node_context_switches_total", "Total number of context switches.", Counter),
    ("processes", "node_forks_total", "Total number of forks.", Counter),
    ("btime", "node_boot_time_seconds", "Node boot time, in unixtime.", Gauge),
    ("procs_running", "node_procs_running", "Number of processes in runnable state.", Gauge),
    (
        "procs_blocked",
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O to complete.",
        Gauge,
    ),
];

/// The columns of the line `softirq` after the total.
const VECTORS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "block_iopoll", "tasklet", "sched", "hrtimer", "rcu"];

struct Stat {
    file: ProcFile,
    softirq: bool,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Stat { file: ProcFile::new(options.procfs.join("stat")), softirq: options.stat_softirq }))
}

impl Collector for Stat {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.file.read()?;
        let mut values = [0.0; LINES.len()];
        for line in lines(self.file.text()) {
            let mut words = words(line);
            let Some(first) = words.next() else { continue };
            if let Some(i) = LINES.iter().position(|(kernel, ..)| kernel.as_bytes() == first) {
                let value = words.next().and_then(integer);
                values[i] = value.ok_or_else(|| self.file.malformed("a line without a number"))? as f64;
            } else if self.softirq && first == b"softirq" {
                out.push(self.softirqs(words.skip(1))?);
            }
        }
        out.extend(
            LINES.iter().zip(values).map(|(&(_, name, help, kind), value)| single(name, help, kind, value)),
        );
        Ok(())
    }
}

impl Stat {
    fn softirqs<'a>(&self, counts: impl Iterator<Item = &'a [u8]>) -> Result<Family, CollectError> {
        let mut family = Family::new("node_softirqs_total", "Number of softirq calls.", Counter);
        for (vector, count) in VECTORS.iter().zip(counts) {
            let count =
                integer(count).ok_or_else(|| self.file.malformed("softirq is not a row of numbers"))?;
            family.push(Labels::from_sorted([("vector", *vector)]), count as f64);
        }
        Ok(family)
    }
}
