//! What a start costs whose log was left by a killed process, or by one that wrote a snapshot when it was stopped.
//!
//! `cargo run --release -p tsdb --example start_cost -- write DIR [series] [rounds]`, then `… -- start DIR`; `… -- stop DIR`
//! starts and leaves a snapshot.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is a program that measures")]

use std::path::Path;
use std::time::Instant;

use exposition::Registry;
use model::Labels;
use storage::{Affinity, Append, Batch, BatchSample, Outcome};
use tsdb::{Db, DbOptions};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const START: i64 = 1_700_000_040_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |i: usize, default| args.get(i).map_or(default, |n| n.parse().unwrap());
    let dir = Path::new(&args[2]);
    match args[1].as_str() {
        "write" => write(dir, number(3, 1_000_000), number(4, 10)),
        "stop" => start(dir).close().unwrap(),
        _ => std::mem::forget(start(dir)),
    }
    // Other than `stop`, it leaves all as it is.
    std::process::abort();
}

fn options() -> DbOptions {
    let mut options = DbOptions::default();
    options.head.snapshot_on_shutdown = true;
    options
}

/// Fills a directory and leaves it as a process does that is killed.
fn write(dir: &Path, count: usize, rounds: usize) {
    let db = Db::open(dir, options(), &Registry::new()).unwrap();
    for round in 0..rounds {
        // Targets of a thousand series each.
        for target in 0..count / 1_000 {
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
                let v = if i % 2 == 0 { 1.0 } else { (round * i) as f64 };
                let t = START + round as i64 * 15_000 + target as i64 % 15_000;
                BatchSample { series, t, v }
            });
            let batch = Batch { samples: samples.collect(), ..Batch::default() };
            db.append(&batch, &mut Outcome::default()).unwrap();
        }
    }
    println!("{} series, {rounds} samples each", db.head().series_count());
    std::process::abort();
}

fn start(dir: &Path) -> Db {
    let (began, cpu) = (Instant::now(), cpu());
    let db = Db::open(dir, options(), &Registry::new()).unwrap();
    let (took, cpu) = (began.elapsed(), self::cpu() - cpu);
    println!("{} series in {took:?}, {cpu:.2} s of CPU", db.head().series_count());
    db
}

/// Seconds that this process has computed, in ticks of which there are 100.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
