//! Running the collectors and reporting on them.

use std::time::Instant;

use exposition::{Family, MetricKind};
use model::Labels;
use parking_lot::Mutex;

use crate::collector::{CollectError, Collector};
use crate::collectors;
use crate::options::{BuildInfo, Options, OptionsError};

/// This machine's collectors.
pub struct NodeStats {
    running: Mutex<Vec<Running>>,
    build: BuildInfo,
}

struct Running {
    name: &'static str,
    collector: Box<dyn Collector>,
    /// Whether the last run failed: a failure is logged when it begins, not on every scrape.
    failing: bool,
}

impl NodeStats {
    /// Sets up the collectors that `options` leaves on.
    ///
    /// # Errors
    /// When a pattern does not compile or a name is not that of a collector.
    pub fn new(options: &Options) -> Result<Self, OptionsError> {
        if let Some(unknown) = options.disabled.iter().find(|name| !Self::collectors().any(|c| c == *name)) {
            return Err(OptionsError::UnknownCollector(unknown.clone()));
        }
        let mut running = Vec::new();
        for &(name, set_up) in collectors::ALL {
            if options.disabled.iter().all(|disabled| disabled != name) {
                running.push(Running { name, collector: set_up(options)?, failing: false });
            }
        }
        Ok(NodeStats { running: Mutex::new(running), build: options.build.clone() })
    }

    /// The names of all collectors.
    pub fn collectors() -> impl Iterator<Item = &'static str> {
        collectors::ALL.iter().map(|&(name, _)| name)
    }

    /// Reads the machine: the families sorted by name, each one's metrics by labels. Blocks only shortly
    /// ([`Options::mount_patience`] at most, for mounts that hang); calls from several threads take turns.
    #[must_use]
    pub fn collect(&self) -> Vec<Family> {
        let mut families = Vec::with_capacity(512);
        let mut duration = Family::new(
            "node_scrape_collector_duration_seconds",
            "node_exporter: Duration of a collector scrape.",
            MetricKind::Gauge,
        );
        let mut success = Family::new(
            "node_scrape_collector_success",
            "node_exporter: Whether a collector succeeded.",
            MetricKind::Gauge,
        );
        for running in self.running.lock().iter_mut() {
            let labels = Labels::from_sorted([("collector", running.name)]);
            let start = Instant::now();
            let succeeded = running.run(&mut families);
            duration.push(labels.clone(), start.elapsed().as_secs_f64());
            success.push(labels, f64::from(u8::from(succeeded)));
        }
        families.extend([duration, success, build_info(&self.build)]);
        families.retain(|family| !family.metrics.is_empty());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        for family in &mut families {
            family.metrics.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        families
    }
}

impl Running {
    fn run(&mut self, families: &mut Vec<Family>) -> bool {
        let result = self.collector.collect(families);
        let failed = match &result {
            Ok(()) | Err(CollectError::NoData) => false,
            Err(error) => {
                if !self.failing {
                    tracing::warn!(collector = self.name, error = %error, "collector failed");
                }
                true
            }
        };
        if self.failing && !failed {
            tracing::info!(collector = self.name, "collector works again");
        }
        self.failing = failed;
        result.is_ok()
    }
}

fn build_info(build: &BuildInfo) -> Family {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("goarch", arch),
        ("goos", std::env::consts::OS),
        ("revision", &build.revision),
        ("version", &build.version),
    ];
    Family::new(
        "node_exporter_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build.",
        MetricKind::Gauge,
    )
    .with(Labels::from_sorted(labels), 1.0)
}
