//! A client of the query API, with the errors of Prometheus' client library.

use std::collections::BTreeMap;
use std::time::Duration;

use httpclient::{Bytes, Head, HeaderMap, HeaderValue, Method};
use model::number::quote;
use serde_json::Value;
use serde_json::value::RawValue;

use super::time::Instant;
use super::value::{Answer, Metric, labels};
use crate::tool::client::{Question, ToolClient, Unanswered};
use crate::tool::server_url::{ServerUrl, encoded, escaped_path};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// See the module.
pub(crate) struct Api {
    client: ToolClient,
    url: ServerUrl,
    headers: HeaderMap,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) text: String,
    /// What the server said that does not speak the API.
    pub(crate) detail: String,
}

impl ApiError {
    fn new(text: impl Into<String>) -> Self {
        ApiError { text: text.into(), detail: String::new() }
    }
}

/// What a server answers.
struct Data {
    json: Box<RawValue>,
    warnings: Vec<String>,
}

impl Api {
    pub(crate) fn new(client: ToolClient, url: &ServerUrl, headers: HeaderMap) -> Self {
        Api { client, url: url.clone().with_scheme(), headers }
    }

    /// Evaluates an expression at one time.
    pub(crate) fn query(&self, expr: &str, at: Instant) -> Result<Answer, ApiError> {
        let parameters = [("query", expr.to_owned()), ("time", at.parameter())];
        answer(&self.post("/api/v1/query", &parameters)?.json)
    }

    /// Evaluates an expression at steps of so many nanoseconds; with warnings.
    pub(crate) fn query_range(
        &self,
        expr: &str,
        (start, end): (Instant, Instant),
        step: i64,
    ) -> Result<(Answer, Vec<String>), ApiError> {
        let step = model::number::format_f(step as f64 / 1e9);
        let parameters = [
            ("query", expr.to_owned()),
            ("start", start.parameter()),
            ("end", end.parameter()),
            ("step", step),
        ];
        let data = self.post("/api/v1/query_range", &parameters)?;
        Ok((answer(&data.json)?, data.warnings))
    }

    /// Labels of the series that any of the selectors selects.
    pub(crate) fn series(
        &self,
        selectors: &[String],
        (start, end): (Instant, Instant),
    ) -> Result<Vec<Metric>, ApiError> {
        let mut parameters: Vec<_> = selectors.iter().map(|selector| ("match[]", selector.clone())).collect();
        parameters.extend([("start", start.parameter()), ("end", end.parameter())]);
        let data = self.post("/api/v1/series", &parameters)?;
        let list: Value = decoded(&data.json)?;
        let sets = list.as_array().into_iter().flatten();
        Ok(sets.filter_map(Value::as_object).map(labels).collect())
    }

    /// Values of a label, with warnings.
    pub(crate) fn label_values(
        &self,
        name: &str,
        selectors: &[String],
        (start, end): (Instant, Instant),
    ) -> Result<(Vec<String>, Vec<String>), ApiError> {
        let mut parameters = self.url.parameters();
        let own = [("start", start.parameter()), ("end", end.parameter())];
        parameters.extend(own.map(|(name, value)| (name.to_owned(), value)));
        parameters.extend(selectors.iter().map(|selector| ("match[]".to_owned(), selector.clone())));
        let path = format!("/api/v1/label/{}/values", escaped_path(name));
        let url = self.url.join(&path).with_query(&encoded(&parameters));
        let (head, body) = self.send(Method::GET, &url, Bytes::new()).map_err(|no| ApiError::new(no.text))?;
        let data = data(&head, &body)?;
        let list: Value = decoded(&data.json)?;
        let values = list.as_array().into_iter().flatten();
        Ok((values.filter_map(Value::as_str).map(str::to_owned).collect(), data.warnings))
    }

