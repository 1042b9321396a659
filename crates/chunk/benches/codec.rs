//! What a sample costs to append and to decode.

use chunk::{
    Columns, Encoding, HistogramPoint, HistogramWriter, Xor2Appender, XorAppender, decode, decode_histograms,
};
use divan::{Bencher, counter::ItemsCount};
use model::histogram::{HistogramValue, IntegerHistogram, Span};

const SAMPLES: usize = 120;
const KINDS: [&str; 3] = ["constant", "counter", "gauge"];

fn random() -> impl FnMut() -> u64 {
    let mut x = 0x9e37_79b9_u64;
    move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    }
}

fn samples(kind: &str) -> Vec<(i64, f64)> {
    let mut random = random();
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

fn encode2(start_time: i64, samples: &[(i64, f64)], buf: &mut [u8]) -> usize {
    let mut appender = Xor2Appender::new();
    for &(t, v) in samples {
        let _ = appender.append(buf, start_time, t, v);
    }
    appender.len()
}

#[divan::bench(args = KINDS)]
fn append(bencher: Bencher<'_, '_>, kind: &str) {
    let samples = samples(kind);
    let mut buf = [0; 4096];
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| encode(&samples, &mut buf));
}

#[divan::bench(args = KINDS)]
fn append_xor2(bencher: Bencher<'_, '_>, kind: &str) {
    let samples = samples(kind);
    let mut buf = [0; 4096];
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| encode2(0, &samples, &mut buf));
}

fn bench_read(bencher: Bencher<'_, '_>, encoding: Encoding, bytes: &[u8]) {
    let mut out = Columns::default();
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        out.clear();
        let _ = decode(encoding, bytes, u16::MAX, &mut out);
        out.len()
    });
}

#[divan::bench(args = KINDS)]
fn read(bencher: Bencher<'_, '_>, kind: &str) {
    let mut buf = [0; 4096];
    let len = encode(&samples(kind), &mut buf);
    bench_read(bencher, Encoding::Xor, &buf[..len]);
}

#[divan::bench(args = KINDS)]
fn read_xor2(bencher: Bencher<'_, '_>, kind: &str) {
    let mut buf = [0; 4096];
    let len = encode2(0, &samples(kind), &mut buf);
    bench_read(bencher, Encoding::Xor2, &buf[..len]);
}

#[divan::bench(args = KINDS)]
fn read_xor2_with_start_times(bencher: Bencher<'_, '_>, kind: &str) {
    let mut buf = [0; 4096];
    let len = encode2(1_699_999_000_000, &samples(kind), &mut buf);
    bench_read(bencher, Encoding::Xor2, &buf[..len]);
}

/// A latency histogram with twenty buckets, each of which grows a little with every scrape.
fn histograms() -> Vec<HistogramPoint> {
    let mut random = random();
    let mut counts = [0_i64; 20];
    (0..SAMPLES as i64)
        .map(|i| {
            counts.iter_mut().for_each(|c| *c += (random() % 20) as i64);
            let mut before = 0;
            let deltas = counts.iter().map(|&c| c - std::mem::replace(&mut before, c)).collect();
            let count = counts.iter().sum::<i64>() as u64;
            let value = IntegerHistogram {
                schema: 3,
                zero_threshold: 2.938_735_877_055_719e-39,
                count,
                sum: count as f64 * 0.37,
                positive_spans: vec![Span { offset: -10, length: 20 }],
                positive_deltas: deltas,
                ..IntegerHistogram::default()
            };
            let value = HistogramValue::Integer(Box::new(value));
            HistogramPoint { t: 1_700_000_000_000 + i * 15_000, start_time: 0, value }
        })
        .collect()
}

#[divan::bench]
fn append_histograms(bencher: Bencher<'_, '_>) {
    let points = histograms();
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        let mut writer = HistogramWriter::new(Encoding::Histogram);
        for point in &points {
            writer.append(point);
        }
        writer.bytes().len()
    });
}

#[divan::bench]
fn read_histograms(bencher: Bencher<'_, '_>) {
    let mut writer = HistogramWriter::new(Encoding::Histogram);
    for point in &histograms() {
        writer.append(point);
    }
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(SAMPLES)).bench_local(|| {
        out.clear();
        let _ = decode_histograms(Encoding::Histogram, writer.bytes(), u16::MAX, &mut out);
        out.len()
    });
}

fn main() {
    divan::main();
}
