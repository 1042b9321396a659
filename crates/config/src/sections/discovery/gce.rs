//! `gce_sd_configs`.

use std::time::Duration;

use cloudauth::Environment;
use discovery::{GceOptions, ProviderOptions};

use super::{Entry, MINUTE, of_environment};
use crate::decode::{Invalid, Section, invalid, section};
use crate::kinds::Millis;

section! {
    /// Instances of Google Compute Engine.
    GceSd "gce.SDConfig" "gce.plain" {
        /// The project.
        project: String = "project" keep,
        /// The zone.
        zone: String = "zone" keep,
        /// Which instances; all if empty.
        filter: String = "filter",
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The port of targets.
        port: isize = "port" keep,
        /// What stands between the tags in their label.
        tag_separator: String = "tag_separator",
    }
}

impl Section for GceSd {
    fn defaults() -> Self {
        GceSd { port: 80, tag_separator: ",".into(), refresh_interval: Millis(MINUTE), ..GceSd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.project.is_empty() {
            return invalid("GCE SD configuration requires a project");
        }
        if self.zone.is_empty() {
            return invalid("GCE SD configuration requires a zone");
        }
        Ok(())
    }
}

impl Entry for GceSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Gce(Box::new(GceOptions {
            project: self.project.clone(),
            zone: self.zone.clone(),
            filter: self.filter.clone(),
            port: self.port as i64,
            tag_separator: self.tag_separator.clone(),
            refresh_interval: Duration::from(self.refresh_interval),
            client: of_environment().to_options(),
            environment: Environment::of_process(),
        })))
    }
}
