//! What a target answers, as far as it gets past the HTTP library.

use std::sync::Arc;

use scrape::{HistogramOptions, JobOptions, Limits, ManagerOptions, PageIntake, StartTimes};
use storage::MemoryStore;

const CONTENT_TYPES: [&str; 4] = [
    "text/plain; version=0.0.4",
    "application/openmetrics-text; version=1.0.0",
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
    "text/html",
];

/// A target's pages, one after the other: the first two bytes are options, then comes for each page its content type (of which
/// all but the known ones is the rest of the byte, as text), its length and itself.
pub(crate) fn pages(data: &[u8]) {
    let Some((&[options, more], mut rest)) = data.split_first_chunk() else { return };
    let is = |bits: u8, bit: u8| bits >> bit & 1 == 1;
    let job = JobOptions {
        honor_labels: is(options, 0),
        honor_timestamps: !is(options, 1),
        track_timestamps_staleness: is(options, 2),
        histograms: HistogramOptions {
            convert: is(options, 3),
            classic_too: is(options, 4),
            native: is(options, 5),
            bucket_limit: if is(options, 6) { 4 } else { 0 },
            min_bucket_factor: if is(options, 7) { 1.3 } else { 0.0 },
        },
        limits: Limits {
            samples: if is(more, 0) { 5 } else { 0 },
            labels: if is(more, 1) { 4 } else { 0 },
            ..Limits::default()
        },
        ..JobOptions::new("fuzz")
    };
    let manager = ManagerOptions {
        exemplars: is(more, 2),
        synthesize_start_times: is(more, 7),
        start_times: match more >> 3 & 3 {
            0 | 1 => StartTimes::Ignored,
            2 => StartTimes::Stored,
            _ => StartTimes::Zeros,
        },
        type_and_unit_labels: is(more, 5),
        metadata_records: is(more, 6),
        ..ManagerOptions::default()
    };
    let mut intake = PageIntake::with_options(Arc::new(MemoryStore::new()), job, manager).unwrap();
    let mut stamp = 1_700_000_000_000_000_000;
    while let Some((&[kind, high, low], after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (page, after) = after.split_at(length);
        let own = String::from_utf8_lossy(page.get(..usize::from(kind)).unwrap_or_default());
        let content_type = CONTENT_TYPES.get(usize::from(kind)).copied().unwrap_or(&own);
        let _ = intake.take_in(page.to_vec(), content_type, stamp);
        stamp += 15_000_000_000;
        rest = after;
    }
}

/// The input of which [`pages`] makes these pages.
pub(crate) fn join(options: [u8; 2], pages: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = options.to_vec();
    for (kind, page) in pages {
        let length = u16::try_from(page.len()).unwrap();
        out.push(*kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(page);
    }
    out
}

/// A compressed page, which must not come out longer than it may.
pub(crate) fn compressed(data: &[u8]) {
    let limit = 1 << 16;
    let mut out = Vec::new();
    if httpclient::gunzip(data, &mut out, limit).is_ok() {
        assert!(out.len() <= limit);
    }
}
