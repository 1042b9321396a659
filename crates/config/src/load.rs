//! From a text or a file to a checked configuration.

use std::borrow::Cow;
use std::path::Path;

use model::number::quote;

use crate::decode::{Issues, Stop, decode_section};
use crate::error::{ConfigError, Problem};
use crate::glob::glob;
use crate::sections::{Document, Retention, ScrapeConfig, ScrapeFile, Step, complete_jobs, place};
use crate::yaml::{Node, Out, Place, SyntaxError, emit, parse};

/// What a configuration depends on besides its text.
pub struct LoadOptions<'a> {
    /// Looks up an environment variable: for external labels.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The directory that relative paths of files start from: the one of the configuration file.
    pub directory: &'a Path,
    /// What holds where the file has no `storage.tsdb.retention`: the flags.
    pub default_retention: Retention,
    /// What features of the program change about the defaults.
    pub features: FeatureDefaults,
}

/// Defaults that features of the program change.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeatureDefaults {
    /// `extra_scrape_metrics` is on.
    pub extra_scrape_metrics: bool,
    /// `scrape_protocols` begins with protobuf, which has most start times.
    pub protobuf_first: bool,
    /// How many exemplars are kept, if any are.
    pub max_exemplars: Option<i64>,
}

impl std::fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadOptions").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A configuration that Prometheus would accept.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    document: Document,
    /// For the places of what is complained about later.
    root: Option<Node>,
    text: String,
    /// Names of environment variables that external labels want and that are not set.
    unset_variables: Vec<String>,
}

/// Reads and checks a configuration.
///
/// # Errors
/// When Prometheus would refuse it: in its words, and with places for people.
pub fn load(content: impl AsRef<[u8]>, options: &LoadOptions<'_>) -> Result<Config, ConfigError> {
    let text = &*text(content.as_ref())?;
    let root = read(text)?;
    let mut document: Document = match &root {
        Some(root) => decode(root, text)?,
        None => crate::decode::Section::defaults(),
    };
    let nothing =
        Node { kind: crate::yaml::Kind::Mapping(Vec::new()), span: crate::yaml::Span::default(), tag: None };
    let root_or_nothing = root.as_ref().unwrap_or(&nothing);
    document
        .complete(root_or_nothing, &options.default_retention, options.features)
        .map_err(|stop| refused(stop, text))?;
    if document.runtime.gogc == 0 {
        document.runtime.gogc = default_gogc(options.environment);
    }
    let unset_variables = expand_external_labels(&mut document, options.environment);
    check_otlp(&document).map_err(|line| {
        let span = place(root_or_nothing, &[Step::Key("otlp"), Step::Key("translation_strategy")]);
        refused(Stop::at(span, line), text)
    })?;
    crate::decode::Field::set_directory(&mut document, options.directory);
    Ok(Config { document, root, text: text.to_owned(), unset_variables })
}

fn text(content: &[u8]) -> Result<Cow<'_, str>, ConfigError> {
    crate::yaml::text(content).map_err(|err| not_yaml(&err, &crate::yaml::shown(content)))
}

/// The tree; a text without content has none.
fn read(text: &str) -> Result<Option<Node>, ConfigError> {
    let root = parse(text).map_err(|err| not_yaml(&err, text))?;
    Ok(root.filter(|root| !root.is_null()))
}

fn not_yaml(err: &SyntaxError, text: &str) -> ConfigError {
    let span = crate::yaml::Span { start: err.place, end: err.place };
    let message = err.message.strip_prefix("yaml: ").unwrap_or(&err.message);
    // The place says the line already.
    let message = match message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message,
        None => message,
    };
    let help = message.contains("cannot start any token").then(|| {
        "YAML is indented with blanks, never with tabs; a value that starts with @, ` or % needs quotes"
            .into()
    });
    let problem = Problem { span: Some(span), message: format!("not valid YAML: {message}"), help };
    ConfigError::new(err.message.clone(), vec![problem], text)
}

