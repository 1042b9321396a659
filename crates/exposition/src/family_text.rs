//! The text format as client libraries' readers take it: whole families at once, classic histograms and summaries put together,
//! errors with the line and in the words of Go's `expfmt`. Scrapes are read by [`PageParser`](crate::PageParser) instead, which
//! judges pages differently.

use std::collections::{BTreeMap, HashMap};

use model::ValidationScheme;
use model::number::{parse_float, quote};

use crate::family::MetricKind;
use crate::page::quote_bytes;

/// All metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct TextFamily {
    /// Without the suffixes of a histogram or summary.
    pub name: String,
    /// What is told of it, if anything.
    pub help: Option<String>,
    /// Untyped unless told.
    pub kind: MetricKind,
    /// In the order of the page.
    pub metrics: Vec<TextMetric>,
}

/// One label set of a family.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextMetric {
    /// As written, without the bound of a bucket and without the quantile.
    pub labels: Vec<(String, String)>,
    /// What was measured.
    pub value: TextValue,
    /// Unix milliseconds.
    pub timestamp: Option<i64>,
}

/// The value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum TextValue {
    /// A counter, a gauge or an untyped value.
    Float(f64),
    /// A classic histogram, of a gauge too.
    Histogram {
        /// Upper bounds with what is at or below each, in the order of the page.
        buckets: Vec<(f64, f64)>,
        /// Zero if it is not told.
        sum: f64,
        /// Zero if it is not told.
        count: f64,
    },
    /// A summary.
    Summary {
        /// Quantiles and their values, in the order of the page.
        quantiles: Vec<(f64, f64)>,
        /// Zero if it is not told.
        sum: f64,
        /// Zero if it is not told.
        count: f64,
    },
}

impl Default for TextValue {
    fn default() -> Self {
        TextValue::Float(0.0)
    }
}

/// Reads a page of the text format, whose names are held to `scheme`. Families come in order of their names, and those without
/// metrics are left out.
///
/// # Errors
/// At the first mistake, in the words of Go's reader: `text format parsing error in line 1: invalid metric name`.
pub fn read_family_text(page: &[u8], scheme: ValidationScheme) -> Result<Vec<TextFamily>, String> {
    let mut reader = Reader::new(page, scheme);
    if let Err(stop) = reader.read() {
        let message = match stop {
            Stop::End => "unexpected end of input stream".to_owned(),
            Stop::Mistake(message) => message,
        };
        return Err(format!("text format parsing error in line {}: {message}", reader.line));
    }
    Ok(reader.families())
}

/// Why reading ends early.
enum Stop {
    End,
    Mistake(String),
}

fn mistake<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Mistake(message.into()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Help,
    Type,
}

/// What a line of a histogram or summary tells besides buckets and quantiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Count,
    Sum,
    Other,
}

#[derive(Default)]
struct Gathered {
    help: Option<String>,
    kind: Option<MetricKind>,
    /// A line without a name of its own may name a metric twice.
    metrics: Vec<usize>,
}

impl Gathered {
    fn kind(&self) -> MetricKind {
        self.kind.unwrap_or(MetricKind::Untyped)
    }
}

struct Reader<'a> {
    page: &'a [u8],
    scheme: ValidationScheme,
    at: usize,
    byte: u8,
    line: usize,
    token: Vec<u8>,
    families: BTreeMap<String, Gathered>,
    metrics: Vec<TextMetric>,
    /// Metrics that take several lines, by family and labels.
    known: HashMap<(String, BTreeMap<String, String>), usize>,
    family: Option<String>,
    metric: Option<usize>,
    part: Part,
    /// Labels of the line so far.
    pairs: Vec<(String, String)>,
    /// The same without bound and quantile, of a histogram or summary.
    identity: BTreeMap<String, String>,
    quantile: f64,
    bound: f64,
}

impl<'a> Reader<'a> {
    fn new(page: &'a [u8], scheme: ValidationScheme) -> Self {
        Reader {
            page,
            scheme,
            at: 0,
            byte: 0,
            line: 0,
            token: Vec::new(),
            families: BTreeMap::new(),
            metrics: Vec::new(),
            known: HashMap::new(),
            family: None,
            metric: None,
            part: Part::Other,
            pairs: Vec::new(),
            identity: BTreeMap::new(),
            quantile: f64::NAN,
            bound: f64::NAN,
        }
    }

