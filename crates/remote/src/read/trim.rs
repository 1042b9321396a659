//! What of a chunk lies in a stretch of time, as a chunk that others can read.

use std::borrow::Cow;

use chunk::{
    ChunkError, Columns, Encoding, HistogramAppended, HistogramPoint, HistogramWriter, NoRoom, Xor2Appender,
    XorAppender,
};
use storage::ChunkView;

/// A chunk to be sent.
#[derive(Debug)]
pub(crate) struct Trimmed<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) bytes: Cow<'a, [u8]>,
}

/// Samples of a chunk that is made of decoded ones.
const CHUNK_SAMPLES: usize = 120;

/// The chunk itself if all of it is wanted, else what is wanted written anew: nothing, one chunk or several.
pub(crate) fn trim<'a>(
    view: &ChunkView<'a>,
    min_time: i64,
    max_time: i64,
    out: &mut Vec<Trimmed<'a>>,
) -> Result<(), ChunkError> {
    let wanted = |t: i64| t >= min_time && t <= max_time;
    match *view {
        ChunkView::Encoded { encoding, min_time: from, max_time: to, samples, bytes } => {
            if wanted(from) && wanted(to) && chunk::sample_count(encoding, bytes) == samples {
                out.push(Trimmed { encoding, min_time: from, max_time: to, bytes: Cow::Borrowed(bytes) });
                return Ok(());
            }
            if encoding.is_float() {
                let mut columns = Columns::default();
                chunk::decode(encoding, bytes, samples, &mut columns)?;
                let start = |i: usize| columns.start_times.get(i).copied().unwrap_or_default();
                let points = columns.times.iter().zip(&columns.values).enumerate();
                let points: Vec<_> =
                    points.filter(|(_, (t, _))| wanted(**t)).map(|(i, (&t, &v))| (start(i), t, v)).collect();
                push_floats(encoding, &points, out);
            } else {
                let mut points = Vec::new();
                chunk::decode_histograms(encoding, bytes, samples, &mut points)?;
                points.retain(|point| wanted(point.t));
                push_histograms(encoding, &points, out);
            }
        }
        ChunkView::Samples(samples) => {
            let points: Vec<_> =
                samples.iter().filter(|sample| wanted(sample.t)).map(|s| (0, s.t, s.v)).collect();
            points.chunks(CHUNK_SAMPLES).for_each(|points| push_floats(Encoding::Xor, points, out));
        }
        ChunkView::Histograms(samples) => {
            let points = samples.iter().filter(|sample| wanted(sample.t)).map(|sample| HistogramPoint {
                t: sample.t,
                start_time: 0,
                value: model::histogram::HistogramValue::Float(Box::new((*sample.histogram).clone())),
            });
            push_histograms(Encoding::FloatHistogram, &points.collect::<Vec<_>>(), out);
        }
    }
    Ok(())
}

/// Start time, time and value of each.
fn push_floats(encoding: Encoding, points: &[(i64, i64, f64)], out: &mut Vec<Trimmed<'_>>) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let mut buf = vec![0; (points.len() + 1) * (Xor2Appender::MAX_SAMPLE_LEN + 8)];
    let (mut xor, mut xor2) = (XorAppender::new(), Xor2Appender::new());
    for &(start_time, t, v) in points {
        let appended: Result<(), NoRoom> = match encoding {
            Encoding::Xor => xor.append(&mut buf, t, v),
            _ => xor2.append(&mut buf, start_time, t, v),
        };
        if appended.is_err() {
            // There is room for the longest samples.
            break;
        }
    }
    buf.truncate(if encoding == Encoding::Xor { xor.len() } else { xor2.len() });
    out.push(Trimmed { encoding, min_time: first.1, max_time: last.1, bytes: Cow::Owned(buf) });
}

fn push_histograms(encoding: Encoding, points: &[HistogramPoint], out: &mut Vec<Trimmed<'_>>) {
    let mut writer: Option<(HistogramWriter, i64)> = None;
    let mut end = |ended: Option<(HistogramWriter, i64)>| {
        if let Some((writer, min_time)) = ended
            && let Some((max_time, _)) = writer.last()
        {
            let bytes = Cow::Owned(writer.bytes().to_vec());
            out.push(Trimmed { encoding, min_time, max_time, bytes });
        }
    };
    for point in points {
        let mut header = model::histogram::CounterReset::Unknown;
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
}
