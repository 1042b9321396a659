//! `bench write`: how quickly samples are stored, by the same load as promtool's.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exposition::Registry;
use model::Labels;
use model::number::format_g;
use storage::{Affinity, Append as _, Batch, BatchSample, Outcome, SeriesRef};
use tsdb::{Head, HeadOptions};

use crate::logging;
use crate::tool::Failure;
use crate::tool::command_line::BenchArgs;

/// Between two scrapes, in milliseconds.
const STEP: i64 = 30_000;
/// Scrapes that follow each other before all series begin again.
const ROUND: i64 = 100;
/// Series that are scraped together.
const TARGET: usize = 1000;
/// The value that a round begins after, and what each scrape adds to it.
const FIRST_VALUE: f64 = 123_456_789.0;
const VALUE_STEP: f64 = 1000.0;

pub(super) fn run(args: &BenchArgs) -> Result<(), Failure> {
    logging::init(logging::Level::Info, logging::Format::Logfmt);
    if let Err(e) = fs::remove_dir_all(&args.out)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(Failure::call("unlinkat", &args.out, &e));
    }
    let dir = args.out.join("storage");
    fs::create_dir_all(&dir).map_err(|e| Failure::call("mkdir", &dir, &e))?;
    let head = Head::open(&dir, HeadOptions::default(), &Registry::new())?;

    let (series, _) = stage("readData", || read_series(&args.file, args.metrics))?;
    let (total, took) = stage("ingestScrapes", || {
        let total = ingest(&head, &series, args.scrapes)?;
        say("ingestion completed")?;
        Ok(total)
    })?;
    say(&format!(" > total samples: {total}"))?;
    say(&format!(" > samples/sec: {}", format_g(total as f64 / took.as_secs_f64())))?;
    stage("stopStorage", || head.close().map_err(Failure::from))?;
    Ok(())
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|e| Failure::output(&e))
}

fn stage<T>(name: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Duration), Failure> {
    say(&format!(">> start stage={name}"))?;
    let start = Instant::now();
    let result = work()?;
    let took = start.elapsed();
    let nanos = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX);
    say(&format!(">> completed stage={name} duration={}", model::duration::format_go(nanos)))?;
    Ok((result, took))
}

/// The first `most` different series of a file with a line for each, like `{"__name__":"up","job":"node"}`.
fn read_series(path: &Path, most: i64) -> Result<Vec<Labels>, Failure> {
    let file = File::open(path).map_err(|e| Failure::call("open", path, &e))?;
    let most = usize::try_from(most).unwrap_or(0);
    let mut series = Vec::new();
    let mut known = std::collections::HashSet::new();
    for (line, number) in BufReader::new(file).lines().zip(1..) {
        if series.len() >= most {
            break;
        }
        let line = line.map_err(|e| Failure::call("read", path, &e))?;
        let labels = labels_of(&line)
            .ok_or_else(|| Failure::Told(format!("{}:{number}: not a series: {line}", path.display())))?;
        if known.insert(labels.clone()) {
            series.push(labels);
        }
    }
    Ok(series)
}

/// Quotes and braces mean nothing, commas and colons everything: that is how promtool reads its own file.
fn labels_of(line: &str) -> Option<Labels> {
    let bare = line.replace(['"', '{', '}'], "");
    let pairs = bare.split(',').map(|pair| {
        let mut parts = pair.split(':');
        Some((parts.next()?, parts.next()?))
    });
    Some(Labels::from_pairs(pairs.collect::<Option<Vec<_>>>()?))
}

/// Stores all scrapes of all series; returns how many samples that were.
fn ingest(head: &Head, series: &[Labels], scrapes: i64) -> Result<usize, Failure> {
    let targets: Vec<&[Labels]> = series.chunks(TARGET).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = 0;
    for round in 0..scrapes.max(0).saturating_add(ROUND - 1) / ROUND {
        let next = AtomicUsize::new(0);
        let stored: Result<Vec<usize>, Failure> = std::thread::scope(|scope| {
            let worker = || {
                let mut stored = 0;
                loop {
                    let target = next.fetch_add(1, Ordering::Relaxed);
                    let Some(series) = targets.get(target) else { return Ok(stored) };
                    stored += scrape_round(head, target as u64, series, round * ROUND * STEP)?;
                }
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            let outcomes = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Failure::Told("a thread has panicked".to_owned())))
            });
            outcomes.collect()
        });
        total += stored?.into_iter().sum::<usize>();
    }
    Ok(total)
}

/// A round of one target from after a time on.
fn scrape_round(head: &Head, target: u64, series: &[Labels], after: i64) -> Result<usize, Failure> {
    let refs: Vec<SeriesRef> = series
        .iter()
        .map(|labels| head.resolve(Affinity(target), labels).map(|resolved| resolved.series))
        .collect::<Result<_, _>>()?;
    let (mut batch, mut outcome) = (Batch::default(), Outcome::default());
    let (mut stored, mut value) = (0, FIRST_VALUE);
    for scrape in 1..=ROUND {
        value += VALUE_STEP;
        batch.clear();
        let t = after + scrape * STEP;
        batch.samples.extend(refs.iter().map(|&series| BatchSample { series, t, v: value }));
        head.append(&batch, &mut outcome)?;
        stored += outcome.appended;
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_promtool_reads_it() {
        let labels = labels_of(r#"{"__name__":"up","url":"http://a","job":"node"}"#).unwrap();
        assert_eq!(labels.to_string(), r#"{__name__="up", job="node", url="http"}"#);
        assert_eq!(labels_of("nothing"), None);
    }
}