    fn read(&mut self) -> Result<(), Stop> {
        loop {
            self.line += 1;
            match self.skip_blanks() {
                // Nowhere else may the page end.
                Err(Stop::End) => return Ok(()),
                other => other?,
            }
            match self.byte {
                b'#' => self.comment()?,
                b'\n' => {}
                b'{' => self.sample(true)?,
                _ => {
                    self.metric_name()?;
                    if self.token.is_empty() {
                        return mistake("invalid metric name");
                    }
                    self.begin_metric()?;
                    self.skip_blanks_from_here()?;
                    self.sample(false)?;
                }
            }
        }
    }

    fn families(mut self) -> Vec<TextFamily> {
        let families = std::mem::take(&mut self.families).into_iter();
        families
            .filter(|(_, gathered)| !gathered.metrics.is_empty())
            .map(|(name, gathered)| TextFamily {
                name,
                kind: gathered.kind(),
                metrics: gathered.metrics.iter().filter_map(|&at| self.metrics.get(at).cloned()).collect(),
                help: gathered.help,
            })
            .collect()
    }

    // Lines.

    /// Behind the `#`.
    fn comment(&mut self) -> Result<(), Stop> {
        self.skip_blanks()?;
        if self.byte == b'\n' {
            return Ok(());
        }
        self.word()?;
        if self.byte == b'\n' {
            return Ok(());
        }
        let keyword = match self.token.as_slice() {
            b"HELP" => Keyword::Help,
            b"TYPE" => Keyword::Type,
            _ => {
                while self.byte != b'\n' {
                    self.next()?;
                }
                return Ok(());
            }
        };
        self.skip_blanks()?;
        self.metric_name()?;
        if self.byte == b'\n' {
            return Ok(());
        }
        if !is_blank(self.byte) {
            return mistake("invalid metric name in comment");
        }
        self.choose_family()?;
        self.skip_blanks()?;
        match (self.byte, keyword) {
            (b'\n', _) => Ok(()),
            (_, Keyword::Help) => self.help(),
            (_, Keyword::Type) => self.kind_line(),
        }
    }

    fn help(&mut self) -> Result<(), Stop> {
        if self.gathered().help.is_some() {
            return mistake(format!("second HELP line for metric name {}", quote(self.name())));
        }
        self.rest_of_line(true)?;
        let help = String::from_utf8_lossy(&self.token).into_owned();
        self.gathered().help = Some(help);
        Ok(())
    }

    fn kind_line(&mut self) -> Result<(), Stop> {
        if self.gathered().kind.is_some() {
            let name = quote(self.name());
            return mistake(format!(
                "second TYPE line for metric name {name}, or TYPE reported after samples"
            ));
        }
        self.rest_of_line(false)?;
        let kind = match self.token.to_ascii_uppercase().as_slice() {
            b"COUNTER" => MetricKind::Counter,
            b"GAUGE" => MetricKind::Gauge,
            b"SUMMARY" => MetricKind::Summary,
            b"UNTYPED" => MetricKind::Untyped,
            b"HISTOGRAM" => MetricKind::Histogram,
            b"GAUGE_HISTOGRAM" | b"GAUGEHISTOGRAM" => MetricKind::GaugeHistogram,
            _ => return mistake(format!("unknown metric type {}", quote_bytes(&self.token))),
        };
        self.gathered().kind = Some(kind);
        Ok(())
    }

