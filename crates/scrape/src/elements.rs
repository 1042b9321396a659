//! Pages whose entries are more than lines: protobuf, and text of which histograms or start times are made.
//!
//! Entries are recognised as [`crate::walk`] recognises lines, by a key in the layout of the last page: labels are read only
//! of those that are new.

use std::hash::Hasher;

use exposition::{
    LabelsBuf, LabelsError, MetricKind, ParseError, ProtobufEntry, ProtobufOptions, ProtobufParser,
    ProtobufPart,
};
use model::histogram::{CUSTOM_BUCKETS, HistogramValue};
use model::{Labels, METRIC_NAME};
use storage::{BatchHistogram, BatchSample, SeriesRef};

use crate::layout::{Keys, TYPE_LINE};
use crate::metadata_records::is_part_of;
use crate::options::StartTimes;
use crate::walk::{Entry, Owner, PageError, Walk};

/// One entry of a page.
pub(crate) enum Element {
    /// Something about a metric.
    Comment {
        key: u64,
    },
    Sample(ElementSample),
    End,
}

/// A sample or histogram.
#[derive(Clone, Copy)]
pub(crate) struct ElementSample {
    pub(crate) key: u64,
    /// None: a native histogram.
    pub(crate) value: Option<f64>,
    pub(crate) timestamp: Option<i64>,
}

/// A page as elements. What is asked for is that of the element returned last.
pub(crate) trait Elements {
    fn next(&mut self) -> Result<Element, ParseError>;
    fn labels(&mut self, out: &mut LabelsBuf) -> Result<(), LabelsError>;
    /// The family that the page told about last before it, and its type if that was told, too.
    fn family(&self) -> (&str, MetricKind);
    /// How much of the page was read.
    fn read(&self) -> usize;
    /// Type and unit of its metric, as the page tells them.
    fn type_and_unit(&self) -> (MetricKind, &str);
    /// Asked for once at most.
    fn histogram(&mut self) -> HistogramValue;
    /// Unix milliseconds; 0 if there is none.
    fn start_time(&mut self) -> i64;
    /// Labels, value and time of each.
    fn exemplars(&mut self, each: &mut dyn FnMut(Labels, f64, Option<i64>));
}

/// What native histograms have to be like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HistogramLimits {
    /// Most buckets, 0 for any number.
    pub(crate) buckets: usize,
    /// Finest schema.
    pub(crate) max_schema: i32,
}

const MIN_SCHEMA: i32 = -4;
const MAX_SCHEMA: i32 = 8;

impl HistogramLimits {
    /// Makes the histogram as coarse as it has to be; false if that does not suffice.
    fn apply(self, value: &mut HistogramValue) -> bool {
        let size = |value: &HistogramValue| match value {
            HistogramValue::Integer(h) => (h.bucket_count(), h.schema),
            HistogramValue::Float(h) => (h.positive.len() + h.negative.len(), h.schema),
        };
        let reduce = |value: &mut HistogramValue, schema| match value {
            HistogramValue::Integer(h) => h.reduce_schema(schema),
            HistogramValue::Float(h) => h.reduce_schema(schema),
        };
        // What is finer than a schema can be is refused, unless coarser ones were asked for.
        if self.max_schema < MAX_SCHEMA && size(value).1 > self.max_schema {
            reduce(value, self.max_schema);
        }
        loop {
            let (buckets, schema) = size(value);
            if self.buckets == 0 || buckets <= self.buckets {
                return true;
            }
            if schema == CUSTOM_BUCKETS || schema <= MIN_SCHEMA {
                return false;
            }
            reduce(value, schema - 1);
        }
    }
}

