//! `time`: the clock, the time zone and the kernel's clock sources.

use std::path::PathBuf;

use exposition::{Family, MetricKind};
use jiff::{Timestamp, tz::TimeZone};
use model::Labels;

use crate::collector::{CollectError, Collector, single};
use crate::options::{Options, OptionsError};
use crate::proc_file::{ProcFile, numbered_entries};

struct Time {
    clock_sources: PathBuf,
}

pub(super) fn new(options: &Options) -> Result<Box<dyn Collector>, OptionsError> {
    Ok(Box::new(Time { clock_sources: options.sysfs.join("devices/system/clocksource") }))
}

impl Collector for Time {
    fn collect(&mut self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        let now = Timestamp::now();
        let seconds = now.as_nanosecond() as f64 / 1e9;
        out.push(single(
            "node_time_seconds",
            "System time in seconds since epoch (1970).",
            MetricKind::Gauge,
            seconds,
        ));

        let zone = TimeZone::system();
        let zone = zone.to_offset_info(now);
        let help = "System time zone offset in seconds.";
        out.push(Family::new("node_time_zone_offset_seconds", help, MetricKind::Gauge).with(
            Labels::from_sorted([("time_zone", zone.abbreviation())]),
            f64::from(zone.offset().seconds()),
        ));
        self.clock_sources(out)
    }
}

impl Time {
    fn clock_sources(&self, out: &mut Vec<Family>) -> Result<(), CollectError> {
        let mut available = Family::new(
            "node_time_clocksource_available_info",
            "Available clocksources read from '/sys/devices/system/clocksource'.",
            MetricKind::Gauge,
        );
        let mut current = Family::new(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            MetricKind::Gauge,
        );
        // The label is the place in the list, not the number in the directory's name.
        for (place, (_, directory)) in
            numbered_entries(&self.clock_sources, "clocksource").into_iter().enumerate()
        {
            let device = place.to_string();
            for (family, file) in
                [(&mut available, "available_clocksource"), (&mut current, "current_clocksource")]
            {
                let mut file = ProcFile::new(directory.join(file));
                file.read()?;
                for source in String::from_utf8_lossy(file.text()).split_ascii_whitespace() {
                    family.push(Labels::from_sorted([("clocksource", source), ("device", &device)]), 1.0);
                }
            }
        }
        out.extend([available, current]);
        Ok(())
    }
}
