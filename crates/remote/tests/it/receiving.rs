//! What the receiver does that no recording shows.

use std::sync::Arc;

use remote::{MessageType, Receiver, ReceiverOptions, Written};

use crate::store::Store;

fn receiver(store: &Store, options: ReceiverOptions) -> Receiver {
    Receiver::new(Arc::clone(&store.db) as _, options, &Default::default(), &exposition::Registry::new())
}

/// `__name__="m"`, one sample.
fn version_1(t: i64, v: f64) -> Vec<u8> {
    let mut sample = vec![9];
    sample.extend(v.to_le_bytes());
    sample.push(16);
    let mut time = t as u64;
    while time >= 128 {
        sample.push(time as u8 | 128);
        time >>= 7;
    }
    sample.push(time as u8);
    let label = b"\x0a\x0d\x0a\x08__name__\x12\x01m";
    let mut body = vec![10, (label.len() + 2 + sample.len()) as u8];
    body.extend(label);
    body.extend([18, sample.len() as u8]);
    body.extend(sample);
    snap::raw::Encoder::new().compress_vec(&body).unwrap()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

/// Series of version 2.0, each with labels, samples (time, value, start time) and metadata, as numbers of `symbols`.
type SeriesV2<'a> = (&'a [u8], &'a [(i64, f64, i64)], &'a [u8]);

fn version_2(symbols: &[&[u8]], series: &[SeriesV2<'_>]) -> Vec<u8> {
    let mut body: Vec<u8> = symbols.iter().flat_map(|text| field(4, text)).collect();
    for (labels, samples, metadata) in series {
        let mut message = field(1, labels);
        for (t, v, start) in *samples {
            let sample =
                [&[9][..], &v.to_le_bytes(), &[16], &varint(*t as u64), &[24], &varint(*start as u64)];
            message.extend(field(2, &sample.concat()));
        }
        if let [kind, help, unit] = metadata {
            message.extend(field(5, &[8, *kind, 24, *help, 32, *unit]));
        }
        body.extend(field(5, &message));
    }
    snap::raw::Encoder::new().compress_vec(&body).unwrap()
}

fn send_v2(receiver: &Receiver, body: &[u8], now: i64) -> (u16, String, Written) {
    let answer = receiver.receive("snappy", MessageType::V2.content_type(), body, now);
    (answer.status, answer.text.unwrap_or_default(), answer.written.unwrap())
}

/// Of a request of 1.0 nothing is stored, and the first thing that is wrong is told, whoever finds it.
#[test]
fn version_1_tells_the_first_thing_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let receiver = receiver(&store, ReceiverOptions::default());
    let now = 1_000_000_000;
    let request = |times: &[i64]| {
        let plain = |t: &i64| snap::raw::Decoder::new().decompress_vec(&version_1(*t, 1.0)).unwrap();
        let body: Vec<u8> = times.iter().flat_map(plain).collect();
        let body = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        let answer = receiver.receive("snappy", "application/x-protobuf", &body, now);
        (answer.status, answer.text.unwrap_or_default())
    };
    assert_eq!(request(&[now]).0, 204);
    let (late, ahead) = (now - 1000, now + 3_600_000);
    let before = store.content();
    for (times, text) in [
        ([late, ahead, now + 5], "out of order sample\n"),
        ([now + 5, now + 3, ahead], "out of bounds: timestamp is too far in the future\n"),
        ([now + 5, ahead, late], "out of bounds: timestamp is too far in the future\n"),
    ] {
        assert_eq!(request(&times), (400, text.to_owned()));
        assert!(store.content() == before);
    }
}

/// What a sender that was away sends at once: a counter that began anew in between.
#[test]
fn zeros_at_start_times_stand_between_the_samples_of_a_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let receiver = receiver(&store, ReceiverOptions { start_zeros: true, ..ReceiverOptions::default() });
    let t = 1_000_000_000;
    let symbols: &[&[u8]] = &[b"", b"__name__", b"m"];
    let body = version_2(
        symbols,
        &[
            (&[1, 2], &[(t, 10.0, t - 500), (t + 100, 11.0, t - 500), (t + 300, 2.0, t + 200)], &[]),
            (&[1, 2], &[(t + 600, 3.0, t + 500), (t + 700, 4.0, t + 500)], &[]),
        ],
    );
    let all = Written { samples: 5, ..Written::default() };
    assert_eq!(send_v2(&receiver, &body, t), (204, String::new(), all));
    let want = [(-500, 0), (0, 10), (100, 11), (200, 0), (300, 2), (500, 0), (600, 3), (700, 4)];
    let want: Vec<_> = want.iter().map(|(after, v)| (t + after, v.to_string())).collect();
    assert_eq!(store.content().values().collect::<Vec<_>>(), [&want]);
}