fn decode<T: crate::decode::Section + crate::decode::Keys>(
    root: &Node,
    text: &str,
) -> Result<T, ConfigError> {
    let mut issues = Issues::default();
    let decoded = decode_section(root, &mut issues).map_err(|stop| refused(stop, text))?;
    match (issues.finish(), decoded) {
        (Some((line, problems)), _) => Err(ConfigError::new(line, problems, text)),
        (None, Some(decoded)) => Ok(decoded),
        (None, None) => Ok(T::defaults()),
    }
}

fn refused(stop: Stop, text: &str) -> ConfigError {
    ConfigError::new(stop.line, vec![stop.problem], text)
}

/// What `GOGC` says, else 75. It is only shown.
fn default_gogc(environment: &dyn Fn(&str) -> Option<String>) -> isize {
    match environment("GOGC") {
        Some(value) if value.eq_ignore_ascii_case("off") => -1,
        Some(value) => value.parse().unwrap_or(75),
        None => 75,
    }
}

/// Replaces `$NAME` and `${NAME}` in the values of external labels; `$$` is a dollar sign.
fn expand_external_labels(
    document: &mut Document,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut unset = Vec::new();
    for value in document.global.external_labels.values_mut() {
        *value = expand(value, &mut |name| {
            if name == "$" {
                return "$".into();
            }
            environment(name).filter(|value| !value.is_empty()).unwrap_or_else(|| {
                unset.push(name.to_owned());
                String::new()
            })
        });
    }
    unset
}

/// Go's `os.Expand`.
fn expand(text: &str, lookup: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = variable(after);
        match name {
            Some(name) => out.push_str(&lookup(name)),
            // A dollar sign without a name stands for itself; a bad name in braces is dropped with its sign.
            None if after.len() == rest.len() - before.len() - 1 => out.push('$'),
            None => {}
        }
        rest = after;
    }
    out + rest
}

/// The name after a dollar sign, if there is one, and what follows.
fn variable(text: &str) -> (Option<&str>, &str) {
    const SPECIAL: [char; 18] =
        ['*', '#', '$', '@', '!', '?', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '_'];
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.split_once('}') {
            Some(("", after)) => (None, after),
            Some((name, after)) => (Some(name), after),
            None => (None, inner),
        };
    }
    if let Some(c) = text.chars().next().filter(|c| SPECIAL.contains(c) && *c != '_') {
        return (Some(&text[..c.len_utf8()]), &text[c.len_utf8()..]);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if end == 0 { (None, text) } else { (Some(&text[..end]), &text[end..]) }
}

fn check_otlp(document: &Document) -> Result<(), String> {
    let strategy = document.otlp.translation_strategy.0.as_str();
    let legacy = document.global.metric_name_validation_scheme.0 == Some(model::ValidationScheme::Legacy);
    match strategy {
        "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => Ok(()),
        "NoTranslation" | "NoUTF8EscapingWithSuffixes" if legacy => {
            Err(format!("OTLP translation strategy {} is not allowed when UTF8 is disabled", quote(strategy)))
        }
        "NoTranslation" | "NoUTF8EscapingWithSuffixes" => Ok(()),
        other => Err(format!("unsupported OTLP translation strategy {}", quote(other))),
    }
}

fn absolute(file: &str) -> String {
    std::path::absolute(file).map_or_else(|_| file.to_owned(), |path| path.to_string_lossy().into_owned())
}

impl Config {
    /// The sections of the main file.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    pub(crate) fn root(&self) -> Option<&Node> {
        self.root.as_ref()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Names of environment variables that external labels want and that are not set: worth a warning.
    #[must_use]
    pub fn unset_variables(&self) -> &[String] {
        &self.unset_variables
    }

    /// How long samples are kept: by the file, or else by the default given to [`load`]. Zero: for ever.
    #[must_use]
    pub fn retention_time(&self) -> std::time::Duration {
        let tsdb = self.document.storage.tsdb.as_ref();
        tsdb.and_then(|tsdb| tsdb.retention.as_ref()).map_or_else(Default::default, |r| r.time.into())
    }

    /// How long and how much is kept: by the file, or else by the default given to [`load`].
    #[must_use]
    pub fn retention(&self) -> Retention {
        let tsdb = self.document.storage.tsdb.as_ref();
        tsdb.and_then(|tsdb| tsdb.retention.clone()).unwrap_or_default()
    }

