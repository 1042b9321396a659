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
