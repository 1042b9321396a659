//! `uyuni_sd_configs`: exporters on systems that Uyuni manages, over its XML-RPC.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use httpclient::{ClientOptions, Method, Secret, Url};

use crate::group::{ADDRESS, TargetGroup};
use crate::label_set::{LabelParts, NameLists, Pairs};
use crate::provider::{Context, Provider};
use crate::refresh::{self, Source};
use crate::rest::{PATIENCE, Rest};
use crate::xml::{self, Element};

/// How long a session that we ask for lives; we ask for another one after half of that.
const SESSION: Duration = Duration::from_secs(600);

/// A `uyuni_sd_configs` entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UyuniOptions {
    /// The URL of the server.
    pub server: String,
    /// Who we are.
    pub username: String,
    /// Our password.
    pub password: Secret,
    /// What systems must be entitled to. Prometheus: `monitoring_entitled`.
    pub entitlement: String,
    /// What stands between the groups in their label.
    pub separator: String,
    /// How often. Prometheus: 1 min.
    pub refresh_interval: Duration,
    /// How to ask.
    pub client: ClientOptions,
}

impl Provider for Box<UyuniOptions> {
    fn validate(&self) -> Result<(), String> {
        Server::new((**self).clone(), NameLists::default()).map(drop)
    }

    async fn run(self, context: Context) {
        let interval = self.refresh_interval;
        let server = Server::new(*self, context.lists.clone());
        refresh::every(interval, "uyuni", &context, server).await;
    }
}

struct Server {
    options: UyuniOptions,
    api: Rest,
    url: Url,
    /// The session and when it is time for another one.
    session: Option<(String, Instant)>,
    lists: NameLists,
}

impl Server {
    fn new(options: UyuniOptions, lists: NameLists) -> Result<Self, String> {
        let mut url = Url::parse(&options.server).map_err(|err| err.to_string())?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["rpc", "api"]);
        }
        let api = Rest::new(&options.client, PATIENCE)?.header("content-type", "text/xml")?;
        Ok(Server { options, api, url, session: None, lists })
    }

    /// The answer to a call.
    async fn call(&self, method: &str, arguments: &[Value]) -> Result<Value, String> {
        let call = call(method, arguments);
        let (head, body) = self.api.send(Method::POST, &self.url, call.into_bytes()).await?;
        if !head.status.is_success() {
            return Err(format!("request error: bad status code - {}", head.status.as_u16()));
        }
        answer(&body)
    }

    async fn session(&mut self) -> Result<String, String> {
        if let Some((session, until)) = &self.session
            && Instant::now() < *until
        {
            return Ok(session.clone());
        }
        let arguments = [
            Value::Text(self.options.username.clone()),
            Value::Text(self.options.password.reveal().to_owned()),
            Value::Int(SESSION.as_secs() as i64),
        ];
        let session = self.call("auth.login", &arguments).await;
        let session = session.map_err(|err| format!("unable to login to Uyuni API: {err}"))?;
        let session = session.text().to_owned();
        self.session = Some((session.clone(), Instant::now() + SESSION / 2));
        Ok(session)
    }

    async fn find(&self, session: &str) -> Result<Vec<LabelParts>, String> {
        let session = Value::Text(session.to_owned());
        let entitlement = Value::Text(self.options.entitlement.clone());
        let method = "system.listSystemGroupsForSystemsWithEntitlement";
        let groups = self.call(method, &[session.clone(), entitlement]).await.map_err(|err| {
            format!("unable to get the managed system groups information of monitored clients: {err}")
        })?;
        let groups = by_system(&groups, "id");
        let ids = Value::List(groups.keys().map(|id| Value::Int(*id)).collect());
        let endpoints = self.call("system.monitoring.listEndpoints", &[session.clone(), ids.clone()]).await;
        let endpoints = endpoints.map_err(|err| format!("unable to get endpoints information: {err}"))?;
        let networks = self.call("system.getNetworkForSystems", &[session, ids]).await;
        let networks =
            networks.map_err(|err| format!("unable to get the systems network information: {err}"))?;
        let networks = by_system(&networks, "system_id");
        let endpoints = endpoints.list().iter();
        let targets = endpoints.map(|endpoint| {
            let system = endpoint.field("system_id").int();
            let about = (groups.get(&system).copied(), networks.get(&system).copied());
            target(endpoint, about, &self.options.separator, &self.lists)
        });
        Ok(targets.collect())
    }
}

impl Source for Server {
    async fn refresh(&mut self) -> Result<Vec<TargetGroup>, String> {
        let session = self.session().await?;
        let found = self.find(&session).await;
        if found.is_err() {
            // Perhaps it is the session that is not good any more.
            self.session = None;
        }
        Ok(vec![TargetGroup::of(self.url.as_str(), found?)])
    }
}

/// The elements of a list by the number of their system.
fn by_system<'v>(list: &'v Value, id: &str) -> BTreeMap<i64, &'v Value> {
    list.list().iter().map(|element| (element.field(id).int(), element)).collect()
}

