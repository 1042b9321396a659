//! The functions and the data that Prometheus gives to the templates of alerts and consoles.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use model::go_url::{self, split_host_port};
use model::{FloatHistogram, Labels, Search};

use crate::exec::MissingKey;
use crate::function::{Function, Functions};
use crate::print::general;
use crate::templates::Templates;
use crate::time::{DURATION, DURATION_POINTER, TIME_POINTER, utc};
use crate::value::{ANYTHING_BY_NAME, Fields, Method, STRINGS, Safe, Shape, Type, Value};

/// What a template is expanded with.
#[derive(Clone)]
pub struct Surroundings {
    /// When, in milliseconds since the epoch: what `now` says and for when queries are evaluated.
    pub time: i64,
    /// `--web.external-url`.
    pub external_url: ExternalUrl,
    /// Answers `query`, or says why not.
    pub query: Query,
}

impl Surroundings {
    fn nowhere() -> Self {
        let query: Query = Arc::new(|_| Ok(Vec::new()));
        Surroundings { time: 0, external_url: ExternalUrl::default(), query }
    }
}

/// Evaluates an expression to samples.
pub type Query = Arc<dyn Fn(&str) -> Result<Vec<QuerySample>, String> + Send + Sync>;

/// Under which URL the server is reached.
#[derive(Debug, Clone, Default)]
pub struct ExternalUrl {
    /// The whole of it.
    pub url: String,
    /// Its path, without a slash at the end.
    pub path: String,
}

