//! What a sample costs to append and to decode.

use chunk::{Columns, Encoding, XorAppender, decode};
use divan::{Bencher, counter::ItemsCount};

const SAMPLES: usize = 120;

fn samples(kind: &str) -> Vec<(i64, f64)> {
    let mut x = 0x9e37_79b9_u64;
    let mut random = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    };
    let mut v = 1e6;
    (0..SAMPLES as i64)
        .map(|i| {
            match kind {
                "counter" => v += (random() % 1000) as f64,
                "gauge" => v = (random() % 10_000_000) as f64 / 100.0,
                _ => {}
            }
            (1_700_000_000_000 + i * 15_000, v)
        })
        .collect()
}

fn encode(samples: &[(i64, f64)], buf: &mut [u8]) -> usize {
    let mut appender = XorAppender::new();
    for &(t, v) in samples {
        let _ = appender.append(buf, t, v);
    }
    appender.len()
}

#[divan::bench(args = ["constant", "counter", "gauge"])]
fn append(bencher: Bencher<'_, '_>, kind: &str) {
    let samples = samples(kind);
    let mut buf = [0; 4096];
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| encode(&samples, &mut buf));
}

#[divan::bench(args = ["constant", "counter", "gauge"])]
fn read(bencher: Bencher<'_, '_>, kind: &str) {
    let mut buf = [0; 4096];
    let len = encode(&samples(kind), &mut buf);
    let mut out = Columns::default();
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        out.clear();
        let _ = decode(Encoding::Xor, &buf[..len], u16::MAX, &mut out);
        out.len()
    });
}

fn main() {
    divan::main();
}
