//! Making chunks of samples.

use std::borrow::Cow;

use chunk::{
    ChunkError, Encoding, HistogramAppended, HistogramPoint, HistogramWriter, NoRoom, Xor2Appender,
    XorAppender,
};
use model::histogram::CounterReset;

use super::Piece;
use super::samples::{Point, Value};

/// Most samples of a chunk.
const MOST_SAMPLES: usize = 120;

/// One chunk that grows.
pub(super) enum ChunkBuilder {
    Xor(XorAppender, Vec<u8>),
    Xor2(Xor2Appender, Vec<u8>),
    Histogram(Box<HistogramWriter>),
}

/// The chunk does not take the sample, which is given back.
pub(super) enum Refused {
    /// The next chunk may; this is what it is to say about a counter reset before it.
    Next(Point, CounterReset),
    /// No chunk will.
    Never,
}

impl ChunkBuilder {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self::with_header(encoding, CounterReset::Unknown)
    }

    fn with_header(encoding: Encoding, header: CounterReset) -> Self {
        match encoding {
            Encoding::Xor => ChunkBuilder::Xor(XorAppender::new(), Vec::new()),
            Encoding::Xor2 => ChunkBuilder::Xor2(Xor2Appender::new(), Vec::new()),
            _ => ChunkBuilder::Histogram(Box::new(HistogramWriter::with_header(encoding, header))),
        }
    }

    fn encoding(&self) -> Encoding {
        match self {
            ChunkBuilder::Xor(..) => Encoding::Xor,
            ChunkBuilder::Xor2(..) => Encoding::Xor2,
            ChunkBuilder::Histogram(writer) => writer.encoding(),
        }
    }

    pub(super) fn append(&mut self, point: Point) -> Result<(), Refused> {
        let (t, start_time) = (point.t, point.start_time);
        match (self, point.value) {
            (ChunkBuilder::Xor(appender, bytes), Value::Float(v)) => {
                bytes.resize(appender.len() + XorAppender::MAX_SAMPLE_LEN + 2, 0);
                let refused = |NoRoom| Refused::Next(float(t, start_time, v), CounterReset::Unknown);
                appender.append(bytes, t, v).map_err(refused)
            }
            (ChunkBuilder::Xor2(appender, bytes), Value::Float(v)) => {
                bytes.resize(appender.len() + Xor2Appender::MAX_SAMPLE_LEN + 3, 0);
                let refused = |NoRoom| Refused::Next(float(t, start_time, v), CounterReset::Unknown);
                appender.append(bytes, start_time, t, v).map_err(refused)
            }
            (ChunkBuilder::Histogram(writer), Value::Histogram(value)) => {
                let point = HistogramPoint { t, start_time, value };
                let header = match writer.append(&point) {
                    HistogramAppended::Appended | HistogramAppended::Recoded => return Ok(()),
                    HistogramAppended::Incompatible(header) => header,
                    HistogramAppended::Full => writer.header_after(&point.value),
                    HistogramAppended::Malformed => return Err(Refused::Never),
                };
                Err(Refused::Next(Point { t, start_time, value: Value::Histogram(point.value) }, header))
            }
            _ => Err(Refused::Never),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let (mut bytes, length) = match self {
            ChunkBuilder::Xor(appender, bytes) => (bytes, appender.len()),
            ChunkBuilder::Xor2(appender, bytes) => (bytes, appender.len()),
            ChunkBuilder::Histogram(writer) => return writer.bytes().to_vec(),
        };
        bytes.truncate(length);
        bytes
    }
}

fn float(t: i64, start_time: i64, v: f64) -> Point {
    Point { t, start_time, value: Value::Float(v) }
}

/// Makes as many chunks as are needed of samples in order of time.
pub(super) struct ChunkSplitter {
    /// What floats are encoded with unless they have a start time.
    floats: Encoding,
    done: Vec<Piece<'static>>,
    open: Option<Open>,
}

struct Open {
    chunk: ChunkBuilder,
    samples: usize,
    min_time: i64,
    max_time: i64,
}

impl ChunkSplitter {
    pub(super) fn new(floats: Encoding) -> Self {
        ChunkSplitter { floats, done: Vec::new(), open: None }
    }

    pub(super) fn push(&mut self, point: Point) -> Result<(), ChunkError> {
        let encoding = self.encoding_of(&point);
        if self.open.as_ref().is_some_and(|open| ends_before(open, encoding, &point)) {
            self.close();
        }
        let t = point.t;
        let mut refused = match &mut self.open {
            Some(open) => match open.chunk.append(point) {
                Ok(()) => {
                    open.samples += 1;
                    open.max_time = t;
                    return Ok(());
                }
                Err(refused) => refused,
            },
            None => Refused::Next(point, CounterReset::Unknown),
        };
        self.close();
        if let Refused::Next(point, header) = refused {
            let mut chunk = ChunkBuilder::with_header(encoding, header);
            match chunk.append(point) {
                Ok(()) => {
                    self.open = Some(Open { chunk, samples: 1, min_time: t, max_time: t });
                    return Ok(());
                }
                Err(again) => refused = again,
            }
        }
        drop(refused);
        Err(ChunkError::Buckets("populations that do not agree with their spans"))
    }

    fn encoding_of(&self, point: &Point) -> Encoding {
        let has_start_time = point.start_time != 0;
        match &point.value {
            Value::Float(_) if has_start_time => Encoding::Xor2,
            Value::Float(_) => self.floats,
            Value::Histogram(value) => Encoding::of_histogram(value, has_start_time),
        }
    }

    fn close(&mut self) {
        if let Some(Open { chunk, min_time, max_time, .. }) = self.open.take() {
            let encoding = chunk.encoding();
            self.done.push(Piece { encoding, min_time, max_time, bytes: Cow::Owned(chunk.into_bytes()) });
        }
    }

    pub(super) fn finish(mut self) -> Vec<Piece<'static>> {
        self.close();
        self.done
    }
}

/// Whether a chunk ends before a sample whatever the sample's value is. One of floats goes on with either encoding,
/// unless it has no place for the start time.
fn ends_before(open: &Open, encoding: Encoding, point: &Point) -> bool {
    let current = open.chunk.encoding();
    let goes_on = match (current.is_float(), encoding.is_float()) {
        (true, true) => current == Encoding::Xor2 || point.start_time == 0,
        _ => current == encoding,
    };
    open.samples >= MOST_SAMPLES || !goes_on
}