impl Walk<'_> {
    /// As [`run`](Self::run), over elements.
    pub(crate) fn run_elements(
        &mut self,
        elements: &mut dyn Elements,
        gone: &mut Vec<u64>,
    ) -> Result<(), PageError> {
        let read = self.all_elements(elements);
        self.counts.read = elements.read();
        read?;
        self.end(gone)
    }

    fn all_elements(&mut self, elements: &mut dyn Elements) -> Result<(), PageError> {
        loop {
            match elements.next()? {
                Element::End => return Ok(()),
                Element::Comment { key } => self.comment_key(key, TYPE_LINE),
                Element::Sample(sample) => self.element(elements, sample)?,
            }
        }
    }

    fn element(&mut self, elements: &mut dyn Elements, mut sample: ElementSample) -> Result<(), PageError> {
        if !self.options.page.rules.job.honor_timestamps {
            sample.timestamp = None;
        }
        if self.options.type_and_unit_labels {
            let (kind, unit) = elements.type_and_unit();
            sample.key ^= self.options.keys.salt(kind, unit);
        }
        let mut entry = ElementEntry { elements, sample };
        if let Some(new) = self.entry(sample.key, sample.timestamp, &mut entry)? {
            self.look_up(new);
        }
        Ok(())
    }

    /// Adds a sample with what belongs to it; none if it is not taken.
    fn push_element(
        &mut self,
        elements: &mut dyn Elements,
        series: u64,
        sample: ElementSample,
    ) -> Result<Option<Owner>, PageError> {
        let mode = self.options.start_times;
        let start_time = if mode == StartTimes::Ignored { 0 } else { elements.start_time() };
        let counted = start_time == 0 && self.counts_up(elements, series);
        let stored_start = if mode == StartTimes::Stored { start_time } else { 0 };
        let series = SeriesRef(series);
        let (owner, t) = match sample.value {
            Some(v) => {
                let Some(t) = self.within_time(sample.timestamp) else { return Ok(None) };
                self.batch.samples.push(BatchSample { series, t, v });
                if stored_start != 0 || !self.batch.start_times.is_empty() {
                    self.batch.start_times.resize(self.batch.samples.len() - 1, 0);
                    self.batch.start_times.push(stored_start);
                }
                (Owner::last_sample(self.batch), t)
            }
            None => {
                let mut value = elements.histogram();
                if !self.options.histograms.apply(&mut value) {
                    self.counts.over_buckets = true;
                    return Ok(None);
                }
                let Some(t) = self.within_time(sample.timestamp) else { return Ok(None) };
                if let Err(invalid) = value.validate() {
                    // It breaks the page before it counts as stored.
                    self.counts.added -= 1;
                    return Err(invalid.into());
                }
                self.batch.histograms.push(BatchHistogram { series, t, start_time: stored_start, value });
                (Owner::last_histogram(self.batch), t)
            }
        };
        if counted {
            self.memory.counted.push(owner);
        }
        if mode == StartTimes::Zeros && start_time != 0 && start_time < t {
            self.memory.zeros.push((owner, start_time));
        }
        if self.options.exemplars {
            let first = self.batch.exemplars.len();
            elements.exemplars(&mut |labels, v, timestamp| {
                if timestamp.is_some() || sample.value.is_some() {
                    self.push_exemplar(owner, labels, v, timestamp, t);
                }
            });
            if let Some(own) = self.batch.exemplars.get_mut(first..) {
                own.sort_by(|a, b| {
                    a.t.cmp(&b.t).then(a.v.total_cmp(&b.v)).then_with(|| a.labels.cmp(&b.labels))
                });
            }
        }
        Ok(Some(owner))
    }

    /// Whether an element without a start time is to get one.
    fn counts_up(&mut self, elements: &mut dyn Elements, series: u64) -> bool {
        let Some(synthesis) = self.options.synthesis else { return false };
        if synthesis.goes_on(series) {
            return true;
        }
        if !matches!(elements.family().1, MetricKind::Counter | MetricKind::Histogram)
            || elements.labels(&mut self.memory.exposed).is_err()
        {
            return false;
        }
        let Ok(Some(labels)) = self.options.page.rules.apply(&self.memory.exposed) else { return false };
        let (family, kind) = elements.family();
        is_part_of(labels.value(METRIC_NAME), family, kind)
    }
}

struct ElementEntry<'e> {
    elements: &'e mut dyn Elements,
    sample: ElementSample,
}

