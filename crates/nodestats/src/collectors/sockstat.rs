//! `sockstat`: sockets by protocol and state, from `/proc/net/sockstat` and `sockstat6`.

use exposition::{Family, MetricKind};
use model::is_legacy_metric_name;

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, lines, number, words};

/// The states of a protocol that are shown.
const STATES: [&str; 6] = ["inuse", "orphan", "tw", "alloc", "mem", "memory"];

struct Sockstat {
    ipv4: ProcFile,
    ipv6: ProcFile,
    page_size: f64,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    let file = |name| ProcFile::new(options.procfs.join("net").join(name));
    let page_size = rustix::param::page_size() as f64;
    Ok(Box::new(Sockstat { ipv4: file("sockstat"), ipv6: file("sockstat6"), page_size }))
}

impl Collector for Sockstat {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        for file in [&mut self.ipv4, &mut self.ipv6] {
            match file.read() {
                Ok(()) => read_protocols(file, self.page_size, out)?,
                Err(error) if error.is_missing_file() => {} // that version of IP is switched off
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Lines such as `TCP: inuse 11 orphan 0 tw 0 alloc 11 mem 2`.
fn read_protocols(file: &ProcFile, page_size: f64, out: &mut Vec<Family>) -> Result<(), CollectError> {
    let malformed = || file.malformed("not a protocol and its states");
    for line in lines(file.text()) {
        let mut words = words(line);
        let protocol = words.next().and_then(|word| word.strip_suffix(b":")).ok_or_else(malformed)?;
        let protocol = std::str::from_utf8(protocol).ok().filter(|name| is_legacy_metric_name(name));
        let protocol = protocol.ok_or_else(malformed)?;
        let mut values = [None; STATES.len()];
        let mut used = None;
        while let Some(state) = words.next() {
            let value = words.next().and_then(number).ok_or_else(malformed)?;
            if let Some(i) = STATES.iter().position(|known| known.as_bytes() == state) {
                values[i] = Some(value);
            } else if state == b"used" {
                used = Some(value);
            }
        }
        if protocol == "sockets" {
            let help = "Number of IPv4 sockets in use.";
            let used = used.unwrap_or_default();
            out.push(single("node_sockstat_sockets_used", help, MetricKind::Gauge, used));
            continue;
        }
        values[0] = values[0].or(Some(0.0)); // `inuse` is always shown
        for (state, value) in STATES.iter().zip(values) {
            let Some(value) = value else { continue };
            out.push(in_state(protocol, state, value));
            if *state == "mem" {
                out.push(in_state(protocol, "mem_bytes", value * page_size));
            }
        }
    }
    Ok(())
}

fn in_state(protocol: &str, state: &str, value: f64) -> Family {
    let help = format!("Number of {protocol} sockets in state {state}.");
    single(format!("node_sockstat_{protocol}_{state}"), help, MetricKind::Gauge, value)
}
