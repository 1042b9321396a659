//! Reading the configuration, wherever it comes from.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use config::{Config, FeatureDefaults, Job, LoadOptions, RuleFileOptions};
use model::number::quote;

use crate::features::Features;
use crate::storage;
use crate::storage_flags::StorageOptions;
use crate::tool::failure::reading;

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) enum ConfigSource {
    /// The user's file, read again on reload.
    File(PathBuf),
    /// The one that `up` brings along.
    Embedded { text: String, name: &'static str },
}

/// A configuration that can be put in force.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) jobs: Vec<Job>,
    /// Each job with everything filled in and secrets hidden, by name.
    pub(crate) job_texts: BTreeMap<String, String>,
    pub(crate) remote_writes: Vec<remote::WriteOptions>,
    pub(crate) remote_reads: Vec<remote::ReadOptions>,
    pub(crate) alerting: config::AlertingOptions,
    pub(crate) rule_groups: Vec<rules::GroupOptions>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[error("couldn't load configuration (--config.file={}): {line}", quote(.file))]
pub(crate) struct LoadError {
    file: String,
    /// One line, in Prometheus' words.
    line: String,
    /// For people: file, line, column, the source line, what would be right.
    pub(crate) report: String,
}

/// A number that is another one when the configuration's file, or one that it includes, is another.
///
/// # Errors
/// When one of them cannot be read, or the first is not valid.
pub(crate) fn fingerprint(file: &Path) -> Result<u64, String> {
    let content = std::fs::read(file).map_err(|error| reading(file, &error))?;
    let options = LoadOptions {
        environment: &|_| None,
        directory: file.parent().unwrap_or(Path::new("")),
        default_retention: config::Retention::default(),
        features: FeatureDefaults::default(),
    };
    let config = config::load(&content, &options).map_err(|error| error.to_string())?;
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    for included in config.included_files()? {
        let path = Path::new(&included);
        let content = std::fs::read(path).map_err(|error| reading(path, &error))?;
        (included, content).hash(&mut hasher);
    }
    Ok(hasher.finish())
}

/// Reads and checks; what the file asks for and is not there yet is refused by name.
pub(crate) fn load(
    source: &ConfigSource,
    options: &StorageOptions,
    features: Features,
    agent: bool,
) -> Result<Loaded, LoadError> {
    let (file, text) = match source {
        ConfigSource::File(path) => {
            (path.display().to_string(), std::fs::read(path).map_err(|error| reading(path, &error)))
        }
        ConfigSource::Embedded { text, name } => ((*name).to_owned(), Ok(text.clone().into_bytes())),
    };
    let refused = |line: String, report: String| LoadError { file: file.clone(), line, report };
    let text = text.map_err(|why| refused(why.clone(), format!("error: {why}\n")))?;
    let directory = Path::new(&file).parent().unwrap_or(Path::new(""));
    let environment = |name: &str| std::env::var(name).ok();
    let default_retention = storage::flagged_retention(options);
    let rule_files = RuleFileOptions { expressions: features.expressions(), ..RuleFileOptions::default() };
    let features = FeatureDefaults {
        extra_scrape_metrics: features.extra_scrape_metrics,
        protobuf_first: features.scraped_start_times() != scrape::StartTimes::Ignored,
        max_exemplars: features.exemplar_storage.then_some(storage::DEFAULT_EXEMPLARS),
    };
    let load_options = LoadOptions { environment: &environment, directory, default_retention, features };
    let in_file = |e: config::ConfigError| refused(format!("parsing YAML file {file}: {e}"), e.report(&file));
    let config = config::load(&text, &load_options).map_err(in_file)?;
    for name in config.unset_variables() {
        tracing::warn!(name = name.as_str(), "Empty environment variable");
    }
    if agent {
        config.check_agent().map_err(|e| refused(e.clone(), format!("error: {file}: {e}\n")))?;
    }
    let configs = config.scrape_configs().map_err(in_file)?;
    if let Some(missing) = config.unsupported(&configs) {
        return Err(refused(missing.to_string(), missing.report(&file)));
    }
    storage::check(options, &config).map_err(|e| refused(e.to_owned(), format!("error: {file}: {e}\n")))?;
    let jobs = configs
        .iter()
        .map(|job| job.to_job().map_err(|e| format!("job_name {}: {e}", quote(&job.job_name))))
        .collect::<Result<_, _>>()
        .map_err(|e| refused(e.clone(), format!("error: {file}: {e}\n")))?;
    let job_texts = configs.iter().map(|job| (job.job_name.clone(), job.effective_yaml())).collect();
    let in_section = |e: String| refused(e.clone(), format!("error: {file}: {e}\n"));
    let remote_writes = config.remote_writes().map_err(in_section)?;
    let remote_reads = config.remote_reads().map_err(in_section)?;
    let alerting = config.alerting().map_err(in_section)?;
    let rule_groups = config.rule_groups(&rule_files).map_err(in_section)?;
    Ok(Loaded { config, jobs, job_texts, remote_writes, remote_reads, alerting, rule_groups })
}
