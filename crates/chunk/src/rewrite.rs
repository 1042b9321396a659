//! Samples that were decoded, or a part of them, as chunks again.

use model::histogram::CounterReset;

use crate::{
    Encoding, HistogramAppended, HistogramPoint, HistogramWriter, NoRoom, Xor2Appender, XorAppender,
};

/// A chunk that was written anew.
#[derive(Debug)]
pub struct Rewritten {
    /// How its samples are encoded.
    pub encoding: Encoding,
    /// Time of its first sample, in milliseconds.
    pub min_time: i64,
    /// Time of its last sample, in milliseconds.
    pub max_time: i64,
    /// The chunk.
    pub bytes: Vec<u8>,
}

/// One chunk of floats, each with start time and time in milliseconds; `None` of no samples. `encoding` is one of floats.
///
/// There may be as many samples as a chunk that was decoded can hold.
#[must_use]
pub fn rewrite_floats(
    encoding: Encoding,
    samples: impl IntoIterator<Item = (i64, i64, f64)>,
) -> Option<Rewritten> {
    let samples = samples.into_iter();
    let mut bytes = vec![0; (samples.size_hint().0 + 2) * Xor2Appender::MAX_SAMPLE_LEN];
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    let mut times = None;
    for (start_time, t, v) in samples {
        let mut append = |bytes: &mut [u8]| match encoding {
            Encoding::Xor => xor.append(bytes, t, v),
            _ => xor2.append(bytes, start_time, t, v),
        };
        if append(&mut bytes) == Err(NoRoom) {
            bytes.resize(bytes.len() * 2, 0);
            if append(&mut bytes) == Err(NoRoom) {
                // It is not the bytes that there is no room for.
                break;
            }
        }
        times = Some((times.map_or(t, |(first, _)| first), t));
    }
    let (min_time, max_time) = times?;
    bytes.truncate(if encoding == Encoding::Xor { xor.len() } else { xor2.len() });
    Some(Rewritten { encoding, min_time, max_time, bytes })
}

/// Chunks of native histograms: several where they do not go together in one. `encoding` is one of histograms.
#[must_use]
pub fn rewrite_histograms<'a>(
    encoding: Encoding,
    points: impl IntoIterator<Item = &'a HistogramPoint>,
) -> Vec<Rewritten> {
    let mut all = Vec::new();
    let mut writer: Option<(HistogramWriter, i64)> = None;
    let mut end = |ended: Option<(HistogramWriter, i64)>| {
        if let Some((writer, min_time)) = ended
            && let Some((max_time, _)) = writer.last()
        {
            all.push(Rewritten { encoding, min_time, max_time, bytes: writer.bytes().to_vec() });
        }
    };
    for point in points {
        let mut header = CounterReset::Unknown;
        if let Some((writer, _)) = &mut writer {
            match writer.append(point) {
                HistogramAppended::Appended | HistogramAppended::Recoded => continue,
                HistogramAppended::Incompatible(reset) => header = reset,
                HistogramAppended::Full | HistogramAppended::Malformed => {}
            }
        }
        let mut next = HistogramWriter::with_header(encoding, header);
        next.append(point);
        end(writer.replace((next, point.t)));
    }
    end(writer.take());
    all
}
