//! Recordings of the real programs, where they are present.

use std::io::Read;
use std::path::PathBuf;

use model::histogram::{CounterReset, Span, populations};
use model::{FloatHistogram, Labels, STALE_NAN, Sample, number};
use serde_json::Value as Json;
use storage::MemoryStore;

/// The folder of recordings: `BINNACLE_SHARED`, else `shared` beside the workspace. `None`, and a line on standard
/// error, when it is not there.
#[must_use]
#[allow(clippy::print_stderr)] // says that a test was skipped
pub fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("BINNACLE_SHARED").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {folder} is not there (BINNACLE_SHARED)");
    None
}

/// The text of a gzip file.
///
/// # Errors
/// When it cannot be read.
pub fn gunzip(path: &std::path::Path) -> std::io::Result<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path)?).read_to_string(&mut text)?;
    Ok(text)
}

/// Loads a recorded data set (`dataset.jsonl`) into `store`; returns the names of the metrics that have histograms.
pub fn load_dataset(text: &str, store: &MemoryStore) -> Vec<String> {
    let mut names = Vec::new();
    for series in text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
        let labels: Labels = series["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()))
            .collect();
        let samples = series["samples"].as_array().into_iter().flatten().filter_map(|s| {
            let text = s[1].as_str()?;
            let v = if text == "stale" { STALE_NAN } else { number::parse_float(text)? };
            Some(Sample { t: s[0].as_i64()?, v })
        });
        let mut samples: Vec<Sample> = samples.collect();
        let mut histograms = Vec::new();
        for h in series["histograms"].as_array().into_iter().flatten() {
            let Some(t) = h["t"].as_i64() else { continue };
            if h["stale"] == true {
                samples.push(Sample { t, v: STALE_NAN });
            } else {
                histograms.push((t, histogram(h)));
            }
        }
        if !histograms.is_empty() {
            names.push(labels.value("__name__").to_owned());
        }
        samples.sort_by_key(|s| s.t);
        let _ = store.insert(&labels, samples);
        let _ = store.insert_histograms(&labels, histograms);
    }
    names.sort();
    names.dedup();
    names
}

fn histogram(json: &Json) -> FloatHistogram {
    let number = |v: &Json| v.as_f64().or_else(|| number::parse_float(v.as_str()?)).unwrap_or(0.0);
    let numbers = |v: &Json| v.as_array().into_iter().flatten().map(number).collect::<Vec<f64>>();
    let side = |spans: &Json, buckets: &Json| {
        let span = |s: &Json| Span {
            offset: s[0].as_i64().unwrap_or(0) as i32,
            length: s[1].as_i64().unwrap_or(0) as u32,
        };
        let spans: Vec<Span> = spans.as_array().into_iter().flatten().map(span).collect();
        populations(&spans, &numbers(buckets))
    };
    FloatHistogram {
        schema: json["schema"].as_i64().unwrap_or(0) as i32,
        reset: if json["hint"] == "gauge" { CounterReset::Gauge } else { CounterReset::Unknown },
        zero_threshold: number(&json["zero_threshold"]),
        zero_count: number(&json["zero_count"]),
        count: number(&json["count"]),
        sum: number(&json["sum"]),
        positive: side(&json["positive_spans"], &json["positive_buckets"]),
        negative: side(&json["negative_spans"], &json["negative_buckets"]),
        custom_values: numbers(&json["custom_values"]),
    }
}