impl<'a> Entry<'a> for ElementEntry<'_> {
    fn read(&mut self, walk: &mut Walk<'a>) -> Result<(), LabelsError> {
        self.elements.labels(&mut walk.memory.exposed)?;
        if walk.options.type_and_unit_labels {
            let (kind, unit) = self.elements.type_and_unit();
            walk.memory.exposed.set_type_and_unit(kind, unit);
        }
        Ok(())
    }

    fn push(&mut self, walk: &mut Walk<'a>, series: u64) -> Result<Option<Owner>, PageError> {
        walk.push_element(self.elements, series, self.sample)
    }
}

/// A protobuf page.
pub(crate) struct ProtobufElements<'a> {
    parser: ProtobufParser<'a>,
    size: usize,
    keys: &'a Keys,
    /// Number of the metric and the hash of its name and labels.
    metric: (u64, u64),
    /// Of the family read last: its name, type and unit.
    told: (&'a str, MetricKind, &'a str),
}

impl<'a> ProtobufElements<'a> {
    pub(crate) fn new(page: &'a [u8], options: ProtobufOptions, keys: &'a Keys) -> Self {
        let parser = ProtobufParser::new(page, options);
        ProtobufElements {
            parser,
            size: page.len(),
            keys,
            metric: (0, 0),
            told: ("", MetricKind::Untyped, ""),
        }
    }

    fn key(&mut self) -> u64 {
        let (parser, keys) = (&self.parser, self.keys);
        if self.metric.0 != parser.number() {
            let hash = keys.key(|hasher| {
                hasher.write(parser.name().as_bytes());
                for label in parser.raw_labels() {
                    hasher.write_usize(label.len());
                    hasher.write(label);
                }
            });
            self.metric = (parser.number(), hash);
        }
        let (tag, number) = match parser.part() {
            ProtobufPart::Whole => (0, 0.0),
            ProtobufPart::Histogram => (1, 0.0),
            ProtobufPart::Count => (2, 0.0),
            ProtobufPart::Sum => (3, 0.0),
            ProtobufPart::Bucket(bound) => (4, bound),
            ProtobufPart::Quantile(quantile) => (5, quantile),
        };
        let metric = self.metric.1;
        keys.key(|hasher| {
            hasher.write_u64(metric);
            hasher.write_u64(number.to_bits());
            hasher.write_u8(tag);
        })
    }
}

impl Elements for ProtobufElements<'_> {
    fn next(&mut self) -> Result<Element, ParseError> {
        let value = match self.parser.next()? {
            ProtobufEntry::Eof => return Ok(Element::End),
            ProtobufEntry::Family(family) => {
                self.told = (family.name, family.kind, family.unit);
                let key = self.keys.key(|hasher| {
                    for text in [family.name, family.help, family.unit] {
                        hasher.write_usize(text.len());
                        hasher.write(text.as_bytes());
                    }
                    hasher.write_u8(family.kind as u8);
                });
                return Ok(Element::Comment { key });
            }
            ProtobufEntry::Series { value } => Some(value),
            ProtobufEntry::Histogram => None,
        };
        Ok(Element::Sample(ElementSample { key: self.key(), value, timestamp: self.parser.timestamp_ms() }))
    }

    fn labels(&mut self, out: &mut LabelsBuf) -> Result<(), LabelsError> {
        self.parser.read_labels(out)
    }

    fn family(&self) -> (&str, MetricKind) {
        (self.told.0, self.told.1)
    }

    fn read(&self) -> usize {
        self.size
    }

    fn type_and_unit(&self) -> (MetricKind, &str) {
        (self.told.1, self.told.2)
    }

    fn histogram(&mut self) -> HistogramValue {
        self.parser.histogram()
    }

    fn start_time(&mut self) -> i64 {
        self.parser.start_time()
    }

    fn exemplars(&mut self, each: &mut dyn FnMut(Labels, f64, Option<i64>)) {
        self.parser.exemplars(|exemplar| each(exemplar.labels, exemplar.value, exemplar.timestamp_ms));
    }
}
