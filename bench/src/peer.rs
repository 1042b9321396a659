//! The programs that are compared: how each is configured, started and told apart.

mod process;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::load::Announcement;
use crate::measure::tell;
pub(crate) use process::Process;

/// A program under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// The yardstick of the ratios.
    Prometheus,
    /// The second yardstick.
    VictoriaMetrics,
    /// This program.
    Binnacle,
}

/// Which programs are compared, and where they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {
    /// The programs, in the order in which they run; those not found are left out.
    #[arg(long, value_delimiter = ',', default_value = "prometheus,victoria-metrics,binnacle")]
    peers: Vec<Peer>,
    /// Prometheus' program, if not the one on the path.
    #[arg(long)]
    prometheus: Option<PathBuf>,
    /// VictoriaMetrics' program (single node), if not the one on the path.
    #[arg(long)]
    victoria: Option<PathBuf>,
    /// binnacle's program, if not the one beside this or on the path.
    #[arg(long)]
    binnacle: Option<PathBuf>,
}

impl Peers {
    /// The programs with their files; those not found are named and left out.
    pub(crate) fn found(&self) -> Vec<(Peer, PathBuf)> {
        let file = |&peer: &Peer| {
            let given = match peer {
                Peer::Prometheus => &self.prometheus,
                Peer::VictoriaMetrics => &self.victoria,
                Peer::Binnacle => &self.binnacle,
            };
            let file = given.clone().or_else(|| peer.find());
            if file.is_none() {
                tell(&format!("{}: not found, left out", peer.name()));
            }
            Some((peer, file?))
        };
        self.peers.iter().filter_map(file).collect()
    }
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Prometheus => "prometheus",
            Peer::VictoriaMetrics => "victoria-metrics",
            Peer::Binnacle => "binnacle",
        }
    }

    /// The program's file: beside this one (as cargo builds it), or on the path.
    fn find(self) -> Option<PathBuf> {
        let beside = std::env::current_exe().ok()?.with_file_name(self.name());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|directory| directory.join(self.name()));
        std::iter::once(beside).chain(on_path).find(|file| file.is_file())
    }

    /// Starts the program on `data`, scraping `load` if there is one. `flags` are for those that have Prometheus' own.
    pub(crate) fn start(
        self,
        file: &Path,
        folder: &Path,
        port: u16,
        load: Option<&Load<'_>>,
        flags: &[&str],
    ) -> Result<Process> {
        self.start_on(None, file, folder, port, load, flags)
    }

    /// The same, on one core alone if `core` is given.
    pub(crate) fn start_on(
        self,
        core: Option<usize>,
        file: &Path,
        folder: &Path,
        port: u16,
        load: Option<&Load<'_>>,
        flags: &[&str],
    ) -> Result<Process> {
        let name = if load.is_some() { "scraping.yml" } else { "idle.yml" };
        let config = folder.join(name);
        fs::write(&config, configuration(load)).context("configuration")?;
        let data = folder.join("data");
        let (config, data) = (config.to_string_lossy(), data.to_string_lossy());
        let prometheus = || {
            let own = [
                format!("--config.file={config}"),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address=127.0.0.1:{port}"),
            ];
            own.into_iter().chain(flags.iter().map(|&flag| flag.to_owned())).collect::<Vec<_>>()
        };
        let args = match self {
            Peer::Prometheus => prometheus(),
            Peer::Binnacle => [vec!["server".to_owned()], prometheus()].concat(),
            // Only limits of queries are raised, and the half minute by which it answers late is taken off, to compare answers.
            Peer::VictoriaMetrics => vec![
                format!("-promscrape.config={config}"),
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr=127.0.0.1:{port}"),
                "-retentionPeriod=100y".to_owned(),
                "-search.maxUniqueTimeseries=20000000".to_owned(),
                "-search.maxSeries=20000000".to_owned(),
                "-search.maxSamplesPerQuery=10000000000".to_owned(),
                "-search.maxQueryDuration=5m".to_owned(),
                "-search.latencyOffset=0s".to_owned(),
            ],
        };
        let log = folder.join("log.txt");
        match core {
            None => Process::start(file, &args, &log),
            Some(core) => {
                let bound = ["--cpu-list".to_owned(), core.to_string(), file.to_string_lossy().into_owned()];
                Process::start(Path::new("taskset"), &[bound.to_vec(), args].concat(), &log)
            }
        }
    }

    /// The path that answers 200 once the program is ready.
    pub(crate) fn ready_path(self) -> &'static str {
        match self {
            Peer::Prometheus | Peer::Binnacle => "/-/ready",
            Peer::VictoriaMetrics => "/health",
        }
    }

    /// Whether it has Prometheus' blocks, and flags that say how long they are.
    pub(crate) fn cuts_blocks(self) -> bool {
        self != Peer::VictoriaMetrics
    }

    /// What is added to each query so that no answer comes from a cache of results.
    pub(crate) fn query_suffix(self) -> &'static str {
        match self {
            Peer::Prometheus | Peer::Binnacle => "",
            Peer::VictoriaMetrics => "&nocache=1",
        }
    }
}

/// What is to be scraped.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) announcement: &'a Announcement,
    pub(crate) interval: Duration,
    /// More of the configuration.
    pub(crate) more: &'a str,
}

/// A `prometheus.yml`.
fn configuration(load: Option<&Load<'_>>) -> String {
    let Some(load) = load else { return "scrape_configs: []\n".to_owned() };
    let interval = model::duration::format(load.interval.as_millis() as i64);
    let mut yaml =
        format!("global:\n  scrape_interval: {interval}\n  scrape_timeout: {interval}\nscrape_configs:\n");
    let mut jobs: Vec<&str> = load.announcement.targets.iter().map(|target| target.job.as_str()).collect();
    jobs.sort_unstable();
    jobs.dedup();
    for job in jobs {
        // The pages of containers and objects carry namespace and pod of their own; none of them has a job or an instance.
        let _ = write!(yaml, "- job_name: {job}\n  static_configs:\n");
        for target in load.announcement.targets.iter().filter(|target| target.job == job) {
            let (port, instance, path) = (load.announcement.port, &target.instance, &target.path);
            let _ = write!(
                yaml,
                "  - targets: ['127.0.0.1:{port}']\n    labels: {{instance: '{instance}', cluster: 'bench', service: '{job}', __metrics_path__: '{path}'}}\n",
            );
        }
    }
    yaml + load.more
}
