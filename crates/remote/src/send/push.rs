//! The body of a request that is sent once, by a tool, without a queue.

use exposition::protobuf_write::push_bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use httpclient::Bytes;
use model::Labels;

use super::batch::{Symbols, write_labels};
use super::options::FamilyMetadata;
use crate::encode::{self, nested};
use crate::{MessageType, metric_kind, snappy};

/// A sample to push.
#[derive(Debug, Clone, PartialEq)]
pub struct PushedSample {
    /// Its series.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// Its value.
    pub v: f64,
    /// Which of the families it is one of.
    pub family: usize,
}

/// The body of a write request with these samples, compressed.
#[must_use]
pub fn pushed_body(message: MessageType, families: &[FamilyMetadata], samples: &[PushedSample]) -> Bytes {
    let plain = match message {
        MessageType::V1 => version_1(families, samples),
        MessageType::V2 => version_2(families, samples),
    };
    let mut packed = Vec::new();
    snappy::compress(&plain, &mut snap::raw::Encoder::new(), &mut packed);
    packed.into()
}

fn version_1(families: &[FamilyMetadata], samples: &[PushedSample]) -> Vec<u8> {
    let mut out = Vec::new();
    for sample in samples {
        nested(&mut out, 1, |out| {
            write_labels(out, &sample.labels);
            nested(out, 2, |out| write_sample(out, sample));
        });
    }
    for family in families {
        nested(&mut out, 3, |out| {
            encode::integer(out, 1, metric_kind::number(&family.kind));
            encode::text(out, 2, &family.name);
            encode::text(out, 4, &family.help);
            encode::text(out, 5, &family.unit);
        });
    }
    out
}

fn version_2(families: &[FamilyMetadata], samples: &[PushedSample]) -> Vec<u8> {
    let mut symbols = Symbols { texts: vec![""], numbers: HashMap::with_hasher(FixedState::with_seed(1)) };
    let (mut out, mut series, mut refs) = (Vec::new(), Vec::new(), Vec::new());
    for sample in samples {
        refs.clear();
        symbols.labels(&sample.labels, &mut refs);
        let about = families.get(sample.family);
        let kind = about.map_or("", |family| family.kind.as_str());
        let help = symbols.number(about.map_or("", |family| family.help.as_str()));
        nested(&mut series, 5, |out| {
            encode::packed(out, 1, refs.iter().map(|number| u64::from(*number)));
            nested(out, 2, |out| write_sample(out, sample));
            nested(out, 5, |out| {
                encode::integer(out, 1, metric_kind::number(kind));
                encode::integer(out, 3, help.into());
            });
        });
    }
    symbols.texts.iter().for_each(|text| push_bytes(&mut out, 4, text.as_bytes()));
    out.extend_from_slice(&series);
    out
}

fn write_sample(out: &mut Vec<u8>, sample: &PushedSample) {
    encode::double(out, 1, sample.v);
    encode::integer(out, 2, sample.t as u64);
}
