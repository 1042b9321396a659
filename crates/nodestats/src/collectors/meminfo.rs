//! `meminfo`: the memory figures of `/proc/meminfo`.

use exposition::{Family, MetricKind};

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, integer, lines, words};

/// The kernel's fields that are shown, and the metrics' names after `node_memory_`.
const FIELDS: [(&str, &str); 51] = [
    ("Active", "Active_bytes"),
    ("Active(anon)", "Active_anon_bytes"),
    ("Active(file)", "Active_file_bytes"),
    ("AnonHugePages", "AnonHugePages_bytes"),
    ("AnonPages", "AnonPages_bytes"),
    ("Bounce", "Bounce_bytes"),
    ("Buffers", "Buffers_bytes"),
    ("Cached", "Cached_bytes"),
    ("CmaFree", "CmaFree_bytes"),
    ("CmaTotal", "CmaTotal_bytes"),
    ("CommitLimit", "CommitLimit_bytes"),
    ("Committed_AS", "Committed_AS_bytes"),
    ("DirectMap1G", "DirectMap1G_bytes"),
    ("DirectMap2M", "DirectMap2M_bytes"),
    ("DirectMap4k", "DirectMap4k_bytes"),
    ("Dirty", "Dirty_bytes"),
    ("HardwareCorrupted", "HardwareCorrupted_bytes"),
    ("HugePages_Free", "HugePages_Free"),
    ("HugePages_Rsvd", "HugePages_Rsvd"),
    ("HugePages_Surp", "HugePages_Surp"),
    ("HugePages_Total", "HugePages_Total"),
    ("Hugepagesize", "Hugepagesize_bytes"),
    ("Inactive", "Inactive_bytes"),
    ("Inactive(anon)", "Inactive_anon_bytes"),
    ("Inactive(file)", "Inactive_file_bytes"),
    ("KernelStack", "KernelStack_bytes"),
    ("Mapped", "Mapped_bytes"),
    ("MemAvailable", "MemAvailable_bytes"),
    ("MemFree", "MemFree_bytes"),
    ("MemTotal", "MemTotal_bytes"),
    ("Mlocked", "Mlocked_bytes"),
    ("NFS_Unstable", "NFS_Unstable_bytes"),
    ("PageTables", "PageTables_bytes"),
    ("Percpu", "Percpu_bytes"),
    ("SReclaimable", "SReclaimable_bytes"),
    ("SUnreclaim", "SUnreclaim_bytes"),
    ("Shmem", "Shmem_bytes"),
    ("ShmemHugePages", "ShmemHugePages_bytes"),
    ("ShmemPmdMapped", "ShmemPmdMapped_bytes"),
    ("Slab", "Slab_bytes"),
    ("SwapCached", "SwapCached_bytes"),
    ("SwapFree", "SwapFree_bytes"),
    ("SwapTotal", "SwapTotal_bytes"),
    ("Unevictable", "Unevictable_bytes"),
    ("VmallocChunk", "VmallocChunk_bytes"),
    ("VmallocTotal", "VmallocTotal_bytes"),
    ("VmallocUsed", "VmallocUsed_bytes"),
    ("Writeback", "Writeback_bytes"),
    ("WritebackTmp", "WritebackTmp_bytes"),
    ("Zswap", "Zswap_bytes"),
    ("Zswapped", "Zswapped_bytes"),
];

struct Meminfo {
    file: ProcFile,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Meminfo { file: ProcFile::new(options.procfs.join("meminfo")) }))
}

impl Collector for Meminfo {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.file.read()?;
        for line in lines(self.file.text()) {
            let (field, value) =
                parse_line(line).ok_or_else(|| self.file.malformed("a line without a size"))?;
            if let Some((_, name)) = FIELDS.iter().find(|(kernel, _)| kernel.as_bytes() == field) {
                let help = format!("Memory information field {name}.");
                out.push(single(format!("node_memory_{name}"), help, MetricKind::Gauge, value));
            }
        }
        Ok(())
    }
}

/// `MemTotal:  16 kB` or, of counts, `HugePages_Total:  0`: the field and its value in bytes or as counted.
fn parse_line(line: &[u8]) -> Option<(&[u8], f64)> {
    let mut words = words(line);
    let field = words.next()?.strip_suffix(b":")?;
    let value = integer(words.next()?)?;
    let scale = match (words.next(), words.next()) {
        (None, None) => 1.0,
        (Some(b"kB"), None) => 1024.0,
        _ => return None,
    };
    Some((field, value as f64 * scale))
}
