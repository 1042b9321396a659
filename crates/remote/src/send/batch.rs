//! From what waits to the body of a request.

use exposition::protobuf_write;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use model::Labels;
use model::histogram::HistogramValue;
use std::sync::Arc;

use super::options::FamilyMetadata;
use super::place::Place;
use super::series::Series;
use crate::encode::{self, nested};
use crate::{MessageType, histogram, metric_kind, snappy};

/// One sample, histogram or exemplar.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) series: Arc<Series>,
    pub(super) t: i64,
    pub(super) what: What,
    pub(super) place: Place,
    /// Which log it comes from.
    pub(super) out_of_order: bool,
    /// A process before this one sent it and was not told whether it was taken in: which of its requests had it.
    pub(super) sent_before: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Float { v: f64, start_time: i64 },
    Histogram { value: Box<HistogramValue>, start_time: i64 },
    Exemplar(Box<(Labels, f64)>),
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    pub(super) metadata: usize,
}

impl Counts {
    pub(super) fn of(items: &[Item], message: MessageType) -> Self {
        let mut counts = Counts::default();
        for item in items {
            match &item.what {
                What::Float { .. } => counts.samples += 1,
                What::Histogram { .. } => counts.histograms += 1,
                What::Exemplar(_) => counts.exemplars += 1,
            }
            counts.metadata += usize::from(message == MessageType::V2 && item.series.metadata().is_some());
        }
        counts
    }

    pub(super) fn all(self) -> usize {
        self.samples + self.histograms + self.exemplars
    }
}

/// Memory of bodies, used again.
pub(super) struct Encoder {
    plain: Vec<u8>,
    series: Vec<u8>,
    packed: Vec<u8>,
    snappy: snap::raw::Encoder,
}

impl Default for Encoder {
    fn default() -> Self {
        let (plain, series, packed) = Default::default();
        Encoder { plain, series, packed, snappy: snap::raw::Encoder::new() }
    }
}

/// A body that had become longer does not keep its memory.
const KEPT: usize = 4 * 1024 * 1024;

impl Encoder {
    /// The body of a request.
    pub(super) fn body(
        &mut self,
        message: MessageType,
        items: &[Item],
        type_and_unit_labels: bool,
    ) -> httpclient::Bytes {
        self.plain.clear();
        self.plain.shrink_to(KEPT);
        match message {
            MessageType::V1 => items.iter().for_each(|item| write_v1(&mut self.plain, item)),
            MessageType::V2 => self.write_v2(items, type_and_unit_labels),
        }
        self.pack()
    }

    /// The body of a request of 1.0 that says what metrics are.
    pub(super) fn metadata(&mut self, families: &[FamilyMetadata]) -> httpclient::Bytes {
        self.plain.clear();
        for family in families {
            nested(&mut self.plain, 3, |out| {
                encode::integer(out, 1, metric_kind::number(&family.kind));
                encode::text(out, 2, &family.name);
                encode::text(out, 4, &family.help);
                encode::text(out, 5, &family.unit);
            });
        }
        self.pack()
    }

    fn pack(&mut self) -> httpclient::Bytes {
        snappy::compress(&self.plain, &mut self.snappy, &mut self.packed);
        httpclient::Bytes::copy_from_slice(&self.packed)
    }