/// One sample that a query answers with.
#[derive(Debug, Clone)]
pub struct QuerySample {
    /// Its labels with the metric name.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

/// The value of a sample.
#[derive(Debug, Clone)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// What the templates of labels and annotations of alerts begin with.
pub const ALERT_VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
    {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// A template could not be expanded. The message is Prometheus'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExpandError(String);

/// What the template `text` makes of `data`; in a text, maps have the zero value for keys that they do not have.
///
/// # Errors
/// When `text` is no template or cannot be executed.
pub fn expand(
    name: &str,
    text: &str,
    data: &Value,
    surroundings: &Surroundings,
) -> Result<String, ExpandError> {
    let functions = functions(surroundings);
    let templates = Templates::parse(name, text, &functions)
        .map_err(|error| ExpandError(format!("error parsing template {name}: {error}")))?;
    templates
        .execute(name, &functions, MissingKey::Zero, data)
        .map_err(|error| ExpandError(format!("error executing template {name}: {error}")))
}

/// A text of an alert, parsed once.
#[derive(Debug, Clone)]
pub struct AlertText {
    name: String,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Verbatim(String),
    Template { parsed: Box<Templates>, asks: bool },
    Refused(ExpandError),
}

impl AlertText {
    /// The template `text` of a rule for the alert `alert`.
    #[must_use]
    pub fn new(alert: &str, text: &str) -> Self {
        let name = format!("__alert_{alert}");
        if !text.contains("{{") {
            return AlertText { name, content: Content::Verbatim(text.to_owned()) };
        }
        static KNOWN: LazyLock<Functions> = LazyLock::new(|| functions(&Surroundings::nowhere()));
        let content = match Templates::parse(&name, &format!("{ALERT_VARIABLES}{text}"), &KNOWN) {
            // Whether it does, a longer word that has these in it does not tell; then it is expanded in vain.
            Ok(parsed) => Content::Template {
                parsed: parsed.into(),
                asks: text.contains("query") || text.contains("now"),
            },
            Err(error) => Content::Refused(ExpandError(format!("error parsing template {name}: {error}"))),
        };
        AlertText { name, content }
    }

    /// The text, if it is the same for all alerts.
    #[must_use]
    pub fn verbatim(&self) -> Option<&str> {
        match &self.content {
            Content::Verbatim(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it makes something else of the same data another time.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(self.content, Content::Template { asks: true, .. })
    }

    /// What it makes of `data`, with what [`functions`] gives.
    ///
    /// # Errors
    /// As [`expand`].
    pub fn expand(&self, data: &Value, functions: &Functions) -> Result<String, ExpandError> {
        match &self.content {
            Content::Verbatim(text) => Ok(text.clone()),
            Content::Refused(error) => Err(error.clone()),
            Content::Template { parsed, .. } => parsed
                .execute(&self.name, functions, MissingKey::Zero, data)
                .map_err(|error| ExpandError(format!("error executing template {}: {error}", self.name))),
        }
    }
}

/// What the console `text` makes of `data`: an HTML document. `libraries` are names and texts of templates that it may use.
///
/// # Errors
/// As [`expand`], and when the template does not say where in the document it puts a value.
pub fn expand_html(
    name: &str,
    text: &str,
    libraries: &[(String, String)],
    data: &Value,
    surroundings: &Surroundings,
) -> Result<String, ExpandError> {
    let functions = functions(surroundings).with("tmpl", Function::executing_a_template());
    let mut templates = Templates::parse(name, text, &functions)
        .map_err(|error| ExpandError(format!("error parsing template {name}: {error}")))?;
    for (library, text) in libraries {
        templates
            .add(library, text, &functions)
            .map_err(|error| ExpandError(format!("error parsing template files for {name}: {error}")))?;
    }
    let executing =
        |error: &dyn std::fmt::Display| ExpandError(format!("error executing template {name}: {error}"));
    let templates = templates.for_html(name).map_err(|error| executing(&error))?;
    templates.execute(name, &functions, MissingKey::Zero, data).map_err(|error| executing(&error))
}

/// What the templates of consoles begin with.
pub const CONSOLE_VARIABLES: &str = "{{$rawParams := .RawParams }}{{$params := .Params}}{{$path := .Path}}\
    {{$externalLabels := .ExternalLabels}}";

/// What a console is given: the parameters of its request, of which each name has its first value in `Params`, and its
/// path below the directory of consoles.
#[must_use]
pub fn console_data(parameters: &[(String, String)], path: &str, external_labels: &Labels) -> Value {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (name, value) in parameters {
        all.entry(name.clone()).or_default().push(value.as_str().into());
    }
    let first = all.iter().filter_map(|(name, values)| Some((name.as_str(), values.first()?.as_str()?)));
    let first = Value::strings_by_name(first);
    let all = all.into_iter().map(|(name, values)| (name, Value::List(&STRINGS, values.into())));
    let fields = vec![
        ("RawParams", Value::Map(&PARAMETERS, Arc::new(all.collect()))),
        ("Params", first),
        ("Path", path.into()),
        ("ExternalLabels", by_name(external_labels)),
    ];
    Value::Struct(&CONSOLE, Arc::new(Fields { fields, text: None }))
}

static CONSOLE: Shape = Shape::named(
    "struct { RawParams url.Values; Params map[string]string; Path string; ExternalLabels map[string]string }",
);
static PARAMETERS: Shape = Shape {
    missing: || Value::List(&STRINGS, Arc::new([])),
    methods: &[Method { name: "Get", parameters: &[Type::STRING], call: first_parameter }],
    ..Shape::named("url.Values")
};

fn first_parameter(parameters: &Value, arguments: &[Value]) -> Result<Value, String> {
    Ok(match parameters {
        Value::Map(_, entries) => match entries.get(string(arguments, 0)) {
            Some(Value::List(_, values)) => values.first().cloned().unwrap_or_else(|| "".into()),
            _ => "".into(),
        },
        _ => "".into(),
    })
}

/// What is wrong with the template `text`, without expanding it.
///
/// # Errors
/// When it is no template.
pub fn check(name: &str, text: &str) -> Result<(), ExpandError> {
    let functions = functions(&Surroundings::nowhere());
    Templates::parse(name, text, &functions).map(|_| ()).map_err(|error| ExpandError(error.to_string()))
}

static ALERT: Shape = Shape {
    loose: &["Value"],
    ..Shape::named(
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
    )
};
static SAMPLE: Shape = Shape { pointer: true, loose: &["Value"], ..Shape::named("*template.sample") };
static QUERY_RESULT: Shape = Shape::named("template.queryResult");
static HISTOGRAM: Shape = Shape { pointer: true, ..Shape::named("*histogram.FloatHistogram") };

const SAMPLE_TYPE: Type = Type::nillable("*template.sample");
const QUERY_RESULT_TYPE: Type = Type::nillable("template.queryResult");

/// What the templates of an alert are given.
#[must_use]
pub fn alert_data(
    labels: &Labels,
    external_labels: &Labels,
    external_url: &str,
    value: &SampleValue,
) -> Value {
    let fields = vec![
        ("Labels", by_name(labels)),
        ("ExternalLabels", by_name(external_labels)),
        ("ExternalURL", external_url.into()),
        ("Value", value_of(value)),
    ];
    Value::Struct(&ALERT, Arc::new(Fields { fields, text: None }))
}

fn by_name(labels: &Labels) -> Value {
    Value::strings_by_name(labels.iter())
}

fn value_of(value: &SampleValue) -> Value {
    match value {
        SampleValue::Float(number) => Value::Float(*number),
        SampleValue::Histogram(histogram) => {
            let fields = vec![
                ("Schema", Value::Int(histogram.schema.into())),
                ("ZeroThreshold", histogram.zero_threshold.into()),
                ("ZeroCount", histogram.zero_count.into()),
                ("Count", histogram.count.into()),
                ("Sum", histogram.sum.into()),
            ];
            Value::Struct(&HISTOGRAM, Arc::new(Fields { fields, text: Some(histogram.to_string()) }))
        }
    }
}

/// All functions of Prometheus' templates.
#[must_use]
pub fn functions(surroundings: &Surroundings) -> Functions {
    static COMMON: LazyLock<Functions> = LazyLock::new(|| Functions::new(common()));
    let Surroundings { time, external_url, query } = surroundings.clone();
    let ExternalUrl { url, path } = external_url;
    COMMON
        .clone()
        .with("externalURL", Function::new(&[], move |_| Ok(url.as_str().into())))
        .with("pathPrefix", Function::new(&[], move |_| Ok(path.as_str().into())))
        .with("now", Function::new(&[], move |_| Ok(Value::Float(time as f64 / 1000.0))))
        .with(
            "query",
            Function::new(&[Type::STRING], move |values| query(string(values, 0)).map(query_result)),
        )
}

fn query_result(samples: Vec<QuerySample>) -> Value {
    let samples = samples.into_iter().map(|sample| {
        let fields = vec![("Labels", by_name(&sample.labels)), ("Value", value_of(&sample.value))];
        Value::Struct(&SAMPLE, Arc::new(Fields { fields, text: None }))
    });
    Value::List(&QUERY_RESULT, samples.collect())
}

fn string(values: &[Value], at: usize) -> &str {
    values.get(at).and_then(Value::as_str).unwrap_or_default()
}

/// A field of a sample; of no sample there is none.
fn field<'a>(sample: Option<&'a Value>, name: &str) -> Result<&'a Value, String> {
    match sample {
        Some(Value::Struct(_, fields)) => {
            let field = fields.fields.iter().find(|(known, _)| *known == name);
            field.map(|(_, value)| value).ok_or_else(|| format!("no field {name}"))
        }
        _ => Err("runtime error: invalid memory address or nil pointer dereference".into()),
    }
}

fn label(sample: Option<&Value>, name: &str) -> Result<Value, String> {
    Ok(match field(sample, "Labels")? {
        Value::Map(_, labels) => labels.get(name).cloned().unwrap_or_else(|| "".into()),
        _ => "".into(),
    })
}

fn common() -> BTreeMap<&'static str, Function> {
    const TEXT: &[Type] = &[Type::STRING];
    const TEXTS: &[Type] = &[Type::STRING, Type::STRING];
    const ANY: &[Type] = &[Type::ANY];
    fn of_text(change: fn(&str) -> String) -> Function {
        Function::new(TEXT, move |values| Ok(change(string(values, 0)).into()))
    }
    fn of_number(print: fn(f64) -> String) -> Function {
        Function::new(ANY, move |values| Ok(print(number(values.first())?).into()))
    }
    BTreeMap::from([
        ("first", Function::new(&[QUERY_RESULT_TYPE], |values| first(values.first()))),
        (
            "label",
            Function::new(&[Type::STRING, SAMPLE_TYPE], |values| label(values.get(1), string(values, 0))),
        ),
        ("value", Function::new(&[SAMPLE_TYPE], |values| field(values.first(), "Value").cloned())),
        ("strvalue", Function::new(&[SAMPLE_TYPE], |values| label(values.first(), "__value__"))),
        ("args", Function::new(&[], |values| Ok(numbered(values))).and_more(Type::ANY)),
        (
            "reReplaceAll",
            Function::new(&[Type::STRING; 3], |values| {
                replace_all(string(values, 0), string(values, 1), string(values, 2)).map(Value::from)
            }),
        ),
        ("safeHtml", Function::new(TEXT, |values| Ok(Value::Safe(Safe::Html, string(values, 0).into())))),
        (
            "match",
            Function::new(TEXTS, |values| {
                let pattern = Search::new(string(values, 0)).map_err(|error| error.to_string())?;
                Ok(pattern.is_match(string(values, 1)).into())
            }),
        ),
        ("title", of_text(model::letter_case::to_title)),
        ("toUpper", of_text(model::letter_case::to_upper)),
        ("toLower", of_text(model::letter_case::to_lower)),
        ("graphLink", of_text(|query| page_link(query, 0))),
        ("tableLink", of_text(|query| page_link(query, 1))),
        (
            "sortByLabel",
            Function::new(&[Type::STRING, QUERY_RESULT_TYPE], |values| {
                sort_by_label(string(values, 0), values.get(1))
            }),
        ),
        ("stripPort", of_text(|text| split_host_port(text).map_or(text, |(host, _)| host).to_owned())),
        ("stripDomain", of_text(strip_domain)),
        ("humanize", of_number(humanize)),
        ("humanize1024", of_number(humanize_1024)),
        ("humanizeDuration", of_number(humanize_duration)),
        ("humanizePercentage", of_number(|v| format!("{}%", general(v * 100.0, Some(4))))),
        (
            "humanizeTimestamp",
            Function::new(ANY, |values| {
                let seconds = number(values.first())?;
                if !seconds.is_finite() {
                    return Ok(general(seconds, Some(4)).into());
                }
                Ok(crate::print::text(&utc(&TIME_POINTER, nanoseconds(seconds)?)).into())
            }),
        ),
        (
            "toTime",
            Function::new(ANY, |values| {
                let seconds = number(values.first())?;
                if !seconds.is_finite() {
                    return Err("value is NaN or Inf".into());
                }
                Ok(utc(&TIME_POINTER, nanoseconds(seconds)?))
            }),
        ),
        (
            "toDuration",
            Function::new(ANY, |values| {
                Ok(Value::Named(&DURATION_POINTER, to_integer(number(values.first())? * 1e9)))
            }),
        ),
        (
            "parseDuration",
            Function::new(TEXT, |values| {
                let millis =
                    model::duration::parse_signed(string(values, 0)).map_err(|error| error.to_string())?;
                Ok(Value::Float(millis as f64 / 1000.0))
            }),
        ),
        ("urlQueryEscape", of_text(go_url::query_escaped)),
    ])
}

fn first(result: Option<&Value>) -> Result<Value, String> {
    match result {
        Some(Value::List(_, samples)) => samples.first().cloned(),
        _ => None,
    }
    .ok_or_else(|| "first() called on vector with no elements".into())
}

/// `arg0`, `arg1`, …
fn numbered(values: &[Value]) -> Value {
    let entries = values.iter().enumerate().map(|(i, value)| (format!("arg{i}"), value.clone()));
    Value::Map(&ANYTHING_BY_NAME, Arc::new(entries.collect()))
}

fn replace_all(pattern: &str, replacement: &str, text: &str) -> Result<String, String> {
    match Search::new(pattern) {
        Ok(search) => Ok(search.replace_all(text, replacement)),
        Err(error) => {
            let control = |c: char| c == '`' || c == '\u{feff}' || c == '\x7f' || (c < ' ' && c != '\t');
            let quoted = if pattern.contains(control) {
                model::number::quote(pattern)
            } else {
                format!("`{pattern}`")
            };
            Err(format!("regexp: Compile({quoted}): {error}"))
        }
    }
}

/// Where the page shows the answer of `query` as a table, below the server's URL.
#[must_use]
pub fn table_link(query: &str) -> String {
    page_link(query, 1)
}

/// Where the page shows the answer of `query`; tab 0 is the graph, 1 the table.
fn page_link(query: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", go_url::query_escaped(query))
}

fn sort_by_label(name: &str, result: Option<&Value>) -> Result<Value, String> {
    let Some(Value::List(shape, samples)) = result else {
        return Ok(Value::List(&QUERY_RESULT, Arc::new([])));
    };
    let mut keyed = Vec::with_capacity(samples.len());
    for sample in samples.iter() {
        keyed.push((label(Some(sample), name)?, sample.clone()));
    }
    keyed.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
    Ok(Value::List(shape, keyed.into_iter().map(|(_, sample)| sample).collect()))
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    let address =
        host.split_once('%').map_or(host, |(address, _)| if address.contains(':') { address } else { host });
    if address.parse::<std::net::IpAddr>().is_ok() && address == host {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or_default();
    match port {
        "" => name.to_owned(),
        port if name.contains(':') => format!("[{name}]:{port}"),
        port => format!("{name}:{port}"),
    }
}

/// What functions of numbers take for one.
fn number(value: Option<&Value>) -> Result<f64, String> {
    match value {
        Some(Value::Float(number)) => Ok(*number),
        Some(Value::Int(number)) => Ok(*number as f64),
        Some(Value::Uint(number)) => Ok(*number as f64),
        Some(Value::Named(shape, nanos)) if shape.name == DURATION.name => Ok(*nanos as f64 / 1e9),
        Some(Value::String(text)) => model::number::parse_float(text).ok_or_else(|| {
            // What is written as a number but is none of ours is too large.
            let why = if text.parse::<f64>().is_ok_and(f64::is_infinite) {
                "value out of range"
            } else {
                "invalid syntax"
            };
            format!("strconv.ParseFloat: parsing {}: {why}", model::number::quote(text))
        }),
        other => Err(format!("can't convert {} to float", other.map_or("<nil>", printed_type))),
    }
}

/// `%T`: an interface that holds nothing has no type.
fn printed_type(value: &Value) -> &'static str {
    if value.is_nil() { "<nil>" } else { value.type_name() }
}

/// Go's conversion to `int64`, where what does not fit becomes the smallest number.
fn to_integer(v: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&v) { v as i64 } else { i64::MIN }
}

