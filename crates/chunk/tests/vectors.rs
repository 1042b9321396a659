//! Chunks of blocks that Prometheus 3.14 wrote: what is in them, and the same bytes from the same samples.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use chunk::{
    Columns, Encoding, HistogramAppended, HistogramPoint, HistogramWriter, Xor2Appender, XorAppender,
};

mod support;

#[derive(serde::Deserialize)]
struct Vector {
    block: String,
    labels: String,
    encoding: u8,
    num_samples: u16,
    data_b64: String,
    samples: Vec<(i64, String)>,
}

fn vectors(path: &Path) -> Option<impl Iterator<Item = Vector>> {
    let lines = BufReader::new(flate2::read::GzDecoder::new(File::open(path).ok()?)).lines();
    Some(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()))
}

/// Decodes a chunk, compares it with what Prometheus says is in it, and encodes it again.
fn check(vector: &Vector) {
    let name = format!("{} of {}, encoding {}", vector.labels, vector.block, vector.encoding);
    let encoding = Encoding::try_from(vector.encoding).unwrap();
    let bytes = support::from_base64(&vector.data_b64);
    assert_eq!(chunk::sample_count(encoding, &bytes), vector.num_samples, "{name}");
    assert_eq!(chunk::first_time(encoding, &bytes), Some(vector.samples[0].0), "{name}");
    assert_eq!(chunk::last_time(encoding, &bytes), vector.samples.last().map(|s| s.0), "{name}");
    if encoding.is_float() {
        check_floats(&name, encoding, &bytes, &vector.samples);
    } else {
        check_histograms(&name, encoding, &bytes, &vector.samples);
    }
}

fn check_floats(name: &str, encoding: Encoding, bytes: &[u8], want: &[(i64, String)]) {
    let mut got = Columns::default();
    chunk::decode(encoding, bytes, u16::MAX, &mut got).unwrap();
    assert_eq!(got.times, want.iter().map(|s| s.0).collect::<Vec<_>>(), "{name}");
    for (value, (_, text)) in got.values.iter().zip(want) {
        let want: f64 = text.replace("Inf", "inf").parse().unwrap();
        assert!(want == *value || want.is_nan() && value.is_nan(), "{name}: {value} {want}");
    }
    for (t, start) in got.times.iter().zip(&got.start_times) {
        assert!(*start == 0 || (t - 86_400_000..=*t).contains(start), "{name}: {start} at {t}");
    }
    let mut buf = vec![0x55; bytes.len() + 64];
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    for (i, (&t, &v)) in got.times.iter().zip(&got.values).enumerate() {
        if encoding == Encoding::Xor {
            xor.append(&mut buf, t, v).unwrap();
        } else {
            let start_time = got.start_times.get(i).copied().unwrap_or(0);
            xor2.append(&mut buf, start_time, t, v).unwrap();
        }
    }
    assert_eq!(&buf[..xor.len().max(xor2.len())], bytes, "{name}");
}

fn check_histograms(name: &str, encoding: Encoding, bytes: &[u8], want: &[(i64, String)]) {
    let mut got: Vec<HistogramPoint> = Vec::new();
    chunk::decode_histograms(encoding, bytes, u16::MAX, &mut got).unwrap();
    assert_eq!(got.len(), want.len(), "{name}");
    let mut writer = HistogramWriter::with_header(encoding, chunk::counter_reset_header(encoding, bytes));
    for (point, (t, text)) in got.iter().zip(want) {
        assert_eq!(point.t, *t, "{name}");
        assert_eq!(point.value.to_float().to_string(), *text, "{name}");
        assert!(point.start_time == 0 || (t - 86_400_000..=*t).contains(&point.start_time), "{name}");
        assert_eq!(writer.append(point), HistogramAppended::Appended, "{name} at {t}");
    }
    assert_eq!(writer.bytes(), bytes, "{name}");
}

#[test]
fn a_sample_of_every_encoding_is_read_and_written_as_prometheus_does() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/vectors.jsonl.gz"));
    let mut encodings: Vec<u8> = vectors(path).unwrap().inspect(check).map(|v| v.encoding).collect();
    encodings.dedup();
    assert_eq!(encodings, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn all_recorded_chunks_are_read_and_written_as_prometheus_does() {
    let shared = std::env::var("BINNACLE_SHARED")
        .unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").into());
    let path = Path::new(&shared).join("golden/tsdb/chunk-vectors.jsonl.gz");
    let Some(vectors) = vectors(&path) else {
        println!("skipped: no recordings at {shared}");
        return;
    };
    assert!(vectors.inspect(check).count() > 1500);
}
