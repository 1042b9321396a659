//! Sequences of histograms that come and go, reset, change and end: the same chunks as Prometheus' appenders make.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs::File;
use std::io::{BufRead, BufReader};

use chunk::{Encoding, HistogramAppended, HistogramPoint, HistogramWriter, counter_reset_header};
use model::STALE_NAN;
use model::histogram::{CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Population, spans};

mod support;

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sequence {
    encoding: u8,
    samples: Vec<Sample>,
    chunks: Vec<String>,
    cut: Option<Vec<usize>>,
}

#[derive(serde::Deserialize)]
struct Sample {
    #[serde(rename = "T")]
    t: i64,
    #[serde(rename = "ST")]
    start_time: i64,
    #[serde(rename = "Hint")]
    hint: u8,
    #[serde(rename = "Schema")]
    schema: i32,
    #[serde(rename = "ZT")]
    zero_threshold: f64,
    #[serde(rename = "ZC")]
    zero_count: f64,
    #[serde(rename = "C")]
    count: f64,
    #[serde(rename = "Sum")]
    sum: f64,
    #[serde(rename = "Stale")]
    stale: bool,
    #[serde(rename = "Custom")]
    custom_values: Option<Vec<f64>>,
    #[serde(rename = "PI")]
    positive: Option<Vec<i32>>,
    #[serde(rename = "NI")]
    negative: Option<Vec<i32>>,
    #[serde(rename = "P")]
    positive_counts: Option<Vec<f64>>,
    #[serde(rename = "N")]
    negative_counts: Option<Vec<f64>>,
}

fn float(s: Sample) -> FloatHistogram {
    let populations = |indices: Option<Vec<i32>>, counts: Option<Vec<f64>>| -> Vec<Population> {
        indices.unwrap_or_default().into_iter().zip(counts.unwrap_or_default()).collect()
    };
    FloatHistogram {
        schema: s.schema,
        reset: match s.hint {
            0 => CounterReset::Unknown,
            1 => CounterReset::Reset,
            2 => CounterReset::NotReset,
            _ => CounterReset::Gauge,
        },
        zero_threshold: s.zero_threshold,
        zero_count: s.zero_count,
        count: s.count,
        sum: if s.stale { STALE_NAN } else { s.sum },
        positive: populations(s.positive, s.positive_counts),
        negative: populations(s.negative, s.negative_counts),
        custom_values: s.custom_values.unwrap_or_default(),
    }
}

fn integer(h: &FloatHistogram) -> IntegerHistogram {
    let deltas = |populations: &[Population]| {
        let before = std::iter::once(0.0).chain(populations.iter().map(|p| p.1));
        populations.iter().zip(before).map(|(p, before)| (p.1 - before) as i64).collect()
    };
    IntegerHistogram {
        schema: h.schema,
        reset: h.reset,
        zero_threshold: h.zero_threshold,
        zero_count: h.zero_count as u64,
        count: h.count as u64,
        sum: h.sum,
        positive_spans: spans(&h.positive),
        positive_deltas: deltas(&h.positive),
        negative_spans: spans(&h.negative),
        negative_deltas: deltas(&h.negative),
        custom_values: h.custom_values.clone(),
    }
}

fn chunks(encoding: Encoding, samples: Vec<Sample>, cut: &[usize]) -> Vec<Vec<u8>> {
    let mut done = Vec::new();
    let mut writer = HistogramWriter::new(encoding);
    for (i, sample) in samples.into_iter().enumerate() {
        let (t, start_time, h) = (sample.t, sample.start_time, float(sample));
        let value = match encoding {
            Encoding::Histogram | Encoding::HistogramSt => HistogramValue::Integer(Box::new(integer(&h))),
            _ => HistogramValue::Float(Box::new(h)),
        };
        let start_time = if encoding.has_start_times() { start_time } else { 0 };
        let point = HistogramPoint { t, start_time, value };
        if cut.contains(&i) {
            let header = writer.header_after(&point.value);
            done.push(std::mem::replace(&mut writer, HistogramWriter::with_header(encoding, header)));
        }
        if let HistogramAppended::Incompatible(header) = writer.append(&point) {
            done.push(std::mem::replace(&mut writer, HistogramWriter::with_header(encoding, header)));
            assert_eq!(writer.append(&point), HistogramAppended::Appended);
        }
    }
    done.push(writer);
    done.iter().map(|writer| writer.bytes().to_vec()).collect()
}

#[test]
fn a_sequence_of_histograms_becomes_the_chunks_that_prometheus_makes_of_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/sequences.jsonl.gz");
    let lines = BufReader::new(flate2::read::GzDecoder::new(File::open(path).unwrap())).lines();
    let (mut resets, mut count) = (0, 0);
    for (n, line) in lines.enumerate() {
        let sequence: Sequence = serde_json::from_str(&line.unwrap()).unwrap();
        let encoding = Encoding::try_from(sequence.encoding).unwrap();
        let want: Vec<_> = sequence.chunks.iter().map(|text| support::from_base64(text)).collect();
        let got = chunks(encoding, sequence.samples, &sequence.cut.unwrap_or_default());
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(got, want, "chunk {i} of sequence {n}, {encoding:?}");
            resets += u32::from(counter_reset_header(encoding, got) == CounterReset::Reset);
        }
        assert_eq!(got.len(), want.len(), "sequence {n}, {encoding:?}");
        count += 1;
    }
    assert!(count > 40 && resets > 20, "{count} {resets}");
}