    /// The labels that series get which leave for another server, environment variables expanded.
    #[must_use]
    pub fn external_labels(&self) -> &std::collections::BTreeMap<String, String> {
        &self.document.global.external_labels
    }

    /// Where queries are written down when they have run.
    #[must_use]
    pub fn query_log_file(&self) -> Option<&std::path::Path> {
        let file = &self.document.global.query_log_file;
        (!file.is_unset()).then(|| std::path::Path::new(&file.0))
    }

    /// Where the relabelling rules of a job of this file stand.
    #[must_use]
    pub fn relabel_places(&self, job: &str) -> Vec<Place> {
        let jobs = self.root.as_ref().and_then(|root| root.get("scrape_configs"));
        let index = self.document.scrape_configs.iter().flatten().position(|own| own.job_name == job);
        let rules = index.and_then(|index| jobs?.index(index)).and_then(|job| job.get("relabel_configs"));
        let rules = (0..).map_while(|i| rules.and_then(|rules| rules.index(i)));
        rules.map(|rule| rule.span.start).collect()
    }

    /// The configuration with everything filled in and secrets hidden, as `/api/v1/status/config` shows it.
    #[must_use]
    pub fn effective_yaml(&self) -> String {
        let out: Out = crate::decode::Field::encode(&self.document);
        emit::to_string(&out)
    }

    /// The files beside the main one that `rule_files` and `scrape_config_files` name now, in this order.
    ///
    /// # Errors
    /// The pattern that is none.
    pub fn included_files(&self) -> Result<Vec<String>, String> {
        let patterns = self.document.rule_files.iter().chain(&self.document.scrape_config_files);
        let mut files = Vec::new();
        for pattern in patterns {
            let found = glob(&pattern.0);
            files.extend(
                found.map_err(|err| {
                    format!("error finding files with pattern {}: {err}", quote(&pattern.0))
                })?,
            );
        }
        Ok(files)
    }

    /// Every job: those of the main file, then those of the files that `scrape_config_files` names, which are
    /// read now.
    ///
    /// # Errors
    /// When one of the files cannot be read or is not valid, or a name is taken twice.
    pub fn scrape_configs(&self) -> Result<Vec<ScrapeConfig>, ConfigError> {
        let mut jobs: Vec<ScrapeConfig> = self.document.scrape_configs.iter().flatten().cloned().collect();
        let mut named: Vec<(String, Option<String>)> =
            jobs.iter().map(|job| (job.job_name.clone(), Some("main config file".into()))).collect();
        for pattern in &self.document.scrape_config_files {
            let files = glob(&pattern.0).map_err(|err| {
                let quoted = quote(&pattern.0);
                let line = format!("error retrieving scrape config files for {quoted}: {err}");
                let problem = Problem { span: None, message: line.clone(), help: None };
                ConfigError::new(line, vec![problem], "")
            })?;
            for file in files.iter().map(|file| absolute(file)) {
                jobs.extend(self.jobs_of_file(&file, &mut named).map_err(|err| err.in_file(&file))?);
            }
        }
        Ok(jobs)
    }

    fn jobs_of_file(
        &self,
        file: &str,
        named: &mut Vec<(String, Option<String>)>,
    ) -> Result<Vec<ScrapeConfig>, ConfigError> {
        let content = std::fs::read(file).map_err(|err| {
            let line = crate::error::of_reading(file, &err);
            let problem = Problem { span: None, message: line.clone(), help: None };
            ConfigError::new(line, vec![problem], "")
        })?;
        let text = text(&content)?;
        let Some(root) = read(&text)? else { return Ok(Vec::new()) };
        let mut content: ScrapeFile = decode(&root, &text)?;
        let here = Some(quote(file));
        complete_jobs(&mut content.scrape_configs, &self.document.global, &root, named, here.as_deref())
            .map_err(|stop| refused(stop, &text))?;
        let directory = Path::new(file).parent().unwrap_or(Path::new(""));
        crate::decode::Field::set_directory(&mut content, directory);
        Ok(content.scrape_configs.into_iter().flatten().collect())
    }
}
