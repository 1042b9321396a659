//! Samples as chunks.

use chunk::{
    Encoding, HistogramAppended, HistogramPoint, HistogramWriter, NoRoom, Xor2Appender, XorAppender,
};

use super::buffer::{Late, Value};
use super::table::{Mapped, Place};
use crate::chunk_files::NewChunk;

/// Which encodings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encodings {
    /// XOR or XOR2.
    pub(crate) floats: Encoding,
    /// Whether histograms are written with start times.
    pub(crate) histogram_start_times: bool,
}

/// A chunk in memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Encoded {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) samples: u16,
    pub(crate) bytes: Vec<u8>,
}

impl Encoded {
    /// To be written as one of the series' chunks.
    pub(super) fn of(&self, series: u64) -> NewChunk<'_> {
        let &Encoded { encoding, min_time, max_time, ref bytes, .. } = self;
        NewChunk { series, min_time, max_time, encoding, bytes }
    }

    /// Once it was written.
    pub(super) fn at(&self, place: Place) -> Mapped {
        Mapped { min_time: self.min_time, max_time: self.max_time, place }
    }
}

/// Encodes samples, which are in order of time, in chunks of at most `most` samples. A chunk ends where the kind of
/// value changes, and where a histogram does not go together with the one before.
pub(crate) fn encode(samples: &[Late], how: Encodings, most: usize, out: &mut Vec<Encoded>) {
    let kind = |sample: &Late| match &sample.value {
        Value::Float(_) => how.floats,
        Value::Histogram(value) => Encoding::of_histogram(value, how.histogram_start_times),
    };
    for same in samples.chunk_by(|a, b| kind(a) == kind(b)) {
        let encoding = same.first().map_or(how.floats, kind);
        if encoding.is_float() {
            same.chunks(most.max(1)).for_each(|some| encode_floats(encoding, some, out));
        } else {
            encode_histograms(encoding, same, most, out);
        }
    }
}

fn encode_floats(encoding: Encoding, samples: &[Late], out: &mut Vec<Encoded>) {
    let floats = samples.iter().filter_map(|sample| match sample.value {
        Value::Float(v) => Some((sample.start_time, sample.t, v)),
        Value::Histogram(_) => None,
    });
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return };
    let room = 8 + samples.len() * Xor2Appender::MAX_SAMPLE_LEN;
    let mut bytes = vec![0; room.min(usize::from(u16::MAX))];
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    for (start_time, t, v) in floats {
        let appended: Result<(), NoRoom> = match encoding {
            Encoding::Xor2 => xor2.append(&mut bytes, start_time, t, v),
            _ => xor.append(&mut bytes, t, v),
        };
        debug_assert!(appended.is_ok(), "there is room for the longest samples");
    }
    let (len, count) = match encoding {
        Encoding::Xor2 => (xor2.len(), xor2.samples()),
        _ => (xor.len(), xor.samples()),
    };
    bytes.truncate(len);
    bytes.shrink_to_fit();
    out.push(Encoded { encoding, min_time: first.t, max_time: last.t, samples: count, bytes });
}

fn encode_histograms(encoding: Encoding, samples: &[Late], most: usize, out: &mut Vec<Encoded>) {
    let mut writer = HistogramWriter::new(encoding);
    let mut times: Option<(i64, i64)> = None;
    for sample in samples {
        let Value::Histogram(value) = &sample.value else { continue };
        let point = HistogramPoint { t: sample.t, start_time: sample.start_time, value: value.clone() };
        let full = usize::from(writer.samples()) >= most;
        let appended = if full { HistogramAppended::Full } else { writer.append(&point) };
        let header = match appended {
            HistogramAppended::Appended | HistogramAppended::Recoded => None,
            // Was refused when it came.
            HistogramAppended::Malformed => continue,
            HistogramAppended::Incompatible(header) => Some(header),
            HistogramAppended::Full => Some(writer.header_after(value)),
        };
        if let Some(header) = header {
            push_histograms(&writer, times.take(), out);
            writer = HistogramWriter::with_header(encoding, header);
            if writer.append(&point) == HistogramAppended::Malformed {
                continue;
            }
        }
        times = Some((times.map_or(sample.t, |(first, _)| first), sample.t));
    }
    push_histograms(&writer, times, out);
}

fn push_histograms(writer: &HistogramWriter, times: Option<(i64, i64)>, out: &mut Vec<Encoded>) {
    if let Some((min_time, max_time)) = times.filter(|_| writer.samples() > 0) {
        let (encoding, samples) = (writer.encoding(), writer.samples());
        out.push(Encoded { encoding, min_time, max_time, samples, bytes: writer.bytes().to_vec() });
    }
}

/// Encodings that keep all there is to samples.
pub(super) fn lossless(samples: &[Late]) -> Encodings {
    let start_times = samples.iter().any(|sample| sample.start_time != 0);
    Encodings {
        floats: if start_times { Encoding::Xor2 } else { Encoding::Xor },
        histogram_start_times: start_times,
    }
}

/// Appends the samples of a chunk to `out`.
pub(crate) fn decode(encoding: Encoding, bytes: &[u8], out: &mut Vec<Late>) -> Result<(), chunk::ChunkError> {
    let count = chunk::sample_count(encoding, bytes);
    if encoding.is_float() {
        let mut columns = chunk::Columns::default();
        chunk::decode(encoding, bytes, count, &mut columns)?;
        let start_times = columns.start_times.iter().copied().chain(std::iter::repeat(0));
        let floats = columns.times.iter().zip(&columns.values).zip(start_times);
        out.extend(floats.map(|((&t, &v), start_time)| Late { t, start_time, value: Value::Float(v) }));
        return Ok(());
    }
    let mut points = Vec::new();
    chunk::decode_histograms(encoding, bytes, count, &mut points)?;
    out.extend(points.into_iter().map(|point| Late {
        t: point.t,
        start_time: point.start_time,
        value: Value::Histogram(point.value),
    }));
    Ok(())
}
