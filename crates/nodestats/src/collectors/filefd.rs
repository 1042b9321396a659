//! `filefd`: open files of the whole machine, from `/proc/sys/fs/file-nr`.

use exposition::{Family, MetricKind};

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, number, words};

struct Filefd {
    file: ProcFile,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Filefd { file: ProcFile::new(options.procfs.join("sys/fs/file-nr")) }))
}

impl Collector for Filefd {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.file.read()?;
        // Allocated, free (always 0 since Linux 2.6), maximum.
        let mut values = words(self.file.text()).map(number);
        let (Some(Some(allocated)), Some(_), Some(Some(maximum))) =
            (values.next(), values.next(), values.next())
        else {
            return Err(self.file.malformed("not three numbers"));
        };
        for (name, value) in [("allocated", allocated), ("maximum", maximum)] {
            let help = format!("File descriptor statistics: {name}.");
            out.push(single(format!("node_filefd_{name}"), help, MetricKind::Gauge, value));
        }
        Ok(())
    }
}
