//! Type 4: exemplars.

use model::Labels;

use super::bytes::{Cursor, LabelsReader, put_f64, put_labels, put_varint};
use super::{BadRecord, EXEMPLARS};

/// Writes an exemplars record, exemplar by exemplar.
#[derive(Debug, Default)]
pub(crate) struct ExemplarsEncoder {
    pub(crate) buf: Vec<u8>,
    first_ref: u64,
    first_time: i64,
}

impl ExemplarsEncoder {
    pub(crate) fn clear(&mut self) {
        self.buf.clear();
    }

    pub(crate) fn push(&mut self, reference: u64, t: i64, v: f64, labels: &Labels) {
        if self.buf.is_empty() {
            self.buf.push(EXEMPLARS);
            self.buf.extend_from_slice(&reference.to_be_bytes());
            self.buf.extend_from_slice(&t.to_be_bytes());
            (self.first_ref, self.first_time) = (reference, t);
        }
        put_varint(&mut self.buf, reference.wrapping_sub(self.first_ref) as i64);
        put_varint(&mut self.buf, t.wrapping_sub(self.first_time));
        put_f64(&mut self.buf, v);
        put_labels(&mut self.buf, labels);
    }
}

/// Calls `each` with reference of the series, time, value and labels of every exemplar.
pub(crate) fn read_exemplars(
    record: &[u8],
    mut each: impl FnMut(u64, i64, f64, Labels),
) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[EXEMPLARS])?;
    if cursor.is_empty() {
        return Ok(());
    }
    let first_ref = cursor.u64()?;
    let first_time = cursor.u64()? as i64;
    let mut reader = LabelsReader::default();
    while !cursor.is_empty() {
        let reference = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_time.wrapping_add(cursor.varint()?);
        let v = cursor.f64()?;
        each(reference, t, v, reader.read(cursor.raw_labels()?)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exemplars_round_trip(
            exemplars in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>(), "[a-z]{1,5}", "\\PC{0,9}"), 1..20),
        ) {
            let mut encoder = ExemplarsEncoder::default();
            let want: Vec<_> = exemplars
                .into_iter()
                .map(|(r, t, v, name, value)| (r, t, v, Labels::from_pairs([(name.as_str(), value.as_str())])))
                .collect();
            want.iter().for_each(|(r, t, v, labels)| encoder.push(*r, *t, f64::from_bits(*v), labels));
            let mut back = Vec::new();
            read_exemplars(&encoder.buf, |r, t, v, labels| back.push((r, t, v.to_bits(), labels))).unwrap();
            prop_assert_eq!(back, want);
        }
    }
}
