//! `binnacle tool explain`: why something came out as it did.

mod arguments;
mod report;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use config::Place;
use model::{Labels, relabel};
use scrape::{Fate, Preview};

use super::Failure;
use super::check::{discover, find_job, previews, refuse_idle};
use super::failure::print;
use crate::logging;

pub(crate) use arguments::ExplainCommand;
use arguments::{ExplainConfigArgs, SERVER};

/// A target and what the rules of its job do to it.
struct Explained {
    discovered: Labels,
    /// The rules, and what each made of the labels.
    steps: Vec<(relabel::Config, relabel::Step)>,
    outcome: Outcome,
}

/// What becomes of a target.
enum Outcome {
    /// It is scraped there, and its series have these labels.
    Scraped { url: String, labels: Labels },
    /// A rule drops it.
    Dropped,
    /// It cannot be scraped.
    Refused(String),
    /// No target of a running server has come of it, which does not say why.
    Unknown,
}

/// All that a job has.
struct Job {
    name: String,
    /// `prometheus.yml:17` of each rule, as far as known.
    places: Vec<String>,
    targets: Vec<Explained>,
}

pub(super) fn run(command: &ExplainCommand) -> Result<ExitCode, Failure> {
    logging::init(logging::Level::Warn, logging::Format::Logfmt);
    let ExplainCommand::Config(args) = command;
    let job = if args.from.starts_with("http://") || args.from.starts_with("https://") {
        server::ask(&args.from, &args.job, given_labels(args))?
    } else {
        from_file(args)?
    };
    print(&report::render(&job, args.target.as_deref(), args.all))?;
    let found = job.targets.iter().any(|target| target.is_meant(args.target.as_deref()));
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The labels of `--label`, if there are any.
fn given_labels(args: &ExplainConfigArgs) -> Option<Labels> {
    let pairs = args.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    (!args.labels.is_empty()).then(|| Labels::from_pairs(pairs))
}

fn from_file(args: &ExplainConfigArgs) -> Result<Job, Failure> {
    if !std::path::Path::new(&args.from).is_file() {
        return Err(Failure::Told(format!(
            "{} is neither a file nor the URL of a server ({SERVER})",
            args.from
        )));
    }
    let (config, section) = find_job(&args.from, &args.job)?;
    if args.labels.is_empty() {
        refuse_idle(&section)?;
    }
    let job = section.to_job().map_err(Failure::Told)?;
    let rules = job.scrape.relabel_configs.clone();
    let previews = match given_labels(args) {
        Some(labels) => vec![scrape::preview(&job.scrape, &labels)],
        None => {
            let timeout = Duration::from_nanos(u64::try_from(args.timeout).unwrap_or(0));
            let groups = discover(job.clone(), timeout)?;
            previews(&job, &groups)
        }
    };
    let place = |place: Place| format!("{}:{}", args.from, place.line);
    Ok(Job {
        name: args.job.clone(),
        places: config.relabel_places(&args.job).into_iter().map(place).collect(),
        targets: previews.into_iter().map(|preview| Explained::new(preview, &rules)).collect(),
    })
}

impl Explained {
    fn new(preview: Preview, rules: &[relabel::Config]) -> Self {
        let outcome = match preview.fate {
            Fate::Scraped { url, public, .. } => Outcome::Scraped { url, labels: public },
            Fate::Dropped => Outcome::Dropped,
            Fate::Refused(why) => Outcome::Refused(why),
        };
        let steps = rules.iter().cloned().zip(preview.steps).collect();
        Explained { discovered: preview.discovered, steps, outcome }
    }

    /// Whether a text of the command line means this target: it is in its address or in the value of any label.
    fn is_meant(&self, text: Option<&str>) -> bool {
        let Some(text) = text else { return true };
        let of_outcome = match &self.outcome {
            Outcome::Scraped { url, labels } => {
                url.contains(text) || labels.iter().any(|(_, value)| value.contains(text))
            }
            _ => false,
        };
        of_outcome || self.discovered.iter().any(|(_, value)| value.contains(text))
    }

    fn address(&self) -> &str {
        self.discovered.value(discovery::ADDRESS)
    }

    /// The number of the rule that drops it, counted from one.
    fn dropped_by(&self) -> Option<usize> {
        self.steps.iter().position(|(_, step)| !step.keep).map(|i| i + 1)
    }
}
