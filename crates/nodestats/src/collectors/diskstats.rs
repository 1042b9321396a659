//! `diskstats`: work of the block devices, from `/proc/diskstats`, and what udev knows of them.

use std::path::{Path, PathBuf};

use exposition::MetricKind::{Counter, Gauge};
use exposition::{Family, MetricKind};
use model::Labels;

use crate::collector::{CollectError, Collector};
use crate::filter::NameFilter;
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, first_line, integer, lines, number, words};
use crate::udev::{Properties, Udev};

/// Sectors in the kernel's statistics have this size, whatever the device's is.
const SECTOR: f64 = 512.0;
const MILLISECOND: f64 = 0.001;

/// A column of `/proc/diskstats` after the device's name: name after `node_disk_`, help, kind and the factor to the base unit.
type Column = (&'static str, &'static str, MetricKind, f64);

const COLUMNS: [Column; 17] = [
    ("reads_completed_total", "The total number of reads completed successfully.", Counter, 1.0),
    ("reads_merged_total", "The total number of reads merged.", Counter, 1.0),
    ("read_bytes_total", "The total number of bytes read successfully.", Counter, SECTOR),
    ("read_time_seconds_total", "The total number of seconds spent by all reads.", Counter, MILLISECOND),
    ("writes_completed_total", "The total number of writes completed successfully.", Counter, 1.0),
    ("writes_merged_total", "The number of writes merged.", Counter, 1.0),
    ("written_bytes_total", "The total number of bytes written successfully.", Counter, SECTOR),
    (
        "write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        Counter,
        MILLISECOND,
    ),
    ("io_now", "The number of I/Os currently in progress.", Gauge, 1.0),
    ("io_time_seconds_total", "Total seconds spent doing I/Os.", Counter, MILLISECOND),
    ("io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", Counter, MILLISECOND),
    ("discards_completed_total", "The total number of discards completed successfully.", Counter, 1.0),
    ("discards_merged_total", "The total number of discards merged.", Counter, 1.0),
    ("discarded_sectors_total", "The total number of sectors discarded successfully.", Counter, 1.0),
    (
        "discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        Counter,
        MILLISECOND,
    ),
    ("flush_requests_total", "The total number of flush requests completed successfully", Counter, 1.0),
    (
        "flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        Counter,
        MILLISECOND,
    ),
];

/// Kernels before 4.18 have 11 columns; lines with fewer (partitions before 2.6.25) are passed over.
const FEWEST_COLUMNS: usize = 11;

/// udev's property, and the name and help of the metric that shows it, for ATA disks.
const ATA: [(&str, &str, &str); 3] = [
    ("ID_ATA_WRITE_CACHE", "ata_write_cache", "ATA disk has a write cache."),
    ("ID_ATA_WRITE_CACHE_ENABLED", "ata_write_cache_enabled", "ATA disk has its write cache enabled."),
    ("ID_ATA_ROTATION_RATE_RPM", "ata_rotation_rate_rpm", "ATA disk rotation rate in RPMs (0 for SSDs)."),
];

struct Diskstats {
    file: ProcFile,
    block: PathBuf,
    udev: Udev,
    devices: NameFilter,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    let (exclude, include) = ("diskstats.device-exclude", "diskstats.device-include");
    Ok(Box::new(Diskstats {
        file: ProcFile::new(options.procfs.join("diskstats")),
        block: options.sysfs.join("block"),
        udev: Udev::new(&options.udev_data),
        devices: NameFilter::new(&options.disk_devices, exclude, include)?,
    }))
}

/// The families that the devices are pushed to.
struct Disks {
    columns: [Family; COLUMNS.len()],
    info: Family,
    filesystem: Family,
    device_mapper: Family,
    ata: [Family; ATA.len()],
}

impl Collector for Diskstats {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        self.file.read()?;
        let mut disks = Disks::new();
        for line in lines(self.file.text()) {
            self.read_device(line, &mut disks)?;
        }
        out.extend(disks.columns);
        out.extend([disks.info, disks.filesystem, disks.device_mapper]);
        out.extend(disks.ata);
        Ok(())
    }
}

