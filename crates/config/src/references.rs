//! What a configuration refers to: files of rules, of credentials and of targets, as promtool checks them.

use model::Labels;
use scrape::{Fate, JobOptions};

use crate::error::of_system;
use crate::glob::glob;
use crate::load::Config;
use crate::sections::{Alertmanager, FileSd, ScrapeConfig, StaticConfig, TlsConfig};
use crate::target_file::read_targets;
use model::number::quote;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The configuration alone.
    Syntax,
    /// Also what it refers to.
    Content,
}

impl Config {
    /// Refuses what an agent, which only forwards, has no use for.
    ///
    /// # Errors
    /// In Prometheus' words.
    pub fn check_agent(&self) -> Result<(), String> {
        let document = self.document();
        let alerting = &document.alerting;
        let not_allowed = [
            (!alerting.alertmanagers.0.is_empty() || !alerting.alert_relabel_configs.is_empty(), "alerting"),
            (!document.rule_files.is_empty(), "rule_files"),
            (!document.remote_read.is_empty(), "remote_read"),
        ];
        match not_allowed.iter().find(|(set, _)| *set) {
            Some((_, key)) => Err(format!("field {key} is not allowed in agent mode")),
            None => Ok(()),
        }
    }

    /// The files of rules that are there.
    ///
    /// # Errors
    /// In promtool's words: when a name without a star is missing, or a pattern malformed.
    pub fn existing_rule_files(&self) -> Result<Vec<String>, String> {
        let mut out = Vec::new();
        for pattern in &self.document().rule_files {
            let found = glob(&pattern.0).map_err(|err| err.to_string())?;
            if !pattern.0.contains('*') {
                let Some(first) = found.first() else {
                    return Err(format!("{} does not point to an existing file", quote(&pattern.0)));
                };
                check_exists(first, "rule file")?;
            }
            out.extend(found);
        }
        Ok(out)
    }

    /// Checks targets, credentials and certificates of jobs and Alertmanagers; `warn` is told what is odd.
    ///
    /// # Errors
    /// The first complaint, in promtool's words.
    pub fn check_references(
        &self,
        jobs: &[ScrapeConfig],
        depth: Depth,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), String> {
        for job in jobs {
            check_job(job, depth, warn)?;
        }
        for alertmanager in self.document().alerting.alertmanagers.0.iter().flatten() {
            check_alertmanager(alertmanager, depth, warn)?;
        }
        Ok(())
    }
}

fn check_job(job: &ScrapeConfig, depth: Depth, warn: &mut dyn FnMut(String)) -> Result<(), String> {
    if let (Depth::Content, Some(authorization)) = (depth, &job.http.authorization) {
        check_exists(&authorization.credentials_file.0, "authorization credentials or bearer token file")?;
    }
    check_tls(&job.http.tls_config, depth)?;
    let options = job.to_job()?.scrape;
    for sd in job.discovery.file.iter().flatten().filter(|_| depth == Depth::Content) {
        let missing = |file: &str| {
            let job = quote(&job.job_name);
            format!("  WARNING: file {} for file_sd in scrape job {job} does not exist", quote(file))
        };
        each_group(sd, warn, missing, &mut |group| check_targets(&options, "", group))?;
    }
    for sd in job.discovery.kubernetes.iter().flatten() {
        check_tls(&sd.http.tls_config, depth)?;
    }
    for (i, group) in job.discovery.static_configs.iter().flatten().enumerate() {
        check_targets(&options, &i.to_string(), group)?;
    }
    Ok(())
}

fn check_alertmanager(
    alertmanager: &Alertmanager,
    depth: Depth,
    warn: &mut dyn FnMut(String),
) -> Result<(), String> {
    let rules = crate::sections::compile(&alertmanager.relabel_configs, crate::kinds::NameScheme::default());
    let rules = rules.map_err(|(_, line, _)| line)?;
    let mut check = |group: &StaticConfig| check_alertmanagers(alertmanager, &rules, group);
    for sd in alertmanager.discovery.file.iter().flatten().filter(|_| depth == Depth::Content) {
        let missing = |file: &str| {
            format!("  WARNING: file {} for file_sd in alertmanager config does not exist", quote(file))
        };
        each_group(sd, warn, missing, &mut check)?;
    }
    alertmanager.discovery.static_configs.iter().flatten().try_for_each(check)
}

/// Reads the files of an entry; `missing` words the warning about one that is not there.
fn each_group(
    sd: &FileSd,
    warn: &mut dyn FnMut(String),
    missing: impl Fn(&str) -> String,
    check: &mut dyn FnMut(&StaticConfig) -> Result<(), String>,
) -> Result<(), String> {
    for pattern in &sd.files {
        let files = glob(&pattern.0).map_err(|err| err.to_string())?;
        if files.is_empty() {
            warn(missing(&pattern.0));
        }
        for file in files {
            let groups = read_targets(&file)
                .map_err(|err| format!("checking SD file {}: {err}", quote(&pattern.0)))?;
            groups.iter().try_for_each(&mut *check)?;
        }
    }
    Ok(())
}

/// The labels of each target of a group.
fn labels_of(group: &StaticConfig) -> impl Iterator<Item = Labels> {
    let group = group.to_group();
    (0..group.targets.len()).map(move |i| group.labels_of(i))
}

fn check_targets(options: &JobOptions, source: &str, group: &StaticConfig) -> Result<(), String> {
    for (i, labels) in labels_of(group).enumerate() {
        if let Fate::Refused(why) = scrape::preview(options, &labels).fate {
            return Err(format!("instance {i} in group {source}: {why}"));
        }
    }
    Ok(())
}

/// An Alertmanager's address must not hold a path once the rules are through.
fn check_alertmanagers(
    alertmanager: &Alertmanager,
    rules: &[model::relabel::Config],
    group: &StaticConfig,
) -> Result<(), String> {
    notifier::destinations(&group.to_group(), &alertmanager.scheme, &alertmanager.path_prefix, rules)
        .map(drop)
        .map_err(|invalid| invalid.to_string())
}

fn check_tls(tls: &TlsConfig, depth: Depth) -> Result<(), String> {
    let (cert, key) = (&tls.cert_file.0, &tls.key_file.0);
    if !cert.is_empty() && key.is_empty() {
        return Err(format!("client cert file {} specified without client key file", quote(cert)));
    }
    if !key.is_empty() && cert.is_empty() {
        return Err(format!("client key file {} specified without client cert file", quote(key)));
    }
    if depth == Depth::Syntax {
        return Ok(());
    }
    check_exists(cert, "client cert file")?;
    check_exists(key, "client key file")
}

fn check_exists(file: &str, what: &str) -> Result<(), String> {
    if file.is_empty() {
        return Ok(());
    }
    match std::fs::metadata(file) {
        Ok(_) => Ok(()),
        Err(err) => Err(format!("error checking {what} {}: stat {file}: {}", quote(file), of_system(&err))),
    }
}
