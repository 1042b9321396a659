//! `puppetdb_sd_configs`: resources that PuppetDB finds with a query.

use std::time::Duration;

use httpclient::{ClientOptions, Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::http::is_json;
use crate::json::{Many, Or, Text};
use crate::label_set::{LabelParts, NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::Rest;

const PARAMETER: &str = "__meta_puppetdb_parameter_";
/// Parameters in parameters deeper than this are left out.
const MAX_DEPTH: usize = 32;

/// A `puppetdb_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PuppetDbOptions {
    /// The URL of PuppetDB.
    pub url: String,
    /// Which resources: PQL.
    pub query: String,
    /// Make labels of parameters, which may be secret.
    pub include_parameters: bool,
    /// The port of targets.
    pub port: i64,
    /// How often; also the time-out of a request. Prometheus: 60 s.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<PuppetDbOptions> {
    fn validate(&self) -> Result<(), String> {
        Resources::new((**self).clone(), NameLists::default()).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let resources = Resources::new(*self, context.lists.clone());
        refresh::every(interval, "puppetdb", &context, resources).await;
    }
}

struct Resources {
    options: PuppetDbOptions,
    api: Rest,
    url: Url,
    lists: NameLists,
}

impl Resources {
    fn new(options: PuppetDbOptions, lists: NameLists) -> Result<Self, String> {
        let mut url = Url::parse(&options.url).map_err(|err| err.to_string())?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["pdb", "query", "v4"]);
        }
        let api = Rest::new(&options.client, options.refresh_interval)?
            .header("accept", "application/json")?
            .header("content-type", "application/json")?;
        Ok(Resources { options, api, url, lists })
    }
}

impl Source for Resources {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let question = serde_json::json!({"query": self.options.query}).to_string();
        let (head, body) = self.api.send(Method::POST, &self.url, question.into_bytes()).await?;
        if head.status.as_u16() != 200 {
            return Err(format!("server returned HTTP status {}", head.status_text()));
        }
        let content_type = head.header("content-type");
        if !is_json(content_type) {
            return Err(format!("unsupported content type {content_type}"));
        }
        let source = format!("{}?query={}", self.url, self.options.query);
        Ok(vec![TargetGroup::of(source, targets(&body, &self.options, &self.lists)?)])
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Resource<'a> {
    #[serde(borrow)]
    certname: Text<'a>,
    #[serde(borrow)]
    resource: Text<'a>,
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    title: Text<'a>,
    exported: Or<bool>,
    #[serde(borrow)]
    tags: Many<Text<'a>>,
    #[serde(borrow)]
    file: Text<'a>,
    #[serde(borrow)]
    environment: Text<'a>,
    parameters: Or<Map<String, Value>>,
}

fn targets(body: &[u8], options: &PuppetDbOptions, lists: &NameLists) -> Result<Vec<LabelParts>, String> {
    let resources: Many<Resource<'_>> = serde_json::from_slice(body).map_err(|err| err.to_string())?;
    let mut pairs = Pairs::default();
    let targets = resources.0.iter().map(|resource| {
        pairs.push(ADDRESS, &join_host_port(&resource.certname, options.port));
        pairs.push("__meta_puppetdb_query", &options.query);
        pairs.push("__meta_puppetdb_certname", &resource.certname);
        pairs.push("__meta_puppetdb_resource", &resource.resource);
        pairs.push("__meta_puppetdb_type", &resource.r#type);
        pairs.push("__meta_puppetdb_title", &resource.title);
        pairs.push("__meta_puppetdb_exported", if *resource.exported { "true" } else { "false" });
        pairs.push("__meta_puppetdb_file", &resource.file);
        pairs.push("__meta_puppetdb_environment", &resource.environment);
        let tags: Vec<&str> = resource.tags.0.iter().map(|tag| &**tag).collect();
        if !tags.is_empty() {
            pairs.push("__meta_puppetdb_tags", &format!(",{},", tags.join(",")));
        }
        if options.include_parameters {
            push_parameters(&mut pairs, PARAMETER, &resource.parameters, 0);
        }
        pairs.take(lists).into()
    });
    Ok(targets.collect())
}

/// Texts, numbers and truth values; lists of them with commas between; objects with their keys as prefixes.
fn push_parameters(pairs: &mut Pairs, prefix: &str, parameters: &Map<String, Value>, depth: usize) {
    for (name, value) in parameters {
        match value {
            Value::Object(inner) if depth < MAX_DEPTH => {
                let clean: String =
                    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                push_parameters(pairs, &format!("{prefix}{clean}_"), inner, depth + 1);
            }
            Value::Array(values) => {
                let values: Vec<String> =
                    values.iter().map(|value| plain(value).unwrap_or_default()).collect();
                pairs.push_sanitized(&[prefix], name, &values.join(","));
            }
            value => pairs.push_sanitized(&[prefix], name, &plain(value).unwrap_or_default()),
        }
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => number.as_f64().map(model::number::format_g),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads an answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let options = PuppetDbOptions {
        url: String::new(),
        query: String::new(),
        include_parameters: true,
        port: 80,
        refresh_interval: Duration::from_secs(60),
        client: ClientOptions::default(),
    };
    targets(body, &options, lists).map_or(0, |targets| targets.len())
}
