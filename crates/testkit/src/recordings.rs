//! Recordings of the real programs, where they are present.

use std::io::Read;
use std::path::PathBuf;

use model::{Labels, STALE_NAN, Sample, number};
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

/// Names of the metrics of a data set that have native histograms.
pub type HistogramNames = Vec<String>;

/// Loads the float samples of a recorded data set (`dataset.jsonl`) into `store`; returns the names of the metrics
/// that have histograms too.
pub fn load_dataset(text: &str, store: &MemoryStore) -> HistogramNames {
    let mut histograms = Vec::new();
    for series in text.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
        let labels: Labels = series["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()))
            .collect();
        if series["histograms"].as_array().is_some_and(|h| !h.is_empty()) {
            histograms.push(labels.value("__name__").to_owned());
        }
        let samples = series["samples"].as_array().into_iter().flatten().filter_map(|s| {
            let text = s[1].as_str()?;
            let v = if text == "stale" { STALE_NAN } else { number::parse_float(text)? };
            Some(Sample { t: s[0].as_i64()?, v })
        });
        let samples: Vec<Sample> = samples.collect();
        if !samples.is_empty() {
            let _ = store.insert(&labels, samples);
        }
    }
    histograms.sort();
    histograms.dedup();
    histograms
}