    /// From the brace of the labels, or from the value if there is none. `nameless`: the name stands within the braces.
    fn sample(&mut self, nameless: bool) -> Result<(), Stop> {
        self.begin_labels();
        if self.byte != b'{' {
            return self.value();
        }
        let mut named = false;
        loop {
            self.skip_blanks()?;
            if self.byte == b'}' {
                break;
            }
            self.label_name()?;
            if self.token.is_empty() {
                return mistake(format!("invalid label name for metric {}", quote(self.name())));
            }
            self.skip_blanks_from_here()?;
            if self.byte == b'=' {
                self.label()?;
            } else if !nameless {
                return mistake(format!("expected '=' after label name, found {}", quote_byte(self.byte)));
            } else if named {
                return mistake(format!("multiple metric names for metric {}", quote(self.name())));
            } else if matches!(self.byte, b',' | b'}') {
                self.begin_metric()?;
                named = true;
            } else {
                return mistake(format!("unexpected end of metric name {}", quote_byte(self.byte)));
            }
            if self.byte == b'}' {
                break;
            }
        }
        let Some(metric) =
            self.metric.and_then(|at| self.metrics.get_mut(at)).filter(|_| self.family.is_some())
        else {
            return mistake("invalid metric name");
        };
        metric.labels.append(&mut self.pairs);
        self.skip_blanks()?;
        self.value()
    }

    /// Behind the name of a label: its value, and the comma or brace after it.
    fn label(&mut self) -> Result<(), Stop> {
        let name = self.text("invalid label name")?;
        if name == model::METRIC_NAME {
            return mistake(format!("label name {} is reserved", quote(model::METRIC_NAME)));
        }
        if !self.scheme.is_valid_label_name(&name) {
            return mistake(format!("invalid label name {}", quote(&name)));
        }
        let (kind, metric) = (self.current_kind(), quote(self.name()));
        let is_quantile = kind == Some(MetricKind::Summary) && name == "quantile";
        let is_bound = is_histogram(kind) && name == "le";
        if !is_quantile && !is_bound && self.pairs.iter().any(|(known, _)| *known == name) {
            return mistake(format!("duplicate label names for metric {metric}"));
        }
        self.skip_blanks()?;
        if self.byte != b'"' {
            let found = quote_byte(self.byte);
            return mistake(format!("expected '\"' at start of label value, found {found}"));
        }
        self.quoted()?;
        let value = self.text("invalid label value")?;
        let number = |label: &str| {
            float(&value).ok_or_else(|| {
                let got = quote(&value);
                Stop::Mistake(format!("expected float as value for '{label}' label, got {got}"))
            })
        };
        if is_quantile {
            self.quantile = number("quantile")?;
        } else if is_bound {
            self.bound = number("le")?;
        } else {
            if kind == Some(MetricKind::Summary) || is_histogram(kind) {
                self.identity.insert(name.clone(), value.clone());
            }
            self.pairs.push((name, value.clone()));
        }
        self.skip_blanks()?;
        match self.byte {
            b',' | b'}' => Ok(()),
            _ => mistake(format!("unexpected end of label value {}", quote(&value))),
        }
    }

    /// The value, the time and the end of the line.
    fn value(&mut self) -> Result<(), Stop> {
        let kind = self.current_kind().unwrap_or(MetricKind::Untyped);
        self.settle_metric(kind);
        self.word()?;
        let Some(value) = std::str::from_utf8(&self.token).ok().and_then(float) else {
            return mistake(format!("expected float as value, got {}", quote_bytes(&self.token)));
        };
        self.take_value(kind, value)?;
        if self.byte == b'\n' {
            return Ok(());
        }
        self.skip_blanks()?;
        self.word()?;
        let timestamp = std::str::from_utf8(&self.token).ok().and_then(|text| text.parse().ok());
        if timestamp.is_none() {
            return mistake(format!("expected integer as timestamp, got {}", quote_bytes(&self.token)));
        }
        self.metric().timestamp = timestamp;
        self.rest_of_line(false)?;
        if !self.token.is_empty() {
            return mistake(format!("spurious string after timestamp: {}", quote_bytes(&self.token)));
        }
        Ok(())
    }

    /// Finds the metric that the line belongs to: histograms and summaries take several.
    fn settle_metric(&mut self, kind: MetricKind) {
        let Some(new) = self.metric else { return };
        let at = if kind == MetricKind::Summary || is_histogram(Some(kind)) {
            let key = (self.name().to_owned(), self.identity.clone());
            match self.known.get(&key) {
                Some(&known) => {
                    self.metric = Some(known);
                    return;
                }
                None => self.known.insert(key, new).unwrap_or(new),
            }
        } else {
            new
        };
        self.gathered().metrics.push(at);
    }

