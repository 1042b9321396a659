//! The file as a whole.

use model::number::quote;

use super::alerting::Alerting;
use super::global::{Global, Runtime};
use super::relabel::{Rules, compile};
use super::remote::{RemoteRead, RemoteWrite};
use super::scrape::{JobError, ScrapeConfig, Step};
use super::storage::{Exemplars, Otlp, Retention, Storage, Tracing};
use crate::decode::{Keys, Section, Stop, section};
use crate::kinds::{FilePath, NameScheme};
use crate::load::FeatureDefaults;
use crate::yaml::{Node, Span};

section! {
    /// `prometheus.yml`.
    Document "config.Config" "config.plain" {
        /// What holds everywhere.
        global: Global = "global" keep,
        /// The Go runtime of Prometheus.
        runtime: Runtime = "runtime",
        /// Where alerts go.
        alerting: Alerting = "alerting",
        /// Files of rules, with stars.
        rule_files: Vec<FilePath> = "rule_files",
        /// Files of further jobs, with stars.
        scrape_config_files: Vec<FilePath> = "scrape_config_files",
        /// The jobs.
        scrape_configs: Vec<Option<ScrapeConfig>> = "scrape_configs",
        /// How samples are kept.
        storage: Storage = "storage",
        /// Where traces are sent.
        tracing: Tracing = "tracing",
        /// Where samples are sent.
        remote_write: Vec<Option<RemoteWrite>> = "remote_write",
        /// Where queries are passed on to.
        remote_read: Vec<Option<RemoteRead>> = "remote_read",
        /// How metrics that arrive by OTLP are translated.
        otlp: Otlp = "otlp",
    }
}

section! {
    /// A file that `scrape_config_files` names.
    ScrapeFile "config.ScrapeConfigs" "config.ScrapeConfigs" {
        /// The jobs.
        scrape_configs: Vec<Option<ScrapeConfig>> = "scrape_configs",
    }
}
impl Section for ScrapeFile {}

impl Section for Document {
    fn defaults() -> Self {
        Document { global: Global::standard(), otlp: Otlp::defaults(), ..Document::default() }
    }
}

/// Follows steps as far as they lead, and returns the place that was reached.
pub(crate) fn place(root: &Node, steps: &[Step]) -> Span {
    let mut node = root;
    let mut span = root.span;
    for step in steps {
        let next = match step {
            Step::Key(key) => node.get(key),
            Step::Index(index) => node.index(*index),
        };
        let Some(next) = next else { break };
        node = next;
        span = next.span;
    }
    span
}

impl Document {
    /// Fills in what depends on other sections, and checks what involves several. `root` tells the places.
    pub(crate) fn complete(
        &mut self,
        root: &Node,
        retention: &Retention,
        features: FeatureDefaults,
    ) -> Result<(), Stop> {
        // An empty block sets every key to nothing; then the defaults hold again.
        if self.global.all_empty() {
            self.global = Global::standard();
        }
        let written = root.get("global");
        self.global.take_defaults(features, |key| {
            written.and_then(|global| global.get(key)).is_some_and(|node| !node.is_null())
        });
        self.storage.tsdb.get_or_insert_default().complete_retention(retention);
        if let Some(max_exemplars) = features.max_exemplars {
            self.storage.exemplars.get_or_insert(Exemplars { max_exemplars });
        }
        check_patterns(root, "rule_files", &self.rule_files, "invalid rule file path")?;
        check_patterns(
            root,
            "scrape_config_files",
            &self.scrape_config_files,
            "invalid scrape config file path",
        )?;
        complete_jobs(&mut self.scrape_configs, &self.global, root, &mut Vec::new(), None)?;
        let scheme = self.global.metric_name_validation_scheme;
        self.check_alerting(root, scheme)?;
        self.check_remote(root, scheme)
    }

    fn check_alerting(&self, root: &Node, scheme: NameScheme) -> Result<(), Stop> {
        let at = [Step::Key("alerting")];
        check_rules(root, &at, "alert_relabel_configs", &self.alerting.alert_relabel_configs, scheme)?;
        for (i, alertmanager) in self.alerting.alertmanagers.0.iter().enumerate() {
            let at = [Step::Key("alerting"), Step::Key("alertmanagers"), Step::Index(i)];
            let Some(alertmanager) = alertmanager else {
                return Err(Stop::at(place(root, &at), "empty or null Alertmanager config section"));
            };
            check_rules(root, &at, "alert_relabel_configs", &alertmanager.alert_relabel_configs, scheme)?;
            check_rules(root, &at, "relabel_configs", &alertmanager.relabel_configs, scheme)?;
        }
        Ok(())
    }

