//! Targets and rules of a running server, by its API: of binnacle or of Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use httpclient::{Client, ClientOptions, HeaderMap, Limits, Url};
use model::relabel::{Action, Config, Step};
use model::{Labels, Regex};
use serde_json::Value;

use super::{Explained, Job, Outcome};
use crate::tool::Failure;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Asks for the targets of a job, or for a made-up one, and for what the rules do to each.
pub(super) fn ask(url: &str, job: &str, labels: Option<Labels>) -> Result<Job, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let api = Api::new(url)?;
        let found = match labels {
            Some(labels) => vec![(labels, Outcome::Unknown)],
            None => api.targets(job).await?,
        };
        if found.is_empty() {
            // The server tells whether there is such a job at all.
            api.steps(job, &Labels::empty()).await?;
        }
        let mut targets = Vec::new();
        for (discovered, outcome) in found {
            let steps = api.steps(job, &discovered).await?;
            let dropped = steps.last().is_some_and(|(_, step)| !step.keep);
            let outcome = if dropped { Outcome::Dropped } else { outcome };
            targets.push(Explained { discovered, steps, outcome });
        }
        Ok(Job { name: job.to_owned(), places: Vec::new(), targets })
    })
}

struct Api {
    base: Url,
    client: Client,
}

impl Api {
    fn new(url: &str) -> Result<Self, Failure> {
        let base = Url::parse(url).map_err(|err| Failure::during(url, err))?;
        Ok(Api { base, client: Client::new(&ClientOptions::default())? })
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, Failure> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.query_pairs_mut().extend_pairs(parameters);
        let asked = self.client.get(&url, &HeaderMap::new(), Limits::default(), TIMEOUT).await;
        let (head, body) = asked.map_err(|err| Failure::Told(err.to_string()))?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| {
            Failure::Told(format!("{url}: {}, not the API of a Prometheus", head.status_text()))
        })?;
        if let Some(error) = answer["error"].as_str() {
            return Err(Failure::Told(format!("{}: {error}", self.base)));
        }
        Ok(answer["data"].clone())
    }

    /// Active and dropped targets of a job.
    async fn targets(&self, job: &str) -> Result<Vec<(Labels, Outcome)>, Failure> {
        let data = self.get("/api/v1/targets", &[("scrapePool", job), ("state", "any")]).await?;
        let of_job = |target: &&Value| {
            target["scrapePool"]
                .as_str()
                .or(target["discoveredLabels"]["job"].as_str())
                .is_none_or(|j| j == job)
        };
        let list = |key: &str| data[key].as_array().cloned().unwrap_or_default();
        let mut found = Vec::new();
        for target in list("activeTargets").iter().filter(of_job) {
            let url = target["scrapeUrl"].as_str().unwrap_or_default().to_owned();
            let outcome = Outcome::Scraped { url, labels: labels(&target["labels"]) };
            found.push((labels(&target["discoveredLabels"]), outcome));
        }
        for target in list("droppedTargets").iter().filter(of_job) {
            found.push((labels(&target["discoveredLabels"]), Outcome::Unknown));
        }
        Ok(found)
    }

    async fn steps(&self, job: &str, discovered: &Labels) -> Result<Vec<(Config, Step)>, Failure> {
        let pairs: BTreeMap<&str, &str> = discovered.iter().collect();
        let json = serde_json::to_string(&pairs)?;
        let parameters = [("scrapePool", job), ("labels", json.as_str())];
        let data = self.get("/api/v1/targets/relabel_steps", &parameters).await?;
        let steps = data["steps"].as_array().cloned().unwrap_or_default();
        steps
            .iter()
            .map(|step| {
                let output = labels(&step["output"]);
                Ok((rule(&step["rule"])?, Step { output, keep: step["keep"].as_bool().unwrap_or(true) }))
            })
            .collect()
    }
}

fn labels(object: &Value) -> Labels {
    let members = object.as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn rule(object: &Value) -> Result<Config, Failure> {
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let source = object["source_labels"].as_array().into_iter().flatten();
    Ok(Config {
        source_labels: source.filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        separator: text("separator"),
        regex: Regex::new(&text("regex"))?,
        modulus: object["modulus"].as_u64().unwrap_or(0),
        target_label: text("target_label"),
        replacement: text("replacement"),
        action: Action::parse(&text("action"))?,
        ..Config::default()
    })
}