    fn take_value(&mut self, kind: MetricKind, value: f64) -> Result<(), Stop> {
        let (part, quantile, bound) = (self.part, self.quantile, self.bound);
        let name = quote(self.name());
        let metric = self.metric();
        match kind {
            MetricKind::Summary => {
                if !matches!(metric.value, TextValue::Summary { .. }) {
                    metric.value = TextValue::Summary { quantiles: Vec::new(), sum: 0.0, count: 0.0 };
                }
                let TextValue::Summary { quantiles, sum, count } = &mut metric.value else { return Ok(()) };
                match part {
                    Part::Count => *count = value.trunc().max(0.0),
                    Part::Sum => *sum = value,
                    Part::Other if !quantile.is_nan() => quantiles.push((quantile, value)),
                    Part::Other => {}
                }
            }
            MetricKind::Histogram | MetricKind::GaugeHistogram => {
                if !matches!(metric.value, TextValue::Histogram { .. }) {
                    metric.value = TextValue::Histogram { buckets: Vec::new(), sum: 0.0, count: 0.0 };
                }
                let TextValue::Histogram { buckets, sum, count } = &mut metric.value else { return Ok(()) };
                match part {
                    Part::Count if value < 0.0 => {
                        return mistake(format!("negative count for histogram {name}"));
                    }
                    Part::Count => *count = value,
                    Part::Sum => *sum = value,
                    Part::Other if bound.is_nan() => {}
                    Part::Other if value < 0.0 => {
                        return mistake(format!("negative bucket population for histogram {name}"));
                    }
                    Part::Other => buckets.push((bound, value)),
                }
            }
            _ => metric.value = TextValue::Float(value),
        }
        Ok(())
    }

    // What a line is about.

    fn begin_metric(&mut self) -> Result<(), Stop> {
        self.choose_family()?;
        self.gathered().kind.get_or_insert(MetricKind::Untyped);
        self.metric = Some(self.metrics.len());
        self.metrics.push(TextMetric::default());
        Ok(())
    }

    /// Takes the family that the token names; `_sum`, `_count` and `_bucket` belong to that of their histogram or summary.
    fn choose_family(&mut self) -> Result<(), Stop> {
        self.part = Part::Other;
        let name = match std::str::from_utf8(&self.token) {
            Ok(name) if self.scheme.is_valid_metric_name(name) => name.to_owned(),
            _ => return mistake(format!("invalid metric name {}", quote_bytes(&self.token))),
        };
        if !self.families.contains_key(&name) {
            let without = |suffix: &str| name.strip_suffix(suffix).filter(|rest| !rest.is_empty());
            let (base, part, bucket) = match (without("_count"), without("_sum"), without("_bucket")) {
                (Some(base), _, _) => (base, Part::Count, false),
                (_, Some(base), _) => (base, Part::Sum, false),
                (_, _, Some(base)) => (base, Part::Other, true),
                _ => (name.as_str(), Part::Other, false),
            };
            let kind = self.families.get(base).map(Gathered::kind);
            if is_histogram(kind) || (kind == Some(MetricKind::Summary) && !bucket) {
                self.part = part;
                self.family = Some(base.to_owned());
                return Ok(());
            }
            self.families.insert(name.clone(), Gathered::default());
        }
        self.family = Some(name);
        Ok(())
    }

    fn begin_labels(&mut self) {
        let kind = self.current_kind();
        if kind == Some(MetricKind::Summary) || is_histogram(kind) {
            self.identity.clear();
            (self.quantile, self.bound) = (f64::NAN, f64::NAN);
        }
    }

    fn name(&self) -> &str {
        self.family.as_deref().unwrap_or_default()
    }

    fn current_kind(&self) -> Option<MetricKind> {
        self.families.get(self.family.as_deref()?)?.kind
    }

    fn gathered(&mut self) -> &mut Gathered {
        let name = self.family.clone().unwrap_or_default();
        self.families.entry(name).or_default()
    }

    fn metric(&mut self) -> &mut TextMetric {
        let at = self.metric.filter(|&at| at < self.metrics.len()).unwrap_or_else(|| {
            self.metrics.push(TextMetric::default());
            self.metrics.len() - 1
        });
        &mut self.metrics[at]
    }

    // Bytes and tokens. A token ends before `byte`, which is read already.

