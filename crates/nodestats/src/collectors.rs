//! One module per collector, and the list of them.

mod cpu;
mod diskstats;
mod filefd;
mod filesystem;
mod loadavg;
mod meminfo;
mod netdev;
mod netstat;
mod pressure;
mod sockstat;
mod stat;
mod time;
mod uname;
mod vmstat;

use crate::collector::Collector;
use crate::options::{Options, OptionsError};

type SetUp = fn(&Options) -> Result<Box<dyn Collector>, OptionsError>;

/// Every collector under node_exporter's name for it.
pub(crate) const ALL: &[(&str, SetUp)] = &[
    ("cpu", cpu::new),
    ("diskstats", diskstats::new),
    ("filefd", filefd::new),
    ("filesystem", filesystem::new),
    ("loadavg", loadavg::new),
    ("meminfo", meminfo::new),
    ("netdev", netdev::new),
    ("netstat", netstat::new),
    ("pressure", pressure::new),
    ("sockstat", sockstat::new),
    ("stat", stat::new),
    ("time", time::new),
    ("uname", uname::new),
    ("vmstat", vmstat::new),
];