    /// With the parameters as a form, or in the URL where the server does not take forms.
    fn post(&self, path: &str, parameters: &[(&str, String)]) -> Result<Data, ApiError> {
        let mut all = self.url.parameters();
        all.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let form = encoded(&all);
        let url = self.url.join(path);
        let sent = self.send(Method::POST, &url, form.clone().into());
        let (head, body) = match sent.map_err(|no| ApiError::new(no.text))? {
            (head, _) if matches!(head.status.as_u16(), 403 | 405 | 501) => self
                .send(Method::GET, &url.with_query(&form), Bytes::new())
                .map_err(|no| ApiError::new(no.text))?,
            answered => answered,
        };
        data(&head, &body)
    }

    fn send(&self, method: Method, url: &ServerUrl, content: Bytes) -> Result<(Head, Vec<u8>), Unanswered> {
        let mut headers = self.headers.clone();
        if method == Method::POST && !headers.contains_key("content-type") {
            headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
        }
        self.client.ask(&Question { method, url, headers: &headers, content, timeout: TIMEOUT })
    }
}

/// What an answer of the API holds.
fn data(head: &Head, body: &[u8]) -> Result<Data, ApiError> {
    let code = head.status.as_u16();
    let is_api_error = matches!(code, 400 | 422);
    if code / 100 != 2 && !is_api_error {
        let (kind, message) = match code / 100 {
            4 => ("client_error", format!("client error: {code}")),
            5 => ("server_error", format!("server error: {code}")),
            _ => ("bad_response", format!("bad response code {code}")),
        };
        let detail = String::from_utf8_lossy(body).into_owned();
        return Err(ApiError { text: format!("{kind}: {message}"), detail });
    }
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(|error| {
        let text = String::from_utf8_lossy(body);
        ApiError::new(format!("bad_response: {}", malformed(&text, &error)))
    })?;
    let text = |key: &str| -> String {
        members.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    };
    match text("status").as_str() {
        "error" => return Err(ApiError::new(format!("{}: {}", text("errorType"), text("error")))),
        "success" if is_api_error => {
            return Err(ApiError::new("bad_response: inconsistent body for response code"));
        }
        _ => {}
    }
    let warnings = members.get("warnings").and_then(|raw| serde_json::from_str(raw.get()).ok());
    let json = match members.get("data") {
        Some(data) => data.clone(),
        None => RawValue::from_string("null".to_owned()).map_err(|error| ApiError::new(error.to_string()))?,
    };
    Ok(Data { json, warnings: warnings.unwrap_or_default() })
}

/// The answer to a query.
fn answer(data: &RawValue) -> Result<Answer, ApiError> {
    let value: Value = decoded(data)?;
    let kind = value["resultType"].as_str().unwrap_or_default();
    if !matches!(kind, "scalar" | "vector" | "matrix") {
        let why = format!("unmarshalerDecoder: unexpected value type {}", quote(kind));
        return Err(ApiError::new(around(data.get(), data.get().len(), &why)));
    }
    Answer::of(kind, &value["result"]).ok_or_else(|| {
        let why = format!("unmarshalerDecoder: no {kind}");
        ApiError::new(around(data.get(), data.get().len(), &why))
    })
}

fn decoded(data: &RawValue) -> Result<Value, ApiError> {
    serde_json::from_str(data.get()).map_err(|error| ApiError::new(malformed(data.get(), &error)))
}

/// Why a body is no answer of the API, as jsoniter would put it where it is no object at all.
fn malformed(text: &str, error: &serde_json::Error) -> String {
    let start = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
    match text[start..].chars().next() {
        Some('{') => error.to_string(),
        Some(c) => {
            let why = format!("readObjectStart: expect {{ or n, but found {c}");
            around(text, start + c.len_utf8(), &why)
        }
        None => around(text, text.len(), "readObjectStart: expect { or n, but found \0"),
    }
}

/// What is wrong at a place, with what stands around it, as jsoniter tells it.
fn around(text: &str, at: usize, why: &str) -> String {
    let window = |reach: usize| {
        let bytes = text.as_bytes().get(at.saturating_sub(reach)..text.len().min(at + reach));
        String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
    };
    let byte = at.min(10);
    format!(
        "{why}, error found in #{byte} byte of ...|{}|..., bigger context ...|{}|...",
        window(10),
        window(50)
    )
}
