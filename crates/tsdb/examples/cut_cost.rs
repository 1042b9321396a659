//! What a cut costs, and what those who append meanwhile notice of it.
//!
//! `cargo run --release -p tsdb --example cut_cost -- [series]`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is a program that measures")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use exposition::Registry;
use model::Labels;
use storage::{Affinity, Append, Batch, BatchSample, Outcome};
use tsdb::{Db, DbOptions};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A multiple of the range.
const START: i64 = 1_700_000_040_000;

/// `VmRSS` or `VmHWM` of this process in MiB.
fn memory(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Seconds that this thread has computed.
fn cpu_of_this_thread() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path(), DbOptions::default(), &Registry::new()).unwrap();
    // Targets of a thousand series each.
    let targets: Vec<Batch> = (0..count / 1_000)
        .map(|target| {
            let samples = (0..1_000).map(|i| {
                let labels = Labels::from_pairs([
                    ("__name__", &*format!("container_metric_{}_total", i % 50)),
                    ("cluster", "production-eu-west-1"),
                    ("container", &format!("container-{}", i / 50 % 4)),
                    ("endpoint", "https-metrics"),
                    ("id", &format!("/kubepods/besteffort/pod{target}-{}", i / 50)),
                    ("instance", &format!("10.0.{}.{}:10250", target / 250, target % 250)),
                    ("job", "kubelet"),
                    ("namespace", &format!("namespace-{}", target % 30)),
                    ("node", &format!("node-{target}")),
                    ("pod", &format!("workload-{target}-{}", i / 50)),
                ]);
                let series = db.resolve(Affinity(target as u64), &labels).unwrap().series;
                BatchSample { series, t: 0, v: i as f64 }
            });
            Batch { samples: samples.collect(), ..Batch::default() }
        })
        .collect();
    let append = |round: i64, batch: &Batch| {
        let mut batch = batch.clone();
        let t = START - START.rem_euclid(7_200_000) + round * 60_000;
        for (i, sample) in batch.samples.iter_mut().enumerate() {
            *sample =
                BatchSample { t, v: if i % 2 == 0 { 1.0 } else { (round * i as i64) as f64 }, ..*sample };
        }
        let began = Instant::now();
        db.append(&batch, &mut Outcome::default()).unwrap();
        began.elapsed()
    };
    let p99 = |mut all: Vec<Duration>| {
        all.sort();
        (all[all.len() / 2], all[all.len() * 99 / 100], all[all.len() - 1])
    };
    let mut alone = Vec::new();
    for round in 0..182 {
        for batch in &targets {
            let took = append(round, batch);
            if round > 150 {
                alone.push(took);
            }
        }
    }
    println!(
        "{} series, resident {} MiB, highest {} MiB",
        db.head().series_count(),
        memory("VmRSS"),
        memory("VmHWM")
    );
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    println!("an append of 1000 samples alone: median, 99th percentile, highest {:?}", p99(alone));
    let done = AtomicBool::new(false);
    let (before, highest) = (memory("RssAnon"), std::sync::atomic::AtomicU64::new(0));
    let beside = std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let mut took = Vec::new();
            // As fast as a thousand targets every 15 s.
            for (n, batch) in (0..).zip(targets.iter().cycle()) {
                if done.load(Ordering::Relaxed) {
                    return took;
                }
                took.push(append(182 + n / targets.len() as i64, batch));
                std::thread::sleep(Duration::from_millis(15));
            }
            took
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                highest.fetch_max(memory("RssAnon"), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let began = Instant::now();
        let cpu = cpu_of_this_thread();
        db.upkeep(START, false).unwrap();
        println!("cut in {:?}, {:.1} s of CPU", began.elapsed(), cpu_of_this_thread() - cpu);
        done.store(true, Ordering::Relaxed);
        appending.join().unwrap()
    });
    println!("beside it: {:?}", p99(beside));
    println!("resident {} MiB, highest {} MiB", memory("VmRSS"), memory("VmHWM"));
    println!("without mapped files: before {before} MiB, highest {} MiB", highest.load(Ordering::Relaxed));
    for block in db.blocks().current().iter() {
        println!("{:?}, {} bytes", block.meta().stats, block.bytes());
    }
}
