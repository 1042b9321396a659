//! Remote write and remote read: requests of others, and answers to ours. Bodies are fuzzed before compression.

use std::collections::BTreeMap;
use std::sync::Arc;

use exposition::Registry;
use exposition::protobuf_write::{push_bytes, push_double, push_varint};
use model::{FloatHistogram, Labels, Sample};
use remote::{MessageType, ReadServer, ReadServerOptions, Receiver, ReceiverOptions};
use storage::{MemoryBudget, MemoryStore, QueryContext};

/// Later than what is written.
const NOW: i64 = 1 << 41;

fn pack(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn write(message: MessageType, data: &[u8]) {
    let store = Arc::new(MemoryStore::new());
    let options = ReceiverOptions {
        start_zeros: true,
        type_and_unit_labels: true,
        metadata: true,
        ..ReceiverOptions::default()
    };
    let receiver = Receiver::new(store, options, &MemoryBudget::default(), &Registry::new());
    let packed = pack(data);
    // The second time series are known.
    for _ in 0..2 {
        let answer = receiver.receive("snappy", message.content_type(), &packed, NOW);
        assert!([204, 400, 429, 500].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.status == 204, answer.text.is_none(), "{answer:?}");
    }
    let _ = receiver.receive("snappy", message.content_type(), data, NOW);
}

pub(crate) fn write_1(data: &[u8]) {
    write(MessageType::V1, data);
}

pub(crate) fn write_2(data: &[u8]) {
    write(MessageType::V2, data);
}

fn server() -> ReadServer {
    let store = MemoryStore::new();
    let labels = |name: &str| Labels::from_pairs([("__name__", name), ("job", "a")]);
    store.insert(&labels("m"), (0..300).map(|t| Sample { t, v: t as f64 })).unwrap();
    let histogram = FloatHistogram { count: 2.0, positive: vec![(1, 2.0)], ..FloatHistogram::default() };
    store.insert_histograms(&labels("h"), [(5, histogram)]).unwrap();
    ReadServer::new(Arc::new(store), ReadServerOptions::default(), &Registry::new())
}

fn answer(server: &ReadServer, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let external = BTreeMap::from([("cluster".to_owned(), "c".to_owned())]);
    let send = &mut |piece: Vec<u8>| {
        out.extend(piece);
        Ok(())
    };
    // A request that is none is an error.
    let _ = server.answer(&QueryContext::unlimited(), &external, body, |_| {}, send);
    out
}

pub(crate) fn read(data: &[u8]) {
    answer(&server(), &pack(data));
    answer(&server(), data);
}

pub(crate) fn read_answer(data: &[u8]) {
    let _ = remote::answer_read(data);
}

fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// A sample and a native histogram, an exemplar and what is said about a metric.
fn series(version: MessageType) -> Vec<u8> {
    let sample = message(|out| {
        push_double(out, 1, 1.5);
        push_varint(out, 2, 1000);
    });
    let histogram = message(|out| {
        push_varint(out, 1, 3);
        push_double(out, 3, 2.5);
        push_varint(out, 4, 2);
        push_varint(out, 6, 1);
        push_bytes(out, 11, &message(|out| push_varint(out, 2, 2)));
        push_bytes(out, 12, &[2, 0]);
        push_varint(out, 15, 2000);
    });
    message(|out| match version {
        MessageType::V1 => {
            for (name, value) in [("__name__", "m"), ("job", "a")] {
                let label = message(|out| {
                    push_bytes(out, 1, name.as_bytes());
                    push_bytes(out, 2, value.as_bytes());
                });
                push_bytes(out, 1, &label);
            }
            push_bytes(out, 2, &sample);
            push_bytes(out, 3, &message(|out| push_double(out, 2, 0.5)));
            push_bytes(out, 4, &histogram);
        }
        MessageType::V2 => {
            push_bytes(out, 1, &[1, 2, 3, 4]);
            push_bytes(out, 2, &sample);
            push_bytes(out, 3, &histogram);
            let exemplar = message(|out| {
                push_bytes(out, 1, &[3, 4]);
                push_double(out, 2, 0.5);
            });
            push_bytes(out, 4, &exemplar);
            let about = message(|out| {
                push_varint(out, 1, 1);
                push_varint(out, 3, 5);
            });
            push_bytes(out, 5, &about);
        }
    })
}

/// Requests and answers as they are sent.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let one = series(MessageType::V1);
    let first = message(|out| (0..2).for_each(|_| push_bytes(out, 1, &one)));
    let second = message(|out| {
        for text in ["", "__name__", "m", "job", "a", "It counts."] {
            push_bytes(out, 4, text.as_bytes());
        }
        push_bytes(out, 5, &series(MessageType::V2));
    });
    let mut found = vec![("remote_write_1", first), ("remote_write_2", second)];
    for accepted in [0, 1] {
        let query = message(|out| {
            push_varint(out, 1, 1);
            push_varint(out, 2, 250);
            let matcher = message(|out| {
                push_varint(out, 1, 2);
                push_bytes(out, 2, b"__name__");
                push_bytes(out, 3, b".+");
            });
            push_bytes(out, 3, &matcher);
        });
        let request = message(|out| {
            push_bytes(out, 1, &query);
            push_bytes(out, 2, &[accepted]);
        });
        let answer = answer(&server(), &pack(&request));
        found.push(("remote_read", request));
        // The content of the first frame; the samples before compression.
        found.push((
            "remote_read_answer",
            match accepted {
                0 => snap::raw::Decoder::new().decompress_vec(&answer).unwrap(),
                _ => frame(&answer),
            },
        ));
        found.push(("remote_read_answer", answer));
    }
    found
}

fn frame(stream: &[u8]) -> Vec<u8> {
    let width = stream.iter().position(|byte| *byte < 0x80).unwrap() + 1;
    let length = stream[..width].iter().rev().fold(0, |length, &byte| length << 7 | usize::from(byte & 0x7f));
    stream[width + 4..][..length].to_vec()
}
