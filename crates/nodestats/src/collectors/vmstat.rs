//! `vmstat`: paging and out-of-memory kills, from `/proc/vmstat`.

use exposition::{Family, MetricKind};

use crate::collector::{CollectError, Collector, single};
use crate::filter::FieldFilter;
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, lines, number, words};

struct Vmstat {
    file: ProcFile,
    fields: FieldFilter,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Vmstat {
        file: ProcFile::new(options.procfs.join("vmstat")),
        fields: FieldFilter::new(&options.vmstat_fields, "vmstat.fields")?,
    }))
}

impl Collector for Vmstat {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.file.read()?;
        for (place, line) in lines(self.file.text()).enumerate() {
            let mut words = words(line);
            let (Some(field), Some(value)) = (words.next(), words.next()) else {
                return Err(self.file.malformed("a line without a field and its value"));
            };
            if let Some(field) = self.fields.wanted(place, b"", field) {
                let value = number(value).ok_or_else(|| self.file.malformed("a value that is no number"))?;
                let help = format!("/proc/vmstat information field {field}.");
                out.push(single(format!("node_vmstat_{field}"), help, MetricKind::Untyped, value));
            }
        }
        Ok(())
    }
}
