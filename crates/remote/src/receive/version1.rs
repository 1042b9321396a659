//! `prometheus.WriteRequest`: each series says its labels itself.

use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, Reader};
use storage::SeriesKey;

use super::Reading;
use super::wire_labels::{Pair, exemplar_labels};
use crate::histogram::WireHistogram;
use crate::sample::{self, WireSample, read_label};

/// Reads a request.
pub(super) fn read(body: &[u8], reading: &mut Reading<'_>) -> Result<(), ParseError> {
    let mut request = Reader::new("WriteRequest", body);
    let mut pairs = Vec::new();
    while let Some(tag) = request.tag()? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "Timeseries")?;
                let series = request.bytes()?;
                let end = body.len() - request.rest().len();
                reading.incoming.begin(end - series.len()..end)?;
                read_series(series, reading, &mut pairs)?;
            }
            // Types and help of metrics, which Prometheus reads and drops too.
            3 => {
                tag.expect(BYTES, "Metadata")?;
                request.bytes()?;
            }
            _ => request.skip(tag)?,
        }
    }
    Ok(())
}

/// Labels come first and in one piece from every sender there is: then their bytes are what they are known by.
fn read_series<'a>(
    data: &'a [u8],
    reading: &mut Reading<'_>,
    pairs: &mut Vec<Pair<'a>>,
) -> Result<(), ParseError> {
    let mut labels_end = 0;
    let mut in_one_piece = true;
    let mut r = Reader::new("TimeSeries", data);
    loop {
        let at = data.len() - r.rest().len();
        let Some(tag) = r.tag()? else { break };
        match tag.field {
            1 => {
                tag.expect(BYTES, "Labels")?;
                r.bytes()?;
                in_one_piece &= at == labels_end;
                labels_end = data.len() - r.rest().len();
            }
            2 => {
                tag.expect(BYTES, "Samples")?;
                let WireSample { t, v, .. } = WireSample::read(r.bytes()?)?;
                reading.sample(t, v, 0);
            }
            3 => {
                tag.expect(BYTES, "Exemplars")?;
                read_exemplar(r.bytes()?, reading, pairs)?;
            }
            4 => {
                tag.expect(BYTES, "Histograms")?;
                reading.histogram(WireHistogram::read(r.bytes()?)?);
            }
            _ => r.skip(tag)?,
        }
    }
    let key: Option<SeriesKey> = in_one_piece.then(|| reading.cache.key(&data[..labels_end]));
    if reading.knows(key) {
        return Ok(());
    }
    read_labels(data, pairs)?;
    if let Err(_invalid) = reading.resolve(key, pairs) {
        reading.incoming.drop_newest();
        reading.incoming.invalid += 1;
    }
    Ok(())
}

fn read_exemplar<'a>(
    data: &'a [u8],
    reading: &mut Reading<'_>,
    pairs: &mut Vec<Pair<'a>>,
) -> Result<(), ParseError> {
    pairs.clear();
    let (t, v) = sample::read_exemplar(data, |r, tag| {
        tag.expect(BYTES, "Labels")?;
        pairs.push(read_label(r.bytes()?)?);
        Ok(())
    })?;
    reading.exemplar(exemplar_labels(pairs), t, v);
    Ok(())
}

/// The labels of a series; answers where they end if they stand in one piece before all else.
pub(super) fn read_labels<'a>(
    series: &'a [u8],
    pairs: &mut Vec<Pair<'a>>,
) -> Result<Option<usize>, ParseError> {
    pairs.clear();
    let (mut labels_end, mut in_one_piece) = (0, true);
    let mut r = Reader::new("TimeSeries", series);
    loop {
        let at = series.len() - r.rest().len();
        let Some(tag) = r.tag()? else { break };
        if tag.field == 1 && tag.wire == BYTES {
            pairs.push(read_label(r.bytes()?)?);
            in_one_piece &= at == labels_end;
            labels_end = series.len() - r.rest().len();
        } else {
            r.skip(tag)?;
        }
    }
    Ok(in_one_piece.then_some(labels_end))
}