    fn check_remote(&self, root: &Node, scheme: NameScheme) -> Result<(), Stop> {
        let mut names: Vec<&str> = Vec::new();
        for (i, remote) in self.remote_write.iter().enumerate() {
            let at = [Step::Key("remote_write"), Step::Index(i)];
            let Some(remote) = remote else {
                return Err(Stop::at(place(root, &at), "empty or null remote write config section"));
            };
            check_name(root, &at, &remote.name, &mut names, "remote write")?;
            check_rules(root, &at, "write_relabel_configs", &remote.write_relabel_configs, scheme)?;
        }
        let mut names: Vec<&str> = Vec::new();
        for (i, remote) in self.remote_read.iter().enumerate() {
            let at = [Step::Key("remote_read"), Step::Index(i)];
            let Some(remote) = remote else {
                return Err(Stop::at(place(root, &at), "empty or null remote read config section"));
            };
            check_name(root, &at, &remote.name, &mut names, "remote read")?;
        }
        Ok(())
    }
}

fn joined<const N: usize>(at: &[Step], steps: [Step; N]) -> Vec<Step> {
    at.iter().copied().chain(steps).collect()
}

fn check_name<'a>(
    root: &Node,
    at: &[Step],
    name: &'a str,
    names: &mut Vec<&'a str>,
    what: &str,
) -> Result<(), Stop> {
    if !name.is_empty() && names.contains(&name) {
        let span = place(root, &joined(at, [Step::Key("name")]));
        return Err(Stop::at(span, format!("found multiple {what} configs with job name {}", quote(name))));
    }
    names.push(name);
    Ok(())
}

fn check_rules(
    root: &Node,
    at: &[Step],
    key: &'static str,
    rules: &Rules,
    scheme: NameScheme,
) -> Result<(), Stop> {
    let Err((index, line, help)) = compile(rules, scheme) else { return Ok(()) };
    let mut stop = Stop::at(place(root, &joined(at, [Step::Key(key), Step::Index(index)])), line);
    stop.problem.help = help;
    Err(stop)
}

/// At most one star, and no slash after it.
fn check_patterns(root: &Node, key: &'static str, patterns: &[FilePath], line: &str) -> Result<(), Stop> {
    for (i, pattern) in patterns.iter().enumerate() {
        let after_star = pattern.0.split_once('*').map_or("", |(_, after)| after);
        if after_star.contains('/') {
            let span = place(root, &[Step::Key(key), Step::Index(i)]);
            let stop = Stop::at(span, format!("{line} {}", quote(&pattern.0)));
            return Err(stop.help("only the last element of a path may hold a star"));
        }
    }
    Ok(())
}

/// Completes jobs; `named` are the names that are taken already and where, `here` says where these are.
pub(crate) fn complete_jobs(
    jobs: &mut [Option<ScrapeConfig>],
    global: &Global,
    root: &Node,
    named: &mut Vec<(String, Option<String>)>,
    here: Option<&str>,
) -> Result<(), Stop> {
    for (i, job) in jobs.iter_mut().enumerate() {
        let at = [Step::Key("scrape_configs"), Step::Index(i)];
        let Some(job) = job else {
            return Err(Stop::at(place(root, &at), "empty or null scrape config section"));
        };
        job.complete(global).map_err(|JobError { line, path, help }| {
            let steps: Vec<Step> = at.into_iter().chain(path).collect();
            let mut stop = Stop::at(place(root, &steps), line);
            stop.problem.help = help;
            stop
        })?;
        let span = place(root, &joined(&at, [Step::Key("job_name")]));
        if let Some((_, file)) = named.iter().find(|(name, _)| *name == job.job_name) {
            let mut line = format!("found multiple scrape configs with job name {}", quote(&job.job_name));
            if let Some(file) = file {
                line.push_str(&format!(", first found in {file}"));
            }
            return Err(Stop::at(span, line).help("names of jobs must differ"));
        }
        named.push((job.job_name.clone(), here.map(str::to_owned)));
    }
    Ok(())
}