    fn write_v2(&mut self, items: &[Item], type_and_unit_labels: bool) {
        self.series.clear();
        self.series.shrink_to(KEPT);
        // What the table borrows must outlive it: metadata may be replaced while the batch waits.
        let metadata: Vec<_> = items.iter().map(|item| item.series.metadata()).collect();
        let mut symbols =
            Symbols { texts: vec![""], numbers: HashMap::with_hasher(FixedState::with_seed(1)) };
        let mut refs = Vec::new();
        let with_samples = exemplars_by_sample(items);
        for (at, (item, about)) in items.iter().zip(&metadata).enumerate() {
            if with_samples.taken.contains(&at) {
                continue;
            }
            refs.clear();
            symbols.labels(&item.series.labels, &mut refs);
            nested(&mut self.series, 5, |out| {
                encode::packed(out, 1, refs.iter().map(|number| u64::from(*number)));
                match &item.what {
                    What::Float { v, start_time } => nested(out, 2, |out| {
                        encode::double(out, 1, *v);
                        encode::integer(out, 2, item.t as u64);
                        encode::integer(out, 3, *start_time as u64);
                    }),
                    What::Histogram { value, start_time } => {
                        nested(out, 3, |out| histogram::write(out, item.t, *start_time, value));
                    }
                    What::Exemplar(exemplar) => symbols.write_exemplar(out, exemplar, item.t, &mut refs),
                }
                for exemplar in with_samples.by_sample.get(&at).into_iter().flatten() {
                    if let Some(Item { what: What::Exemplar(exemplar), t, .. }) = items.get(*exemplar) {
                        symbols.write_exemplar(out, exemplar, *t, &mut refs);
                    }
                }
                let (kind, unit) = match about {
                    _ if type_and_unit_labels => (
                        item.series.labels.value(model::METRIC_TYPE),
                        item.series.labels.value(model::METRIC_UNIT),
                    ),
                    Some(about) => (about.kind.as_str(), about.unit.as_str()),
                    None => ("", ""),
                };
                let help = about.as_ref().map_or("", |about| about.help.as_str());
                let (help, unit) = (symbols.number(help), symbols.number(unit));
                // Also where nothing is known: the field has no way of not being there.
                nested(out, 5, |out| {
                    encode::integer(out, 1, metric_kind::number(kind));
                    encode::integer(out, 3, help.into());
                    encode::integer(out, 4, unit.into());
                });
            });
        }
        for text in &symbols.texts {
            protobuf_write::push_bytes(&mut self.plain, 4, text.as_bytes());
        }
        self.plain.extend_from_slice(&self.series);
    }
}

/// Exemplars that go along with a sample of their series: receivers of 2.0 want none alone.
#[derive(Default)]
struct WithSamples {
    by_sample: HashMap<usize, Vec<usize>, FixedState>,
    taken: HashSet<usize, FixedState>,
}

fn exemplars_by_sample(items: &[Item]) -> WithSamples {
    let mut out = WithSamples::default();
    if !items.iter().any(|item| matches!(item.what, What::Exemplar(_))) {
        return out;
    }
    let mut samples: HashMap<*const Series, usize, FixedState> = HashMap::default();
    for (at, item) in items.iter().enumerate() {
        if !matches!(item.what, What::Exemplar(_)) {
            samples.insert(Arc::as_ptr(&item.series), at);
        }
    }
    for (at, item) in items.iter().enumerate() {
        if matches!(item.what, What::Exemplar(_))
            && let Some(sample) = samples.get(&Arc::as_ptr(&item.series))
        {
            out.by_sample.entry(*sample).or_default().push(at);
            out.taken.insert(at);
        }
    }
    out
}

pub(super) struct Symbols<'a> {
    pub(super) texts: Vec<&'a str>,
    pub(super) numbers: HashMap<&'a str, u32, FixedState>,
}

impl<'a> Symbols<'a> {
    pub(super) fn number(&mut self, text: &'a str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as u32 - 1
        })
    }

    fn write_exemplar(
        &mut self,
        out: &mut Vec<u8>,
        (labels, v): &'a (Labels, f64),
        t: i64,
        refs: &mut Vec<u32>,
    ) {
        refs.clear();
        self.labels(labels, refs);
        nested(out, 4, |out| {
            encode::packed(out, 1, refs.iter().map(|number| u64::from(*number)));
            encode::double(out, 2, *v);
            encode::integer(out, 3, t as u64);
        });
    }

    pub(super) fn labels(&mut self, labels: &'a Labels, out: &mut Vec<u32>) {
        for (name, value) in labels {
            out.push(self.number(name));
            out.push(self.number(value));
        }
    }
}

fn write_v1(out: &mut Vec<u8>, item: &Item) {
    nested(out, 1, |out| {
        write_labels(out, &item.series.labels);
        match &item.what {
            What::Float { v, .. } => nested(out, 2, |out| {
                encode::double(out, 1, *v);
                encode::integer(out, 2, item.t as u64);
            }),
            What::Exemplar(exemplar) => nested(out, 3, |out| {
                write_labels(out, &exemplar.0);
                encode::double(out, 2, exemplar.1);
                encode::integer(out, 3, item.t as u64);
            }),
            What::Histogram { value, .. } => nested(out, 4, |out| histogram::write(out, item.t, 0, value)),
        }
    });
}

/// `repeated Label labels = 1`
pub(crate) fn write_labels(out: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels {
        nested(out, 1, |out| {
            encode::text(out, 1, name);
            encode::text(out, 2, value);
        });
    }
}
