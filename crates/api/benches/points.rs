//! What a sample of a large answer costs as JSON.

// What is measured is not for other crates to see.
#[allow(dead_code, unused_imports)]
#[path = "../src/json.rs"]
mod json;
#[allow(dead_code, unused_imports)]
#[path = "../src/points.rs"]
mod points;

use divan::{Bencher, counter::ItemsCount};

const SERIES: usize = 100;
const POINTS: i64 = 1000;
const KINDS: [&str; 5] = ["mixed", "whole", "digits", "hundredths", "constant"];

fn values(kind: &str, series: usize) -> Vec<f64> {
    let mut x = series as u64 + 1;
    let mut random = move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 11) as f64 * 2f64.powi(-53)
    };
    let kind = if kind == "mixed" { KINDS[1 + series % 3] } else { kind };
    let mut v = random() * 1000.0;
    (0..POINTS)
        .map(|_| match kind {
            "whole" => {
                v += (random() * 50.0).floor();
                v.floor()
            }
            "digits" => {
                v += random() - 0.5;
                v
            }
            "hundredths" => (random() * 10_000.0).round() / 100.0,
            _ => 42.5,
        })
        .collect()
}

#[divan::bench(args = KINDS)]
fn series_of_a_range(bencher: Bencher<'_, '_>, kind: &str) {
    let times: Vec<i64> = (0..POINTS).map(|i| 1_700_000_000_000 + i * 15_000).collect();
    let all: Vec<Vec<f64>> = (0..SERIES).map(|series| values(kind, series)).collect();
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(SERIES * times.len())).bench_local(|| {
        out.clear();
        all.iter().for_each(|values| points::write(&mut out, &times, values));
        out.len()
    });
}

fn main() {
    divan::main();
}
