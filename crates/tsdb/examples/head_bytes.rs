//! What a series costs: creates many with ten labels as a cluster has them, appends scrapes, and prints resident
//! memory, time a sample, time a series, and the time of restarts.
//!
//! `cargo run --release -p tsdb --example head_bytes -- [series] [scrapes] [directory]`

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::time::Instant;

use exposition::Registry;
use model::{Labels, Matcher};
use storage::{
    Affinity, Append, Batch, BatchSample, Newest, Outcome, Projection, QueryContext, Request, Select,
    SeriesRef,
};
use tsdb::{Head, HeadOptions};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn resident(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with(field));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)).and_then(|n| n.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

/// Seconds that this thread was on a processor: the machine may have other work.
fn busy() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// Seconds that all threads of this process were on a processor.
fn all_busy() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / 100.0
}

/// A target is a node's kubelet: pods with containers, a few hundred metrics each.
fn series_labels(i: usize) -> (u64, Labels) {
    const PER_TARGET: usize = 5000;
    const PER_CONTAINER: usize = 50;
    let (target, container) = (i / PER_TARGET, i / PER_CONTAINER);
    let (pod, metric) = (container / 2, i % PER_CONTAINER);
    let labels = Labels::from_sorted([
        ("__name__", format!("container_metric_number_{metric}_seconds_total").as_str()),
        ("container", ["application", "istio-proxy"][container % 2]),
        ("endpoint", "https-metrics"),
        ("id", &format!("/kubepods/burstable/pod{pod:08x}/{container:016x}")),
        ("image", &format!("registry.example.com/team/{}:v1.{}", pod % 97, pod % 7)),
        ("instance", &format!("10.0.{}.{}:10250", target / 250, target % 250)),
        ("job", "kubelet"),
        ("namespace", &format!("namespace-{}", pod % 60)),
        ("node", &format!("ip-10-0-{}-{}.ec2.internal", target / 250, target % 250)),
        ("pod", &format!("deployment-{}-7d9f8b6c5-{pod:05x}", pod % 300)),
    ]);
    (target as u64, labels)
}

/// Half constants, a quarter counters, a quarter gauges; about a third of all change at a scrape.
fn value(i: usize, scrape: usize, before: f64) -> f64 {
    let random = (i as u64 ^ (scrape as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match i % 4 {
        0 | 1 => (i % 100) as f64,
        2 if !random.is_multiple_of(4) => before + (random % 1000) as f64,
        3 if !random.is_multiple_of(3) => (random % 100_000) as f64 / 10.0,
        _ => before,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default| arguments.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (count, scrapes) = (number(0, 1_000_000), number(1, 30));
    let dir = arguments.get(2).cloned().unwrap_or("target/head_bytes".into());
    let _ = std::fs::remove_dir_all(&dir);
    let path = std::path::Path::new(&dir);
    let base = resident("VmRSS:");

    let head = Head::open(path, HeadOptions::default(), &Registry::new())?;
    let mut refs: Vec<(u64, SeriesRef)> = Vec::with_capacity(count);
    let mut creating = 0.0;
    for first in (0..count).step_by(10_000) {
        let some: Vec<_> = (first..count.min(first + 10_000)).map(series_labels).collect();
        let start = busy();
        for (target, labels) in &some {
            refs.push((*target, head.resolve(Affinity(*target), labels)?.series));
        }
        creating += busy() - start;
    }
    println!("{:.2} us of CPU to create a series", creating * 1e6 / count as f64);

    let mut values = vec![0.0; count];
    let mut appending = 0.0;
    let (mut batch, mut outcome) = (Batch::default(), Outcome::default());
    for scrape in 0..scrapes {
        let t = 1_700_000_000_000 + scrape as i64 * 15_000;
        let mut at = 0;
        for target in refs.chunk_by(|a, b| a.0 == b.0) {
            batch.clear();
            for &(_, series) in target {
                values[at] = value(at, scrape, values[at]);
                batch.samples.push(BatchSample { series, t, v: values[at] });
                at += 1;
            }
            let start = busy();
            head.append(&batch, &mut outcome)?;
            appending += busy() - start;
            if outcome.appended != batch.samples.len() {
                return Err("samples were refused".into());
            }
        }
        if scrape % 10 == 9 || scrape + 1 == scrapes {
            // What this program itself holds is not the head's.
            let own = (refs.capacity() * 16 + values.capacity() * 8) as f64;
            println!(
                "{:4} scrapes: {:5.1} ns of CPU a sample, {:6.1} B resident a series ({:.1} anonymous), {:.1} B held",
                scrape + 1,
                appending * 1e9 / (count * (scrape + 1)) as f64,
                (resident("VmRSS:") - base - own) / count as f64,
                (resident("RssAnon:") - own) / count as f64,
                head.memory() as f64 / count as f64,
            );
        }
    }
    let log: u64 = std::fs::read_dir(path.join("wal"))?
        .flatten()
        .filter_map(|e| e.metadata().ok())
        .map(|m| m.len())
        .sum();
    println!("{:.2} B of log a sample", log as f64 / (count * scrapes) as f64);

    for (what, newest) in [("newest sample", Some(Newest::Last)), ("all chunks", None)] {
        let matchers = [Matcher::new(model::MatchOp::Regex, "__name__", ".+")?];
        let request = Request {
            matchers: &matchers,
            min_time: 0,
            max_time: i64::MAX,
            labels: Projection::Only(&[]),
            newest,
        };
        let start = Instant::now();
        let parts = head.select(&QueryContext::unlimited(), &request)?;
        let selected = start.elapsed();
        let mut n = 0;
        for mut part in parts {
            while let Some(series) = part.next()? {
                n += series.chunks.len();
            }
        }
        println!(
            "{what} of all: {:.1} ms to select, {:.1} ms to walk {n}",
            selected.as_secs_f64() * 1e3,
            (start.elapsed() - selected).as_secs_f64() * 1e3
        );
    }
    drop((batch, outcome, values, refs));
    // As a killed process would: nothing is closed.
    std::mem::forget(head);
    let _ = std::fs::remove_file(path.join("lock"));
    // The log alone; with a checkpoint in its place; with a snapshot of what is in memory.
    let options = HeadOptions { snapshot_on_shutdown: true, ..HeadOptions::default() };
    for from in ["log", "checkpoint", "snapshot"] {
        let (before, start, cpu) = (resident("VmRSS:"), Instant::now(), all_busy());
        let head = Head::open(path, options.clone(), &Registry::new())?;
        println!(
            "restart from the {from}: {:.2} s ({:.2} s of CPU), {:.1} B resident a series more, {} series",
            start.elapsed().as_secs_f64(),
            all_busy() - cpu,
            (resident("VmRSS:") - before) / count as f64,
            head.series_count()
        );
        match from {
            "log" => {
                head.checkpoint_now()?;
                std::mem::forget(head);
                let _ = std::fs::remove_file(path.join("lock"));
            }
            _ => head.close()?,
        }
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
