//! Tokens of an OAuth 2 server: fetched when one is needed, shared by all requests, fetched again before they expire or
//! when the secret behind them changed.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::assertion;
use crate::client::Client;
use crate::connection::{Head, Request};
use crate::credentials::{basic_credentials, sensitive};
use crate::error::BuildError;
use crate::options::{ClientOptions, Grant, Limits, OAuth2};
use crate::percent::{decode, encode_form};
use crate::text::Text;

/// RFC 7523, section 2.1.
const ASSERTION_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token is not used any more when it has this long to live.
const BEFORE_EXPIRY: Duration = Duration::from_secs(10);
/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long after a failure the next attempt may be: all requests of a client may need a token at the same time.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const LONGEST_ANSWER: usize = 1 << 20;

/// The tokens of one client.
pub(crate) struct Tokens {
    options: OAuth2,
    /// The client's secret, or the key that signs.
    credential: Option<Text>,
    client: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    failure: Option<(String, Instant)>,
    /// How the server wants to be told our secret, once that is known.
    style: Option<Style>,
}

struct Token {
    header: HeaderValue,
    until: Option<Instant>,
    credential: Arc<str>,
}

/// RFC 6749, section 2.3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    InHeader,
    InParameters,
}

/// What a server answers.
pub(crate) struct Answer {
    kind: String,
    token: String,
    lasts: Option<Duration>,
}

impl Tokens {
    pub(crate) fn new(options: &OAuth2) -> Result<Self, BuildError> {
        let client = Client::new(&ClientOptions {
            tls: options.tls.clone(),
            proxy: options.proxy.clone(),
            http2: false,
            ..ClientOptions::default()
        })?;
        let credential = match &options.grant {
            Grant::Secret(secret) => secret,
            Grant::Assertion(assertion) => &assertion.key,
        };
        let credential = credential.as_ref().map(Text::new);
        Ok(Tokens { options: options.clone(), credential, client, state: Mutex::default() })
    }

    /// `Authorization` of a request.
    pub(crate) fn header(
        &self,
        agent: Option<HeaderValue>,
    ) -> Pin<Box<dyn Future<Output = Result<HeaderValue, String>> + Send + '_>> {
        // In a box: a request needs a token, which needs a request.
        Box::pin(async move {
            let credential = match &self.credential {
                Some(text) => {
                    text.read().map_err(|reason| format!("unable to read oauth2 client secret: {reason}"))?
                }
                None => "".into(),
            };
            let mut state = self.state.lock().await;
            let now = Instant::now();
            if let Some(token) = state.token.as_ref().filter(|token| token.is_good(&credential, now)) {
                return Ok(token.header.clone());
            }
            if let Some((reason, _)) = state.failure.as_ref().filter(|(_, until)| now < *until) {
                return Err(reason.clone());
            }
            match self.fetch(&mut state.style, &credential, agent).await {
                Ok(answer) => {
                    let header = sensitive(&format!("{} {}", answer.kind, answer.token))?;
                    let until = answer.lasts.map(|lasts| now + lasts.saturating_sub(BEFORE_EXPIRY));
                    state.failure = None;
                    state.token = Some(Token { header: header.clone(), until, credential });
                    Ok(header)
                }
                Err(reason) => {
                    state.failure = Some((reason.clone(), Instant::now() + AFTER_FAILURE));
                    Err(reason)
                }
            }
        })
    }

    async fn fetch(
        &self,
        style: &mut Option<Style>,
        credential: &str,
        agent: Option<HeaderValue>,
    ) -> Result<Answer, String> {
        match &self.options.grant {
            Grant::Assertion(assertion) => {
                let signed = assertion::sign(&self.options, assertion, credential)?;
                let parameters =
                    self.parameters(&[("grant_type", ASSERTION_GRANT.to_owned()), ("assertion", signed)])?;
                let (head, body) = self.post(&parameters, None, agent).await?;
                answer(&head, &body)
            }
            Grant::Secret(_) => {
                let parameters = self.parameters(&[("grant_type", "client_credentials".to_owned())])?;
                let ask = |style| self.ask(&parameters, style, credential, agent.clone());
                if let Some(known) = *style {
                    return ask(known).await;
                }
                // Servers differ, and nothing tells beforehand.
                let (used, answered) = match ask(Style::InHeader).await {
                    Ok(answer) => (Style::InHeader, Ok(answer)),
                    Err(_) => (Style::InParameters, ask(Style::InParameters).await),
                };
                if answered.is_ok() {
                    *style = Some(used);
                }
                answered
            }
        }
    }

    async fn ask(
        &self,
        parameters: &BTreeMap<String, String>,
        style: Style,
        secret: &str,
        agent: Option<HeaderValue>,
    ) -> Result<Answer, String> {
        let id = &self.options.client_id;
        let (head, body) = match style {
            Style::InHeader => {
                let credentials = basic_credentials(&encode_form(id), &encode_form(secret));
                self.post(parameters, Some(sensitive(&credentials)?), agent).await?
            }
            Style::InParameters => {
                let mut parameters = parameters.clone();
                parameters.insert("client_id".to_owned(), id.clone());
                if !secret.is_empty() {
                    parameters.insert("client_secret".to_owned(), secret.to_owned());
                }
                self.post(&parameters, None, agent).await?
            }
        };
        answer(&head, &body)
    }

    /// `own` parameters, the scopes and those of the configuration, of which `grant_type` alone may replace ours.
    fn parameters(&self, own: &[(&str, String)]) -> Result<BTreeMap<String, String>, String> {
        let mut parameters: BTreeMap<String, String> =
            own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        if !self.options.scopes.is_empty() {
            parameters.insert("scope".to_owned(), self.options.scopes.join(" "));
        }
        for (name, value) in &self.options.endpoint_params {
            if name != "grant_type" && parameters.contains_key(name) {
                return Err(format!("oauth2: cannot overwrite parameter {name:?}"));
            }
            parameters.insert(name.clone(), value.clone());
        }
        Ok(parameters)
    }

    async fn post(
        &self,
        parameters: &BTreeMap<String, String>,
        credentials: Option<HeaderValue>,
        agent: Option<HeaderValue>,
    ) -> Result<(Head, Vec<u8>), String> {
        let url = &self.options.token_url;
        let url = Url::parse(url).map_err(|err| format!("parse {url:?}: {err}"))?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        if let Some(agent) = agent {
            headers.insert(USER_AGENT, agent);
        }
        if let Some(credentials) = credentials {
            headers.insert(AUTHORIZATION, credentials);
        }
        let form: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{}={}", encode_form(name), encode_form(value)))
            .collect();
        let content = form.join("&").into();
        let request = Request { method: Method::POST, url: &url, headers: &headers, content };
        let limits = Limits { body: LONGEST_ANSWER, decompressed: LONGEST_ANSWER };
        self.client.send(&request, limits, TIMEOUT).await.map_err(|err| err.to_string())
    }
}

