//! What would become of a target, without scraping it.

use model::{Labels, relabel};

use crate::options::JobOptions;
use crate::target::{RESERVED_PREFIX, finish, target_url, with_defaults};

/// The way of a target through the rules of its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Its labels before the first rule: those that were discovered, and the job's.
    pub discovered: Labels,
    /// What each rule made of them.
    pub steps: Vec<relabel::Step>,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is scraped.
    Scraped {
        /// All its labels, with those that only say how it is scraped.
        labels: Labels,
        /// The labels of its series.
        public: Labels,
        /// Where.
        url: String,
    },
    /// A rule dropped it.
    Dropped,
    /// It cannot be scraped: why, in Prometheus' words.
    Refused(String),
}

/// Takes a target with the labels that were discovered through the rules of its job.
#[must_use]
pub fn preview(job: &JobOptions, labels: &Labels) -> Preview {
    let discovered = with_defaults(labels, job);
    let steps = relabel::trace(&discovered, &job.relabel_configs);
    let left = steps.last().map_or((true, &discovered), |last| (last.keep, &last.output));
    let fate = match left {
        (false, _) => Fate::Dropped,
        (true, labels) => match finish(labels) {
            Err(why) => Fate::Refused(why),
            Ok(relabelled) => Fate::Scraped {
                url: target_url(job, &relabelled.labels),
                public: relabelled.labels.filter(|name| !name.starts_with(RESERVED_PREFIX)),
                labels: relabelled.labels,
            },
        },
    };
    Preview { discovered, steps, fate }
}