    fn next(&mut self) -> Result<(), Stop> {
        match self.page.get(self.at) {
            Some(&byte) => {
                self.byte = byte;
                self.at += 1;
                Ok(())
            }
            None => {
                self.byte = 0;
                Err(Stop::End)
            }
        }
    }

    fn skip_blanks(&mut self) -> Result<(), Stop> {
        self.next()?;
        self.skip_blanks_from_here()
    }

    fn skip_blanks_from_here(&mut self) -> Result<(), Stop> {
        while is_blank(self.byte) {
            self.next()?;
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Stop> {
        self.token.clear();
        while !is_blank(self.byte) && self.byte != b'\n' {
            self.token.push(self.byte);
            self.next()?;
        }
        Ok(())
    }

    /// Up to the end of the line. Without `escapes`, backslashes vanish.
    fn rest_of_line(&mut self, escapes: bool) -> Result<(), Stop> {
        self.token.clear();
        let mut escaped = false;
        loop {
            if escapes && escaped {
                let byte = unescaped(self.byte)?;
                self.token.push(byte);
                escaped = false;
            } else {
                match self.byte {
                    b'\n' => return Ok(()),
                    b'\\' => escaped = true,
                    byte => self.token.push(byte),
                }
            }
            self.next()?;
        }
    }

    fn metric_name(&mut self) -> Result<(), Stop> {
        self.name_token("metric", |byte| is_label_byte(byte) || byte == b':')
    }

    fn label_name(&mut self) -> Result<(), Stop> {
        self.name_token("label", is_label_byte)
    }

    /// A name, which may be quoted. Where none begins here the token is empty.
    fn name_token(&mut self, of: &str, continues: impl Fn(u8) -> bool) -> Result<(), Stop> {
        self.token.clear();
        if !continues(self.byte) || self.byte.is_ascii_digit() {
            return Ok(());
        }
        let (mut quoted, mut escaped) = (false, false);
        loop {
            if escaped {
                let byte = unescaped(self.byte)?;
                self.token.push(byte);
                escaped = false;
            } else {
                match self.byte {
                    b'"' if quoted => return self.next(),
                    b'"' => quoted = true,
                    b'\n' => {
                        let name = quote_bytes(&self.token);
                        return mistake(format!("{of} name {name} contains unescaped new-line"));
                    }
                    b'\\' => escaped = true,
                    byte => self.token.push(byte),
                }
            }
            self.next()?;
            if !quoted && !continues(self.byte) {
                return Ok(());
            }
        }
    }

    /// Behind the opening quotes, up to the closing ones.
    fn quoted(&mut self) -> Result<(), Stop> {
        self.token.clear();
        loop {
            self.next()?;
            match self.byte {
                b'"' => return Ok(()),
                b'\\' => {
                    self.next()?;
                    let byte = unescaped(self.byte)?;
                    self.token.push(byte);
                }
                b'\n' => {
                    let value = quote_bytes(&self.token);
                    return mistake(format!("label value {value} contains unescaped new-line"));
                }
                byte => self.token.push(byte),
            }
        }
    }

    /// The token, if it is UTF-8.
    fn text(&self, otherwise: &str) -> Result<String, Stop> {
        match std::str::from_utf8(&self.token) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => mistake(format!("{otherwise} {}", quote_bytes(&self.token))),
        }
    }
}

fn is_histogram(kind: Option<MetricKind>) -> bool {
    matches!(kind, Some(MetricKind::Histogram | MetricKind::GaugeHistogram))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Quotes begin a part of a name that may hold anything.
fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'"')
}

fn unescaped(byte: u8) -> Result<u8, Stop> {
    match byte {
        b'\\' | b'"' => Ok(byte),
        b'n' => Ok(b'\n'),
        _ => mistake(format!("invalid escape sequence '\\{}'", char::from(byte))),
    }
}

/// Hexadecimal numbers and digits in groups are none here.
fn float(text: &str) -> Option<f64> {
    parse_float(text).filter(|_| !text.contains(['p', 'P', '_']))
}

/// Go's `%q` of a byte.
fn quote_byte(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        _ => quote(char::from(byte).encode_utf8(&mut [0; 4])).replace('"', "'"),
    }
}