impl Diskstats {
    /// `254 0 vda 1 2 3 …`
    fn read_device(&self, line: &[u8], disks: &mut Disks) -> Result<(), CollectError> {
        let malformed = || self.file.malformed("not a device and its numbers");
        let mut words = words(line);
        let (Some(major), Some(minor), Some(device)) = (words.next(), words.next(), words.next()) else {
            return Err(malformed());
        };
        let mut values = [0.0; COLUMNS.len()];
        let mut count = 0;
        for (value, word) in values.iter_mut().zip(words) {
            *value = integer(word).ok_or_else(malformed)? as f64;
            count += 1;
        }
        let device = String::from_utf8_lossy(device);
        if count < FEWEST_COLUMNS || !self.devices.wants(&device) {
            return Ok(());
        }
        let labels = Labels::from_sorted([("device", &*device)]);
        for ((family, (.., factor)), value) in disks.columns.iter_mut().zip(COLUMNS).zip(values).take(count) {
            family.push(labels.clone(), value * factor);
        }
        let (major, minor) = (integer(major).ok_or_else(malformed)?, integer(minor).ok_or_else(malformed)?);
        let (major, minor) = (major.to_string(), minor.to_string());
        let properties = self.udev.block_device(&major, &minor);
        let rotational = rotational(&self.block, &device);
        disks.push_properties(&device, &properties, [&major, &minor, rotational]);
        Ok(())
    }
}

/// "0" also where the device does not say.
fn rotational(block: &Path, device: &str) -> &'static str {
    match first_line(&block.join(device).join("queue/rotational")).as_deref() {
        Some("1") => "1",
        _ => "0",
    }
}

impl Disks {
    fn new() -> Self {
        let family = |name: &str, help, kind| Family::new(format!("node_disk_{name}"), help, kind);
        Disks {
            columns: COLUMNS.map(|(name, help, kind, _)| family(name, help, kind)),
            info: family("info", "Info of /sys/block/<block_device>.", Gauge),
            filesystem: family("filesystem_info", "Info about disk filesystem.", Gauge),
            device_mapper: family("device_mapper_info", "Info about disk device mapper.", Gauge),
            ata: ATA.map(|(_, name, help)| family(name, help, Gauge)),
        }
    }

    fn push_properties(&mut self, device: &str, udev: &Properties, [major, minor, rotational]: [&str; 3]) {
        let labels = Labels::from_sorted([
            ("device", device),
            ("major", major),
            ("minor", minor),
            ("model", udev.get("ID_MODEL")),
            ("path", udev.get("ID_PATH")),
            ("revision", udev.get("ID_REVISION")),
            ("rotational", rotational),
            // What is printed on the disk first; ID_SERIAL is all that virtio disks have.
            ("serial", udev.first_of(&["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"])),
            ("wwn", udev.get("ID_WWN")),
        ]);
        self.info.push(labels, 1.0);
        if !udev.get("ID_FS_TYPE").is_empty() {
            let labels = Labels::from_sorted([
                ("device", device),
                ("type", udev.get("ID_FS_TYPE")),
                ("usage", udev.get("ID_FS_USAGE")),
                ("uuid", udev.get("ID_FS_UUID")),
                ("version", udev.get("ID_FS_VERSION")),
            ]);
            self.filesystem.push(labels, 1.0);
        }
        if !udev.get("DM_NAME").is_empty() {
            let labels = Labels::from_sorted([
                ("device", device),
                ("lv_layer", udev.get("DM_LV_LAYER")),
                ("lv_name", udev.get("DM_LV_NAME")),
                ("name", udev.get("DM_NAME")),
                ("uuid", udev.get("DM_UUID")),
                ("vg_name", udev.get("DM_VG_NAME")),
            ]);
            self.device_mapper.push(labels, 1.0);
        }
        if !udev.get("ID_ATA").is_empty() {
            for (family, (property, ..)) in self.ata.iter_mut().zip(ATA) {
                if let Some(value) = number(udev.get(property).as_bytes()) {
                    family.push(Labels::from_sorted([("device", device)]), value);
                }
            }
        }
    }
}
