//! What is odd about metrics: the rules of client libraries' `promlint`.

use exposition::{MetricKind, TextFamily};
use model::number::quote;

/// Units with what should be used instead.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

/// Each with the name of the metric, in order.
pub(super) fn problems(families: &[TextFamily]) -> Vec<String> {
    let mut all: Vec<(&str, String)> = families
        .iter()
        .flat_map(|family| of_family(family).into_iter().map(|problem| (family.name.as_str(), problem)))
        .collect();
    all.sort();
    all.into_iter().map(|(name, problem)| format!("{name} {problem}")).collect()
}

fn of_family(family: &TextFamily) -> Vec<String> {
    let mut found = Vec::new();
    let mut tell = |problem: &str| found.push(problem.to_owned());
    if family.help.is_none() {
        tell("no help text");
    }
    if let Some((unit, base)) = unit(&family.name).filter(|(unit, base)| unit != base) {
        tell(&format!("use base unit {} instead of {}", quote(base), quote(unit)));
    }
    counter(family, &mut tell);
    if family.kind != MetricKind::Untyped {
        reserved(family, &mut tell);
        type_in_name(family, &mut tell);
    }
    if family.name.contains(':') {
        tell("metric names should not contain ':'");
    }
    if is_camel_case(&family.name) {
        tell("metric names should be written in 'snake_case' not 'camelCase'");
    }
    for _ in labels(family).filter(|name| is_camel_case(name)) {
        tell("label names should be written in 'snake_case' not 'camelCase'");
    }
    let name = family.name.to_lowercase();
    for _ in ABBREVIATIONS.iter().filter(|unit| holds_word(&name, unit)) {
        tell("metric names should not contain abbreviated units");
    }
    for (i, metric) in family.metrics.iter().enumerate() {
        if family.metrics.iter().skip(i + 1).any(|other| other.labels == metric.labels) {
            tell("metric not unique");
        }
    }
    found
}

fn counter(family: &TextFamily, tell: &mut impl FnMut(&str)) {
    let is_total = family.name.ends_with("_total");
    match family.kind {
        MetricKind::Counter if !is_total => tell("counter metrics should have \"_total\" suffix"),
        MetricKind::Counter | MetricKind::Untyped => {}
        _ if is_total => tell("non-counter metrics should not have \"_total\" suffix"),
        _ => {}
    }
}

/// What belongs to histograms and summaries.
fn reserved(family: &TextFamily, tell: &mut impl FnMut(&str)) {
    let is_histogram = family.kind == MetricKind::Histogram;
    let is_summary = family.kind == MetricKind::Summary;
    if !is_histogram && family.name.ends_with("_bucket") {
        tell("non-histogram metrics should not have \"_bucket\" suffix");
    }
    if !is_histogram && !is_summary {
        for suffix in ["_count", "_sum"].into_iter().filter(|suffix| family.name.ends_with(suffix)) {
            tell(&format!("non-histogram and non-summary metrics should not have \"{suffix}\" suffix"));
        }
    }
    for name in labels(family) {
        if !is_histogram && name == "le" {
            tell("non-histogram metrics should not have \"le\" label");
        }
        if !is_summary && name == "quantile" {
            tell("non-summary metrics should not have \"quantile\" label");
        }
    }
}

fn type_in_name(family: &TextFamily, tell: &mut impl FnMut(&str)) {
    let kind = match family.kind {
        MetricKind::GaugeHistogram => "gauge_histogram",
        kind => kind.as_str(),
    };
    if holds_word(&family.name.to_lowercase(), kind) {
        tell(&format!("metric name should not include type '{kind}'"));
    }
}

fn labels(family: &TextFamily) -> impl Iterator<Item = &str> {
    family.metrics.iter().flat_map(|metric| metric.labels.iter().map(|(name, _)| name.as_str()))
}

/// The first unit in a name, and what should be used instead.
fn unit(name: &str) -> Option<(&str, &'static str)> {
    let base = |unit: &str| UNITS.iter().find(|(known, _)| *known == unit).map(|(_, base)| *base);
    name.split('_').find_map(|word| {
        let prefixed = || PREFIXES.iter().find_map(|prefix| base(word.strip_prefix(prefix)?));
        Some((word, base(word).or_else(prefixed)?))
    })
}

/// Behind an underscore, and at the end or before another one.
fn holds_word(name: &str, word: &str) -> bool {
    name.split('_').skip(1).any(|part| part == word)
        || (word.contains('_') && {
            name.ends_with(&format!("_{word}")) || name.contains(&format!("_{word}_"))
        })
}

fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}
