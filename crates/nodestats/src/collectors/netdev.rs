//! `netdev`: traffic of the network devices, by netlink or from `/proc/net/dev`.

use exposition::{Family, MetricKind};
use model::Labels;

use crate::collector::{CollectError, Collector};
use crate::filter::NameFilter;
use crate::link_stats::{self, Counter, LinkCounters};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, integer, lines, words};

/// What a metric of [`METRICS`] is called after `node_network_`, and the kernel's counters that it is the sum of: those that
/// `/proc/net/dev` adds up in one column.
type Metric = (&'static str, &'static [Counter]);

/// In the order of the columns of `/proc/net/dev`, which lacks the last.
const METRICS: [Metric; 17] = [
    ("receive_bytes", &[Counter::RxBytes]),
    ("receive_packets", &[Counter::RxPackets]),
    ("receive_errs", &[Counter::RxErrors]),
    ("receive_drop", &[Counter::RxDropped, Counter::RxMissedErrors]),
    ("receive_fifo", &[Counter::RxFifoErrors]),
    (
        "receive_frame",
        &[Counter::RxFrameErrors, Counter::RxLengthErrors, Counter::RxOverErrors, Counter::RxCrcErrors],
    ),
    ("receive_compressed", &[Counter::RxCompressed]),
    ("receive_multicast", &[Counter::Multicast]),
    ("transmit_bytes", &[Counter::TxBytes]),
    ("transmit_packets", &[Counter::TxPackets]),
    ("transmit_errs", &[Counter::TxErrors]),
    ("transmit_drop", &[Counter::TxDropped]),
    ("transmit_fifo", &[Counter::TxFifoErrors]),
    ("transmit_colls", &[Counter::Collisions]),
    (
        "transmit_carrier",
        &[
            Counter::TxCarrierErrors,
            Counter::TxAbortedErrors,
            Counter::TxHeartbeatErrors,
            Counter::TxWindowErrors,
        ],
    ),
    ("transmit_compressed", &[Counter::TxCompressed]),
    ("receive_nohandler", &[Counter::RxNoHandler]),
];

struct Netdev {
    /// Read instead of asking by netlink, if that is wished.
    file: Option<ProcFile>,
    devices: NameFilter,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    let (exclude, include) = ("netdev.device-exclude", "netdev.device-include");
    Ok(Box::new(Netdev {
        file: (!options.netdev_netlink).then(|| ProcFile::new(options.procfs.join("net/dev"))),
        devices: NameFilter::new(&options.net_devices, exclude, include)?,
    }))
}

impl Collector for Netdev {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        let mut families = METRICS.map(|(name, _)| {
            let help = format!("Network device statistic {name}.");
            Family::new(format!("node_network_{name}_total"), help, MetricKind::Counter)
        });
        match &mut self.file {
            Some(file) => read_file(file, &self.devices, &mut families)?,
            None => ask_kernel(&self.devices, &mut families)?,
        }
        out.extend(families);
        Ok(())
    }
}

fn ask_kernel(devices: &NameFilter, families: &mut [Family]) -> Result<(), CollectError> {
    let push = |name: &[u8], counters: LinkCounters| {
        let values = METRICS
            .iter()
            .map(|(_, parts)| parts.iter().fold(0, |sum: u64, &part| sum.wrapping_add(counters.get(part))));
        push_device(devices, families, name, values);
    };
    link_stats::for_each_device(push)
        .map_err(|source| CollectError::Call { call: "netlink RTM_GETLINK", source })
}

/// Two lines of headings, then `  eth0: 1 2 …` with 16 columns.
fn read_file(file: &mut ProcFile, devices: &NameFilter, families: &mut [Family]) -> Result<(), CollectError> {
    file.read()?;
    for line in lines(file.text()).skip(2) {
        let colon = line.iter().rposition(|&b| b == b':').ok_or_else(|| file.malformed("no device"))?;
        let (name, columns) = line.split_at(colon);
        let mut values = [0; METRICS.len() - 1];
        let mut columns = words(columns.strip_prefix(b":").unwrap_or_default());
        for value in &mut values {
            let column = columns.next().and_then(integer);
            *value = column.ok_or_else(|| file.malformed("not 16 counters"))?;
        }
        push_device(devices, families, name.trim_ascii(), values.into_iter());
    }
    Ok(())
}

fn push_device(
    devices: &NameFilter,
    families: &mut [Family],
    name: &[u8],
    values: impl Iterator<Item = u64>,
) {
    let name = String::from_utf8_lossy(name);
    if devices.wants(&name) {
        let labels = Labels::from_sorted([("device", &*name)]);
        for (family, value) in families.iter_mut().zip(values) {
            family.push(labels.clone(), value as f64);
        }
    }
}
