//! `loadavg`: the load averages of `/proc/loadavg`.

use exposition::{Family, MetricKind};

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, number, words};

const AVERAGES: [(&str, &str); 3] = [
    ("node_load1", "1m load average."),
    ("node_load5", "5m load average."),
    ("node_load15", "15m load average."),
];

struct Loadavg {
    file: ProcFile,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Loadavg { file: ProcFile::new(options.procfs.join("loadavg")) }))
}

impl Collector for Loadavg {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.file.read()?;
        let mut loads = words(self.file.text());
        for (name, help) in AVERAGES {
            let load =
                loads.next().and_then(number).ok_or_else(|| self.file.malformed("not three averages"))?;
            out.push(single(name, help, MetricKind::Gauge, load));
        }
        Ok(())
    }
}
