//! `Label`, `Sample` and `Exemplar`: what the messages of writing and of reading have alike.

use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, FIXED64, Reader, Tag, VARINT};

/// Name and value, which nobody has checked.
pub(crate) type Pair<'a> = (&'a [u8], &'a [u8]);

/// Reads a `prometheus.Label`.
pub(crate) fn read_label(data: &[u8]) -> Result<Pair<'_>, ParseError> {
    let (mut name, mut value): Pair<'_> = (&[], &[]);
    let mut r = Reader::new("Label", data);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => {
                tag.expect(BYTES, "Name")?;
                name = r.bytes()?;
            }
            2 => {
                tag.expect(BYTES, "Value")?;
                value = r.bytes()?;
            }
            _ => r.skip(tag)?,
        }
    }
    Ok((name, value))
}

/// A sample of a message. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct WireSample {
    pub(crate) t: i64,
    pub(crate) v: f64,
    /// When the counting began; 0 when that is not known, and of messages that have no place for it.
    pub(crate) start_time: i64,
}

impl WireSample {
    #[inline]
    pub(crate) fn read(data: &[u8]) -> Result<Self, ParseError> {
        let mut sample = WireSample::default();
        let mut r = Reader::new("Sample", data);
        while let Some(tag) = r.tag()? {
            match tag.field {
                1 => {
                    tag.expect(FIXED64, "Value")?;
                    sample.v = r.double()?;
                }
                2 => {
                    tag.expect(VARINT, "Timestamp")?;
                    sample.t = r.varint()? as i64;
                }
                3 => {
                    tag.expect(VARINT, "StartTimestamp")?;
                    sample.start_time = r.varint()? as i64;
                }
                _ => r.skip(tag)?,
            }
        }
        Ok(sample)
    }
}

/// Time and value of an exemplar; its labels, which versions write differently, are read by `labels`.
pub(crate) fn read_exemplar<'a>(
    data: &'a [u8],
    mut labels: impl FnMut(&mut Reader<'a>, Tag) -> Result<(), ParseError>,
) -> Result<(i64, f64), ParseError> {
    let (mut t, mut v) = (0, 0.0);
    let mut r = Reader::new("Exemplar", data);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => labels(&mut r, tag)?,
            2 => {
                tag.expect(FIXED64, "Value")?;
                v = r.double()?;
            }
            3 => {
                tag.expect(VARINT, "Timestamp")?;
                t = r.varint()? as i64;
            }
            _ => r.skip(tag)?,
        }
    }
    Ok((t, v))
}