/// Seconds as nanoseconds, of which only whole milliseconds are kept.
fn nanoseconds(seconds: f64) -> Result<i64, String> {
    let nanos = seconds * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        let seconds = model::number::format_g(seconds);
        return Err(format!(
            "{seconds} cannot be represented as a nanoseconds timestamp since it overflows int64"
        ));
    }
    Ok(to_integer(nanos) / 1_000_000 * 1_000_000)
}

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const LARGE_BINARY: [&str; 8] = ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Divides by `unit` until the number is below it.
fn scaled_down(mut v: f64, unit: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let mut prefix = "";
    for larger in prefixes {
        if v.abs() < unit {
            break;
        }
        prefix = larger;
        v /= unit;
    }
    (v, prefix)
}

/// Multiplies by a thousand until the number is at least one.
fn scaled_up(mut v: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for smaller in SMALL {
        if v.abs() >= 1.0 {
            break;
        }
        prefix = smaller;
        v *= 1000.0;
    }
    (v, prefix)
}

fn humanize(v: f64) -> String {
    let (v, prefix) = match v {
        v if v == 0.0 || !v.is_finite() => (v, ""),
        v if v.abs() >= 1.0 => scaled_down(v, 1000.0, LARGE),
        v => scaled_up(v),
    };
    format!("{}{prefix}", general(v, Some(4)))
}

fn humanize_1024(v: f64) -> String {
    let small = v.abs() <= 1.0 || !v.is_finite();
    let (v, prefix) = if small { (v, "") } else { scaled_down(v, 1024.0, LARGE_BINARY) };
    format!("{}{prefix}", general(v, Some(4)))
}

fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return general(v, Some(4));
    }
    if v == 0.0 {
        return format!("{}s", general(v, Some(4)));
    }
    if v.abs() < 1.0 {
        let (v, prefix) = scaled_up(v);
        return format!("{}{prefix}s", general(v, Some(4)));
    }
    let sign = if v < 0.0 { "-" } else { "" };
    let v = v.abs();
    let whole = to_integer(v);
    let (seconds, minutes) = (whole % 60, whole / 60 % 60);
    let (hours, days) = (whole / 3600 % 24, whole / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{sign}{}s", general(v, Some(4))),
        (0, 0, _) => format!("{sign}{minutes}m {seconds}s"),
        (0, _, _) => format!("{sign}{hours}h {minutes}m {seconds}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {seconds}s"),
    }
}
