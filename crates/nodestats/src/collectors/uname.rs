//! `uname`: what the system call of that name says.

use exposition::{Family, MetricKind};
use model::Labels;

use crate::collector::{CollectError, Collector};
use crate::options::{Options, OptionsError};

struct Uname;

pub(super) fn new(_options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Uname))
}

impl Collector for Uname {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        let uname = rustix::system::uname();
        let labels = Labels::from_pairs([
            ("domainname", uname.domainname().to_string_lossy()),
            ("machine", uname.machine().to_string_lossy()),
            ("nodename", uname.nodename().to_string_lossy()),
            ("release", uname.release().to_string_lossy()),
            ("sysname", uname.sysname().to_string_lossy()),
            ("version", uname.version().to_string_lossy()),
        ]);
        let help = "Labeled system information as provided by the uname system call.";
        out.push(Family::new("node_uname_info", help, MetricKind::Gauge).with(labels, 1.0));
        Ok(())
    }
}
