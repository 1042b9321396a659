//! Pages that Prometheus accepted or refused: the same samples, metadata, exemplars and error texts here.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failing case stops the test; a skipped one says so"
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use exposition::{Entry, InvalidNames, LabelsBuf, LabelsError, MetricKind, PageFormat, PageParser};
use model::{Labels, METRIC_NAME};
use serde::Deserialize;

type Pairs = BTreeMap<String, String>;

/// What reading a page gives.
#[derive(Debug, Default, PartialEq)]
struct Read {
    error: String,
    samples: usize,
    series: BTreeMap<Pairs, String>,
    stamped: bool,
    metadata: BTreeMap<String, (String, String, String)>,
    exemplar: Option<(Pairs, String)>,
}

fn kind_name(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::GaugeHistogram => "gaugehistogram",
        MetricKind::Summary => "summary",
        MetricKind::Info => "info",
        MetricKind::StateSet => "stateset",
        MetricKind::Untyped => "unknown",
    }
}

fn pairs(labels: &Labels) -> Pairs {
    labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn api_value(v: f64) -> String {
    let mut out = String::new();
    model::number::push_api_value(&mut out, v);
    out
}

fn read(format: PageFormat, page: &[u8], target: &Labels) -> Read {
    let mut read = Read::default();
    let mut parser = PageParser::new(format, page);
    let mut labels = LabelsBuf::new();
    loop {
        let entry = match parser.next() {
            Ok(Entry::Eof) => return read,
            Ok(entry) => entry,
            Err(error) => {
                read.error = error.to_string();
                return read;
            }
        };
        let line = match entry {
            Entry::Series(line) => line,
            Entry::Help { name, text } => {
                let metadata = read.metadata.entry(name.into_owned()).or_insert_with(unknown);
                metadata.1 = text.into_owned();
                continue;
            }
            Entry::Type { name, kind } => {
                let metadata = read.metadata.entry(name.into_owned()).or_insert_with(unknown);
                metadata.0 = kind_name(kind).to_owned();
                continue;
            }
            Entry::Unit { name, unit } => {
                let metadata = read.metadata.entry(name.into_owned()).or_insert_with(unknown);
                metadata.2 = unit.into_owned();
                continue;
            }
            _ => continue,
        };
        read.samples += 1;
        if let Err(error) = labels.read(format, line.series, parser.kind()) {
            read.error = match error {
                LabelsError::NotUtf8(names) => LabelsError::NotUtf8(names.with(target)).to_string(),
                error => error.to_string(),
            };
            return read;
        }
        let set = labels.labels();
        if set.metric_name().is_none() {
            read.error = "missing metric name (__name__ label)".to_owned();
            return read;
        }
        if set.get("").is_some() {
            read.error = InvalidNames::from(&set).with(target).to_string();
            return read;
        }
        if let Some(exemplar) = line.exemplar {
            read.exemplar = Some((pairs(&exemplar.labels().unwrap()), api_value(exemplar.value)));
        }
        if line.timestamp_ms.is_some() {
            read.stamped = true;
        } else {
            read.series.entry(pairs(&set)).or_insert_with(|| api_value(line.value));
        }
    }
}

fn unknown() -> (String, String, String) {
    ("unknown".to_owned(), String::new(), String::new())
}

#[derive(Deserialize)]
struct Case {
    format: String,
    page: String,
    error: String,
    samples: usize,
    #[serde(default)]
    series: Vec<(Pairs, String)>,
    #[serde(default)]
    metadata: Vec<(String, String, String, String)>,
    #[serde(default)]
    exemplars: Vec<(Pairs, String)>,
}

#[test]
fn pages_are_read_as_prometheus_reads_them() {
    let target = Labels::from_pairs([("instance", "i"), ("job", "j")]);
    let cases = include_str!("../testdata/prometheus.jsonl");
    let mut failures = Vec::new();
    for line in cases.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let page: Vec<u8> = case.page.chars().map(|c| c as u8).collect();
        let format = if case.format == "om" { PageFormat::OpenMetrics } else { PageFormat::Text };
        let got = read(format, &page, &target);
        let refused = !case.error.is_empty();
        let wanted = Read {
            series: if refused { got.series.clone() } else { case.series.into_iter().collect() },
            samples: case.samples,
            error: case.error,
            stamped: got.stamped,
            metadata: case
                .metadata
                .into_iter()
                .map(|(name, kind, help, unit)| (name, (kind, help, unit)))
                .collect(),
            exemplar: if refused { got.exemplar.clone() } else { case.exemplars.into_iter().last() },
        };
        // Prometheus shows no exemplar of a sample that is too old.
        let exemplar = if got.stamped { None } else { got.exemplar.clone() };
        let got = Read { exemplar, ..got };
        let wanted = Read { exemplar: wanted.exemplar.filter(|_| !got.stamped), ..wanted };
        if got != wanted {
            failures.push(format!("{} {:?}\n got    {got:?}\n wanted {wanted:?}", case.format, case.page));
        }
    }
    assert!(failures.is_empty(), "{} pages differ\n{}", failures.len(), failures.join("\n"));
}

/// The folder of recordings, if it is there.
fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("BINNACLE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = root.join(path);
    if !path.exists() {
        println!("skipped: no recordings at {}", path.display());
        return None;
    }
    Some(path)
}