#[test]
fn what_is_wrong_is_told_in_the_order_of_the_samples_and_names_the_series_as_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let options = ReceiverOptions { type_and_unit_labels: true, ..ReceiverOptions::default() };
    let receiver = receiver(&store, options);
    let now = 1_000_000_000;
    let symbols: &[&[u8]] = &[b"", b"__name__", b"m", b"s", b"\xffa"];
    let one = |samples: &[(i64, f64, i64)]| version_2(symbols, &[(&[1, 2], samples, &[1, 0, 3])]);
    assert_eq!(send_v2(&receiver, &one(&[(now, 1.0, 0)]), now).0, 204);
    let (status, text, _) =
        send_v2(&receiver, &one(&[(now - 1, 1.0, 0), (now + 3_600_000, 1.0, 0), (now - 2, 1.0, 0)]), now);
    let series = r#"for series {__name__="m", __type__="counter", __unit__="s"}"#;
    let late = format!("out of order sample {series}\n");
    let ahead = format!("out of bounds: timestamp is too far in the future {series}\n");
    assert_eq!((status, text), (400, format!("{late}{ahead}{late}")));
    // Bytes that are no text.
    let (_, text, _) = send_v2(&receiver, &version_2(symbols, &[(&[1, 4], &[(now, 1.0, 0)], &[])]), now);
    assert_eq!(text, "invalid metric name or labels, got {__name__=\"\\xffa\"}\n");
}

#[test]
fn series_that_the_store_dropped_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let receiver = receiver(&store, ReceiverOptions::default());
    let write = |t, v| receiver.receive("snappy", "application/x-protobuf", &version_1(t, v), 1 << 40).status;
    assert_eq!(write(1_000_000, 1.0), 204);
    assert_eq!(write(1_001_000, 2.0), 204);
    // The series ends, and is forgotten by the head (new ones get one round of grace).
    store.db.head().truncate(2_000_000).unwrap();
    store.db.head().truncate(2_000_000).unwrap();
    assert_eq!(store.db.head().series_count(), 0);
    assert_eq!(write(3_000_000, 3.0), 204);
    let content = store.content();
    assert_eq!(content[r#"{__name__="m"}"#], [(3_000_000, "3".to_owned())]);
}

#[test]
fn messages_that_are_not_accepted_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let options = ReceiverOptions { accepted: vec![MessageType::V1], ..ReceiverOptions::default() };
    let receiver = receiver(&store, options);
    let answer = receiver.receive(
        "snappy",
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        &version_1(1, 1.0),
        0,
    );
    assert_eq!(answer.status, 415);
    assert_eq!(
        answer.text.unwrap(),
        "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only accepts prometheus.WriteRequest\n"
    );
}

#[test]
fn what_would_be_too_much_is_not_decompressed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let receiver = receiver(&store, ReceiverOptions::default());
    // Says that it is 4 GiB long.
    let answer = receiver.receive("snappy", "", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], 0);
    assert_eq!(
        (answer.status, answer.text.unwrap().as_str()),
        (400, "decoded size exceeds the 33554432 bytes limit\n")
    );
}

#[test]
fn samples_from_far_ahead_are_refused_and_version_2_stores_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path());
    let receiver = receiver(&store, ReceiverOptions::default());
    let now = 1_000_000_000;
    let late = now + 11 * 60_000;
    let answer = receiver.receive("snappy", "", &version_1(late, 1.0), now);
    assert_eq!(
        (answer.status, answer.text.unwrap().as_str()),
        (400, "out of bounds: timestamp is too far in the future\n")
    );
    assert!(store.content().is_empty());
    // Two samples of one series: symbols "", "__name__", "m".
    let mut series = vec![10, 2, 1, 2];
    for t in [late, now] {
        let mut sample = vec![9];
        sample.extend(1f64.to_le_bytes());
        sample.push(16);
        let mut time = t as u64;
        while time >= 128 {
            sample.push(time as u8 | 128);
            time >>= 7;
        }
        sample.push(time as u8);
        series.extend([18, sample.len() as u8]);
        series.extend(sample);
    }
    let mut body = b"\x22\x00\x22\x08__name__\x22\x01m\x2a".to_vec();
    body.push(series.len() as u8);
    body.extend(series);
    let body = snap::raw::Encoder::new().compress_vec(&body).unwrap();
    let answer =
        receiver.receive("", "application/x-protobuf;proto=io.prometheus.write.v2.Request", &body, now);
    assert_eq!(answer.written, Some(Written { samples: 1, ..Written::default() }));
    assert_eq!(
        (answer.status, answer.text.unwrap().as_str()),
        (400, "out of bounds: timestamp is too far in the future for series {__name__=\"m\"}\n")
    );
    assert_eq!(store.content().len(), 1);
}

proptest::proptest! {
    #[test]
    fn any_message_is_answered(
        mut body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        shaped in proptest::prelude::any::<bool>(),
        changes in proptest::collection::vec((0usize..60, proptest::prelude::any::<u8>()), 0..4),
    ) {
        if shaped {
            body = snap::raw::Decoder::new().decompress_vec(&version_1(1_000, 1.0)).unwrap();
            changes.iter().for_each(|(at, byte)| if let Some(b) = body.get_mut(*at) { *b ^= byte });
        }
        let packed = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        let store = Arc::new(storage::MemoryStore::default());
        let registry = exposition::Registry::new();
        let receiver = Receiver::new(store, ReceiverOptions::default(), &Default::default(), &registry);
        for message in [MessageType::V1, MessageType::V2] {
            let answer = receiver.receive("snappy", message.content_type(), &packed, 1 << 40);
            proptest::prop_assert!([204, 400].contains(&answer.status), "{answer:?}");
        }
        proptest::prop_assert!(receiver.receive("snappy", "", &body, 1 << 40).status >= 204);
    }
}
