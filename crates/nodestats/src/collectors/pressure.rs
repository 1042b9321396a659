//! `pressure`: how long work had to wait for a resource, from `/proc/pressure` (Linux 4.20, `psi=1`).

use exposition::{Family, MetricKind};
use rustix::io::Errno;

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, integer, lines, words};

/// The file, the line in it, the metric's name and help.
const TOTALS: [(&str, &str, &str, &str); 6] = [
    (
        "cpu",
        "some",
        "node_pressure_cpu_waiting_seconds_total",
        "Total time in seconds that processes have waited for CPU time",
    ),
    (
        "io",
        "some",
        "node_pressure_io_waiting_seconds_total",
        "Total time in seconds that processes have waited due to IO congestion",
    ),
    (
        "io",
        "full",
        "node_pressure_io_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IO congestion",
    ),
    (
        "memory",
        "some",
        "node_pressure_memory_waiting_seconds_total",
        "Total time in seconds that processes have waited for memory",
    ),
    (
        "memory",
        "full",
        "node_pressure_memory_stalled_seconds_total",
        "Total time in seconds no process could make progress due to memory congestion",
    ),
    (
        "irq",
        "full",
        "node_pressure_irq_stalled_seconds_total",
        "Total time in seconds no process could make progress due to IRQ congestion",
    ),
];

struct Pressure {
    files: [(&'static str, ProcFile); 4],
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    let file = |name| (name, ProcFile::new(options.procfs.join("pressure").join(name)));
    Ok(Box::new(Pressure { files: ["cpu", "io", "memory", "irq"].map(file) }))
}

impl Collector for Pressure {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        let mut found = false;
        for (resource, file) in &mut self.files {
            match file.read() {
                Ok(()) => {}
                Err(error) if error.is_missing_file() => continue,
                Err(error) if is_switched_off(&error) => return Err(CollectError::NoData),
                Err(error) => return Err(error),
            }
            for (_, row, name, help) in TOTALS.iter().filter(|(of, ..)| of == resource) {
                let Some(line) = lines(file.text()).find(|line| words(line).next() == Some(row.as_bytes()))
                else {
                    return Err(CollectError::NoData);
                };
                let microseconds = words(line).find_map(|word| integer(word.strip_prefix(b"total=")?));
                let microseconds = microseconds.ok_or_else(|| file.malformed("a line without a total"))?;
                out.push(single(*name, *help, MetricKind::Counter, microseconds as f64 / 1000.0 / 1000.0));
            }
            found = true;
        }
        if found { Ok(()) } else { Err(CollectError::NoData) }
    }
}

/// Without `psi=1` the files are there but cannot be read.
fn is_switched_off(error: &CollectError) -> bool {
    matches!(error, CollectError::Read { source, .. } if source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()))
}
