//! What scraping notices of cuts and compactions: the program under the load, with blocks of a minute.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::http;
use crate::measure::{LOOK, unix_seconds};
use crate::peer::Process;
use crate::queries::instant_path;

/// Blocks are cut every minute, and four of them compacted.
pub(crate) const FLAGS: [&str; 2] =
    ["--storage.tsdb.min-block-duration=1m", "--storage.tsdb.max-block-duration=4m"];

/// Seconds that work on blocks took so far, by these metrics.
const BUSY: [&str; 3] = [
    "prometheus_tsdb_compaction_duration_seconds_sum",
    "prometheus_tsdb_head_gc_duration_seconds_sum",
    "prometheus_tsdb_wal_truncate_duration_seconds_sum",
];

/// What cutting and compacting blocks cost those who scrape meanwhile.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Cutting {
    /// Blocks that were cut or compacted.
    pub(crate) compactions: f64,
    /// Seconds in which that went on.
    pub(crate) busy_seconds: f64,
    /// Of scrapes, fetch to head, at other times and then.
    pub(crate) scrape_p99_ms: f64,
    pub(crate) scrape_p99_busy_ms: f64,
    /// Highest resident memory by the mean at other times.
    pub(crate) rss_peak_ratio: f64,
}

/// Seconds since the Unix epoch, from and to.
type Window = (f64, f64);

/// Watches a program that scrapes and cuts for as long as `duration`.
pub(crate) fn watch(process: &mut Process, port: u16, duration: Duration) -> Result<Cutting> {
    let start = Instant::now();
    let first = counters(port)?;
    let mut before = first;
    let mut busy: Vec<Window> = Vec::new();
    let mut looks: Vec<(f64, f64)> = Vec::new();
    while start.elapsed() < duration {
        thread::sleep(LOOK);
        let (now, counted) = (unix_seconds(), counters(port)?);
        let took = counted.seconds - before.seconds;
        if took > 0.0 {
            busy.push((now - took - LOOK.as_secs_f64(), now));
        }
        before = counted;
        looks.push((now, process.usage()?.rss));
    }
    let is_busy = |from: f64, to: f64| busy.iter().any(|&(begin, end)| from <= end && to >= begin);
    let (mut at_work, mut else_) = (Vec::new(), Vec::new());
    for (t, seconds) in scrapes(port, duration)? {
        let list = if is_busy(t, t + seconds) { &mut at_work } else { &mut else_ };
        list.push(seconds * 1000.0);
    }
    let calm: Vec<f64> = looks.iter().filter(|(t, _)| !is_busy(*t, *t)).map(|(_, rss)| *rss).collect();
    let peak = looks.iter().map(|(_, rss)| *rss).fold(0.0, f64::max);
    Ok(Cutting {
        compactions: before.compactions - first.compactions,
        busy_seconds: before.seconds - first.seconds,
        scrape_p99_ms: p99(else_),
        scrape_p99_busy_ms: p99(at_work),
        rss_peak_ratio: peak * calm.len() as f64 / calm.iter().sum::<f64>(),
    })
}

/// NaN of nothing.
fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * 99 / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[derive(Debug, Clone, Copy)]
struct Counters {
    compactions: f64,
    seconds: f64,
}

fn counters(port: u16) -> Result<Counters> {
    let page = http::get(port, "/metrics")?;
    let page = String::from_utf8_lossy(&page);
    let seconds = BUSY.iter().filter_map(|name| metric(&page, name)).sum();
    let compactions =
        metric(&page, "prometheus_tsdb_compactions_total").context("no count of compactions")?;
    Ok(Counters { compactions, seconds })
}

/// The value of a metric without labels on a page.
pub(crate) fn metric(page: &str, name: &str) -> Option<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

/// When each scrape of the last `duration` began, and how many seconds it took.
fn scrapes(port: u16, duration: Duration) -> Result<Vec<(f64, f64)>> {
    let expression = format!("scrape_duration_seconds[{}s]", duration.as_secs().max(1));
    let answer: Value =
        serde_json::from_slice(&http::get(port, &instant_path(&expression, unix_seconds()))?)?;
    let series = answer.pointer("/data/result").and_then(Value::as_array).context("no scrapes")?;
    let values = series.iter().filter_map(|series| series.pointer("/values")?.as_array()).flatten();
    let pairs = values.map(|pair| Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_str()?.parse().ok()?)));
    pairs.collect::<Option<_>>().context("not a sample")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# TYPE a_sum counter\na_sum_x 1\na_sum 2.5\n";
        assert_eq!(metric(page, "a_sum"), Some(2.5));
        assert_eq!(metric(page, "a"), None);
    }

    #[test]
    fn the_99th_percentile_of_few_values_is_the_highest() {
        assert_eq!(p99(vec![3.0, 1.0, 2.0]), 3.0);
        assert_eq!(p99((0..200).map(f64::from).collect()), 198.0);
        assert!(p99(Vec::new()).is_nan());
    }
}