fn target(
    endpoint: &Value,
    (groups, network): (Option<&Value>, Option<&Value>),
    separator: &str,
    lists: &NameLists,
) -> LabelParts {
    let nothing = Value::default();
    let (groups, network) = (groups.unwrap_or(&nothing), network.unwrap_or(&nothing));
    let groups: Vec<&str> =
        groups.field("system_groups").list().iter().map(|group| group.field("name").text()).collect();
    let host = network.field("hostname").text();
    let mut pairs = Pairs::default();
    pairs.push(ADDRESS, &format!("{host}:{}", endpoint.field("port").int()));
    pairs.push("__meta_uyuni_minion_hostname", host);
    pairs.push("__meta_uyuni_primary_fqdn", network.field("primary_fqdn").text());
    pairs.push("__meta_uyuni_system_id", &endpoint.field("system_id").int().to_string());
    pairs.push("__meta_uyuni_groups", &groups.join(separator));
    pairs.push("__meta_uyuni_endpoint_name", endpoint.field("endpoint_name").text());
    pairs.push("__meta_uyuni_exporter", endpoint.field("exporter_name").text());
    pairs.push("__meta_uyuni_proxy_module", endpoint.field("module").text());
    pairs.push("__meta_uyuni_metrics_path", endpoint.field("path").text());
    let scheme = if *endpoint.field("tls_enabled") == Value::Bool(true) { "https" } else { "http" };
    pairs.push("__meta_uyuni_scheme", scheme);
    pairs.take(lists).into()
}

/// A value of XML-RPC.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Value {
    #[default]
    Nothing,
    Int(i64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
    Struct(BTreeMap<String, Value>),
}

impl Value {
    fn field(&self, name: &str) -> &Value {
        match self {
            Value::Struct(fields) => fields.get(name).unwrap_or(&Value::Nothing),
            _ => &Value::Nothing,
        }
    }

    fn list(&self) -> &[Value] {
        match self {
            Value::List(values) => values,
            _ => &[],
        }
    }

    fn text(&self) -> &str {
        match self {
            Value::Text(text) => text,
            _ => "",
        }
    }

    fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            _ => 0,
        }
    }

    fn read(value: &Element<'_>) -> Result<Self, String> {
        let Some(content) = value.children.first() else {
            // A value without a type is text.
            return Ok(Value::Text(value.text.trim().to_owned()));
        };
        let text = content.text.trim();
        Ok(match content.name.as_str() {
            "int" | "i4" | "i8" => Value::Int(text.parse().map_err(|_| format!("`{text}` is no number"))?),
            "boolean" => Value::Bool(text == "1" || text.eq_ignore_ascii_case("true")),
            "array" => {
                let values = content.all("data").flat_map(|data| data.all("value"));
                Value::List(values.map(Value::read).collect::<Result<_, _>>()?)
            }
            "struct" => {
                let mut fields = BTreeMap::new();
                for member in content.all("member") {
                    let value = member.child("value").ok_or("a member without value")?;
                    fields.insert(member.text_of("name").to_owned(), Value::read(value)?);
                }
                Value::Struct(fields)
            }
            "nil" => Value::Nothing,
            // Text is taken as it is, and nothing else that there is is looked at.
            _ => Value::Text(content.text.clone()),
        })
    }

    fn write(&self, out: &mut String) {
        match self {
            Value::Nothing => out.push_str("<value/>"),
            Value::Int(number) => *out += &format!("<value><int>{number}</int></value>"),
            Value::Bool(truth) => *out += &format!("<value><boolean>{}</boolean></value>", u8::from(*truth)),
            Value::Text(text) => {
                out.push_str("<value><string>");
                text.chars().for_each(|c| push_escaped(out, c));
                out.push_str("</string></value>");
            }
            Value::List(values) => {
                out.push_str("<value><array><data>");
                values.iter().for_each(|value| value.write(out));
                out.push_str("</data></array></value>");
            }
            Value::Struct(fields) => {
                out.push_str("<value><struct>");
                for (name, value) in fields {
                    out.push_str("<member><name>");
                    name.chars().for_each(|c| push_escaped(out, c));
                    out.push_str("</name>");
                    value.write(out);
                    out.push_str("</member>");
                }
                out.push_str("</struct></value>");
            }
        }
    }
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("&#34;"),
        '\'' => out.push_str("&#39;"),
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '\t' => out.push_str("&#x9;"),
        '\n' => out.push_str("&#xA;"),
        '\r' => out.push_str("&#xD;"),
        c => out.push(c),
    }
}

fn call(method: &str, arguments: &[Value]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><methodCall><methodName>{method}</methodName><params>"
    );
    for argument in arguments {
        out.push_str("<param>");
        argument.write(&mut out);
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    out
}

fn answer(body: &[u8]) -> Result<Value, String> {
    let root = xml::parse(body)?;
    if let Some(fault) = root.child("fault") {
        let fault = fault.child("value").map(Value::read).transpose()?.unwrap_or_default();
        return Err(format!(
            "error: {} {}",
            fault.field("faultCode").int(),
            fault.field("faultString").text()
        ));
    }
    let value =
        root.child("params").and_then(|params| params.child("param")).and_then(|param| param.child("value"));
    Value::read(value.ok_or("invalid xml")?)
}

/// Reads every kind of answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let Ok(answer) = answer(body) else { return 0 };
    let systems = by_system(&answer, "system_id");
    let targets = systems.values().map(|system| target(system, (Some(system), Some(system)), ",", lists));
    targets.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written() {
        let fields = [
            ("a<", Value::Int(-1)),
            ("b", Value::Bool(true)),
            ("c", Value::List(vec![Value::Text("x & \"y'\n".into())])),
        ];
        let value = Value::Struct(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let mut written = String::new();
        value.write(&mut written);
        assert_eq!(Value::read(&xml::parse(written.as_bytes()).unwrap()).unwrap(), value);
        let untyped = xml::parse(b"<value> text </value>").unwrap();
        assert_eq!(Value::read(&untyped).unwrap(), Value::Text("text".into()));
    }

    #[test]
    fn a_fault_is_an_error() {
        let body = b"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>2950</int></value></member>\
            <member><name>faultString</name><value>bad login</value></member></struct></value></fault></methodResponse>";
        assert_eq!(answer(body).unwrap_err(), "error: 2950 bad login");
        assert_eq!(answer(b"<methodResponse/>").unwrap_err(), "invalid xml");
    }
}