#[derive(Deserialize)]
struct Recorded {
    name: String,
    content_type: Option<String>,
    body: Option<String>,
    scrape_config: Option<serde_json::Value>,
    http: Option<serde_json::Value>,
    result: Option<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    last_error: Option<String>,
    series: Vec<RecordedSeries>,
    #[serde(default)]
    report: BTreeMap<String, String>,
    metadata: Option<Vec<(String, String, String, String)>>,
}

#[derive(Deserialize)]
struct RecordedSeries {
    labels: Pairs,
    value: Option<String>,
    samples: Option<serde_json::Value>,
}

/// `@N@` and `@sN@` become times near `reference`, in milliseconds and seconds.
fn with_times(body: &str, reference: i64) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let Some((offset, after)) = after.split_once('@') else {
            out.push('@');
            rest = after;
            continue;
        };
        match (offset.parse::<i64>(), offset.strip_prefix('s').map(str::parse::<i64>)) {
            (Ok(seconds), _) => out.push_str(&((reference + seconds) * 1000).to_string()),
            (_, Some(Ok(seconds))) => out.push_str(&(reference + seconds).to_string()),
            _ => {
                // An `@` of the page itself.
                out.push('@');
                rest = rest.split_once('@').unwrap().1;
                continue;
            }
        }
        rest = after;
    }
    out + rest
}

#[test]
fn recorded_text_cases_give_the_recorded_samples_metadata_and_errors() {
    let Some(path) = shared("golden/exposition/cases.jsonl") else { return };
    let mut compared = 0;
    let mut failures = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Recorded = serde_json::from_str(line).unwrap();
        let (Some(body), Some(answer)) = (case.body, case.result) else { continue };
        let content_type = case.content_type.unwrap_or_default();
        let format = match content_type.split(';').next().unwrap() {
            "text/plain" => PageFormat::Text,
            "application/openmetrics-text" => PageFormat::OpenMetrics,
            _ => continue,
        };
        let configured =
            case.scrape_config.is_some_and(|config| config != serde_json::json!({"honor_labels": true}));
        if configured || case.http.is_some() || case.name.starts_with("ct-malformed") {
            continue;
        }
        compared += 1;
        let got = read(format, with_times(&body, 1_795_250_466).as_bytes(), &Labels::empty());
        let wanted_error = answer.last_error.unwrap_or_default();
        let metadata = answer.metadata.unwrap_or_default();
        let metadata: BTreeMap<_, _> =
            metadata.into_iter().map(|(name, kind, help, unit)| (name, (kind, help, unit))).collect();
        let samples = answer.report.get("scrape_samples_scraped").cloned().unwrap_or_default();
        let mut differs =
            got.error != wanted_error || got.metadata != metadata || got.samples.to_string() != samples;
        // The target's own labels join those of the page; what becomes of a clash is not the page's matter.
        let own = |labels: Pairs| -> Pairs {
            labels.into_iter().filter(|(n, _)| n != "job" && n != "instance").collect()
        };
        let clash = body.contains("job=") || body.contains("instance=");
        if wanted_error.is_empty() && !got.stamped && !clash {
            let wanted: BTreeMap<Pairs, String> = answer
                .series
                .into_iter()
                .filter(|series| series.samples.is_none())
                .filter_map(|series| Some((own(series.labels), series.value?)))
                .collect();
            differs |= !wanted.iter().all(|(labels, value)| got.series.get(labels) == Some(value));
        }
        if differs {
            failures
                .push(format!("{}: got {got:?}\n wanted {wanted_error:?} {metadata:?} {samples}", case.name));
        }
    }
    assert!(failures.is_empty(), "{} of {compared} differ\n{}", failures.len(), failures.join("\n"));
    assert!(compared > 90, "only {compared} cases were compared");
}

/// A page of the folder, unpacked. Not every page of the index is stored.
fn stored(folder: &Path, name: &str) -> Option<Vec<u8>> {
    if let Ok(page) = std::fs::read(folder.join(name)) {
        return Some(page);
    }
    let packed = std::fs::File::open(folder.join(format!("{name}.gz"))).ok()?;
    let mut page = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut page).unwrap();
    Some(page)
}

#[test]
fn recorded_pages_of_real_programs_are_read_to_their_end() {
    let Some(folder) = shared("exposition") else { return };
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut pages = 0;
    for row in index.lines() {
        let [name, status, _, content_type, size] = row.split('\t').collect::<Vec<_>>()[..] else { continue };
        let Some(page) = (status == "200" && name.ends_with(".txt")).then(|| stored(&folder, name)).flatten()
        else {
            continue;
        };
        assert_eq!(page.len().to_string(), size, "{name}");
        let format = match content_type.split(';').next() {
            Some("text/plain") => PageFormat::Text,
            Some("application/openmetrics-text") => PageFormat::OpenMetrics,
            _ => continue,
        };
        let got = read(format, &page, &Labels::empty());
        let lines = page.split(|&b| b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#').count();
        assert_eq!((got.error.as_str(), got.samples), ("", lines), "{name}");
        assert!(got.series.keys().all(|labels| labels.contains_key(METRIC_NAME)));
        pages += 1;
    }
    assert!(pages > 10, "only {pages} pages");
}
