//! `check service-discovery`: the targets that a job finds, before and after relabelling.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Job, ScrapeConfig};
use discovery::{ProviderOptions, TargetGroup};
use exposition::registry::Registry;
use scrape::Preview;

use super::arguments::ServiceDiscoveryArgs;
use super::config_file::load;
use super::targets_json;
use crate::tool::Failure;
use crate::tool::failure::print;

/// How long nothing new must come from what is on this machine before it counts as all there is.
const QUIET: Duration = Duration::from_millis(300);

pub(super) fn run(args: &ServiceDiscoveryArgs) -> Result<ExitCode, Failure> {
    let (_, job) = find_job(&args.file, &args.job)?;
    refuse_idle(&job)?;
    let job = job.to_job().map_err(Failure::Told)?;
    let timeout = Duration::from_nanos(u64::try_from(args.timeout).unwrap_or(0));
    let groups = discover(job.clone(), timeout)?;
    print(&targets_json::render(&previews(&job, &groups)))?;
    Ok(ExitCode::SUCCESS)
}

/// The job of that name, and the configuration that has it.
pub(in crate::tool) fn find_job(file: &str, name: &str) -> Result<(Config, ScrapeConfig), Failure> {
    let config = load(file).map_err(|(line, _)| Failure::Told(format!("Cannot load config {line}")))?;
    let jobs =
        config.scrape_configs().map_err(|err| Failure::Told(format!("Cannot load scrape configs {err}")))?;
    let Some(job) = jobs.iter().find(|job| job.job_name == name) else {
        let names: String = jobs.iter().map(|job| format!("\n\t{}", job.job_name)).collect();
        return Err(Failure::Told(format!("Job {name} not found. Select one of:{names}")));
    };
    let job = job.clone();
    Ok((config, job))
}

/// Refuses a job of which some part would not run.
pub(in crate::tool) fn refuse_idle(job: &ScrapeConfig) -> Result<(), Failure> {
    match job.unsupported() {
        Some(unsupported) => Err(Failure::Told(unsupported.to_string())),
        None => Ok(()),
    }
}

/// Everything that the job's providers find in the time.
pub(in crate::tool) fn discover(job: Job, timeout: Duration) -> Result<Vec<Arc<TargetGroup>>, Failure> {
    let here =
        |options: &ProviderOptions| matches!(options, ProviderOptions::Static(_) | ProviderOptions::File(_));
    let quiet = if job.providers.iter().all(here) { QUIET } else { timeout };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(async move {
        let metrics = discovery::Metrics::register(&Registry::new());
        let manager = discovery::Manager::new("check", &metrics, Duration::from_millis(100));
        let mut sets = manager.subscribe();
        let name = job.scrape.name.clone();
        manager.apply([(name.clone(), job.providers)]);
        let until = tokio::time::Instant::now() + timeout;
        loop {
            let quiet_until = (tokio::time::Instant::now() + quiet).min(until);
            match tokio::time::timeout_at(quiet_until, sets.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => break,
            }
        }
        sets.borrow().get(&name).cloned().unwrap_or_default()
    }))
}

/// What becomes of each target; equal ones of a group once.
pub(in crate::tool) fn previews(job: &Job, groups: &[Arc<TargetGroup>]) -> Vec<Preview> {
    let mut all = Vec::new();
    for group in groups {
        let mut of_group: Vec<Preview> = Vec::new();
        for index in 0..group.targets.len() {
            let preview = scrape::preview(&job.scrape, &group.labels_of(index));
            if !of_group.contains(&preview) {
                of_group.push(preview);
            }
        }
        all.append(&mut of_group);
    }
    all
}