impl Token {
    fn is_good(&self, credential: &str, now: Instant) -> bool {
        *self.credential == *credential && self.until.is_none_or(|until| now < until)
    }
}

/// RFC 6749, sections 5.1 and 5.2; some servers answer with a form instead of JSON, and some with 200 for an error.
pub(crate) fn answer(head: &Head, body: &[u8]) -> Result<Answer, String> {
    let failed = !head.status.is_success();
    let said = || {
        format!(
            "oauth2: cannot fetch token: {}\nResponse: {}",
            head.status_text(),
            String::from_utf8_lossy(body)
        )
    };
    let content_type = head.header("content-type").split(';').next().unwrap_or_default().trim();
    let fields = match content_type {
        "application/x-www-form-urlencoded" | "text/plain" => form(body),
        _ => match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => fields.into_iter().collect(),
            _ if failed => return Err(said()),
            Ok(_) => return Err("oauth2: cannot parse json: not an object".to_owned()),
            Err(err) => return Err(format!("oauth2: cannot parse json: {err}")),
        },
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if failed || !text("error").is_empty() {
        if text("error").is_empty() {
            return Err(said());
        }
        let words = ["error", "error_description", "error_uri"].map(text);
        let words: Vec<String> =
            words.iter().filter(|word| !word.is_empty()).map(|word| format!("{word:?}")).collect();
        return Err(format!("oauth2: {}", words.join(" ")));
    }
    if text("access_token").is_empty() {
        return Err("oauth2: server response missing access_token".to_owned());
    }
    let lasts = match fields.get("expires_in") {
        Some(Value::Number(seconds)) => seconds.as_u64(),
        Some(Value::String(seconds)) => seconds.parse().ok(),
        _ => None,
    };
    Ok(Answer {
        kind: kind(text("token_type")).to_owned(),
        token: text("access_token").to_owned(),
        lasts: lasts.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.min(1 << 31))),
    })
}

fn form(body: &[u8]) -> BTreeMap<String, Value> {
    let text = String::from_utf8_lossy(body);
    let plain = |text: &str| decode(&text.replace('+', " "));
    text.trim()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (plain(name), plain(value).into()))
        .collect()
}

/// Servers are not careful with capitals; those who read the header are.
fn kind(named: &str) -> &str {
    match named {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        kind if kind.eq_ignore_ascii_case("mac") => "MAC",
        kind if kind.eq_ignore_ascii_case("basic") => "Basic",
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, content_type: &'static str, body: &str) -> Result<String, String> {
        let response = http::Response::builder().status(status).header(CONTENT_TYPE, content_type);
        let head = Head::of(response.body(()).unwrap().into_parts().0);
        let answer = answer(&head, body.as_bytes())?;
        Ok(format!("{} {} {:?}", answer.kind, answer.token, answer.lasts.map(|l| l.as_secs())))
    }

    #[test]
    fn answers_are_read_as_servers_write_them() {
        let json = "application/json; charset=utf-8";
        let form = "application/x-www-form-urlencoded";
        for (status, content_type, body, outcome) in [
            (
                200,
                json,
                r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#,
                Ok("Bearer t Some(3600)"),
            ),
            (200, json, r#"{"access_token":"t","expires_in":"60"}"#, Ok("Bearer t Some(60)")),
            (201, json, r#"{"access_token":"t","token_type":"Odd","expires_in":0}"#, Ok("Odd t None")),
            (200, form, "access_token=a%2Bb+c&token_type=BEARER&expires_in=5", Ok("Bearer a+b c Some(5)")),
            (200, json, "{}", Err("oauth2: server response missing access_token")),
            (200, json, r#"{"error":"no","error_description":"why"}"#, Err(r#"oauth2: "no" "why""#)),
            (401, json, r#"{"error":"invalid_client"}"#, Err(r#"oauth2: "invalid_client""#)),
            (401, "text/html", "nope", Err("oauth2: cannot fetch token: 401 Unauthorized\nResponse: nope")),
            (
                503,
                "text/plain",
                "busy",
                Err("oauth2: cannot fetch token: 503 Service Unavailable\nResponse: busy"),
            ),
        ] {
            assert_eq!(
                read(status, content_type, body),
                outcome.map(str::to_owned).map_err(str::to_owned),
                "{body}"
            );
        }
    }
}
