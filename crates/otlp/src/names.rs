//! Names of metrics, labels and units: what of OpenTelemetry's becomes what of Prometheus'.

use model::number::quote;

/// What becomes of names and units, as `otlp` of the configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Naming {
    /// Unit and type are added to names of metrics.
    pub suffixes: bool,
    /// Names stay as they are; else what Prometheus did not take in the past becomes underscores.
    pub utf8: bool,
    /// `_x` becomes `key_x`.
    pub key_prefix: bool,
    /// `a__b` stays.
    pub keep_underscores: bool,
}

/// The kinds of metrics whose names differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suffix {
    None,
    /// `_total`
    Counter,
    /// `_ratio` where the unit is 1.
    Gauge,
}

const UNITS: [(&str, &str); 26] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The unit in words, and what it is per: `By/s` is `bytes` and `per_second`.
fn unit_words(unit: &str) -> (String, String) {
    let word = |table: &[(&str, &str)], unit: &str| {
        let unit = unit.trim();
        if unit.contains(['{', '}']) {
            return String::new();
        }
        let known = table.iter().find(|(short, _)| *short == unit);
        known.map_or_else(|| unit.to_owned(), |(_, word)| (*word).to_owned())
    };
    let (unit, per) = unit.split_once('/').unwrap_or((unit, ""));
    let per = match word(&PER_UNITS, per) {
        per if per.is_empty() => per,
        per => format!("per_{per}"),
    };
    (word(&UNITS, unit), per)
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// A unit of characters that names may have: runs of others become one underscore, none at the front.
fn clean(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        match c {
            c if is_metric_char(c) => out.push(c),
            _ if out.is_empty() || out.ends_with('_') => {}
            _ => out.push('_'),
        }
    }
    out
}

/// The unit as Prometheus says it, without what names must not have unless `utf8`.
pub(crate) fn unit_name(unit: &str, utf8: bool) -> String {
    let (mut main, mut per) = unit_words(unit);
    if !utf8 {
        (main, per) = (clean(&main), clean(&per));
    }
    let both = if main.is_empty() || per.is_empty() { main + &per } else { format!("{main}_{per}") };
    let both = both.strip_prefix('_').unwrap_or(&both);
    both.strip_suffix('_').unwrap_or(both).to_owned()
}

impl Naming {
    /// The name of a metric.
    pub(crate) fn metric(self, name: &str, unit: &str, suffix: Suffix) -> Result<String, String> {
        if self.utf8 {
            return Ok(if self.suffixes { with_suffixes(name, unit, suffix) } else { name.to_owned() });
        }
        let built = if self.suffixes { from_words(name, unit, suffix) } else { escaped(name) };
        if built.is_empty() {
            return Err(format!("normalization for metric {} resulted in empty name", quote(name)));
        }
        if built != name && built.bytes().all(|b| b == b'_') {
            return Err(format!(
                "normalization for metric {} resulted in invalid name {}",
                quote(name),
                quote(&built)
            ));
        }
        Ok(built)
    }

    /// Adds the name of a label.
    pub(crate) fn push_label(self, out: &mut String, name: &str) -> Result<(), String> {
        let at = out.len();
        let only_underscores = |text: &str| text.bytes().all(|b| b == b'_');
        if name.is_empty() {
            return Err("label name is empty".to_owned());
        }
        if self.utf8 {
            if only_underscores(name) {
                return Err(format!("label name {} contains only underscores", quote(name)));
            }
            out.push_str(name);
            return Ok(());
        }
        self.push_escaped_label(out, name);
        let built = out.get(at..).unwrap_or_default();
        if built.starts_with(|c: char| c.is_ascii_digit()) {
            out.insert_str(at, "key_");
        } else if self.key_prefix && built.starts_with('_') && !built.starts_with("__") {
            out.insert_str(at, "key");
        }
        let built = out.get(at..).unwrap_or_default();
        if only_underscores(built) {
            let why = format!(
                "normalization for label name {} resulted in invalid name {}",
                quote(name),
                quote(built)
            );
            out.truncate(at);
            return Err(why);
        }
        Ok(())
    }

    fn push_escaped_label(self, out: &mut String, name: &str) {
        let escaped = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        if self.keep_underscores {
            out.extend(name.chars().map(escaped));
            return;
        }
        let reserved = name.strip_prefix("__").and_then(|name| name.strip_suffix("__"));
        out.push_str(reserved.map_or("", |_| "__"));
        let mut after_underscore = false;
        for c in reserved.unwrap_or(name).chars().map(escaped) {
            if c != '_' || !after_underscore {
                out.push(c);
            }
            after_underscore = c == '_';
        }
        out.push_str(reserved.map_or("", |_| "__"));
    }
}

/// Without suffixes: what no name may have parts words, which are joined again. Underscores are part of words.
fn escaped(name: &str) -> String {
    let words = name.split(|c: char| !is_metric_char(c) && c != '_').filter(|word| !word.is_empty());
    let mut out = String::with_capacity(name.len() + 1);
    for word in words {
        out.push_str(if out.is_empty() { "" } else { "_" });
        out.push_str(word);
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// The words of the name, of the unit and of the kind, each once.
fn from_words(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut words: Vec<&str> = name.split(|c| !is_metric_char(c)).filter(|word| !word.is_empty()).collect();
    let (main, per) = unit_words(unit);
    let (main, per) = (clean(&main), clean(&per));
    let mut main = if words.contains(&main.as_str()) { "" } else { main.as_str() };
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    if words.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let last = match suffix {
        Suffix::Counter => Some("total"),
        Suffix::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    };
    if let Some(last) = last {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let mut out = words.join("_");
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// The name with unit and kind at its end, where they are not there already.
fn with_suffixes(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut name = name;
    let mut last = "";
    if unit == "1" && suffix == Suffix::Gauge {
        (name, last) = (without(name, "ratio"), "_ratio");
    }
    if suffix == Suffix::Counter {
        (name, last) = (without(name, "total"), "_total");
    }
    let (main, per) = unit_words(unit);
    if !per.is_empty() {
        name = without(name, &per);
    }
    let mut out = name.to_owned();
    if !main.is_empty() && !name.ends_with(&main) {
        out.push('_');
        out.push_str(&main);
    }
    if !per.is_empty() {
        out.push('_');
        out.push_str(&per);
    }
    out + last
}

/// The name without a suffix and the character in front of it.
fn without<'a>(name: &'a str, suffix: &str) -> &'a str {
    match name.strip_suffix(suffix) {
        Some(rest) if rest.len() > 1 => {
            let end = rest.char_indices().next_back().map_or(0, |(at, _)| at);
            rest.get(..end).unwrap_or_default()
        }
        _ => name,
    }
}
