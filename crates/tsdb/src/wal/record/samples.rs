//! Types 2 and 11: floats, without and with start times.

use super::bytes::{Cursor, put_f64, put_varint};
use super::{BadRecord, SAMPLES, SAMPLES_V2};

/// Marks in records with start times.
const NO_START: u8 = 0;
const SAME_START: u8 = 1;
const EXPLICIT_START: u8 = 2;

/// Start times as records of the second versions hold them: a mark, and the distance to the first one where it must.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StartTimes {
    pub(super) first: i64,
    pub(super) before: i64,
}

impl StartTimes {
    pub(super) fn begin(first: i64) -> Self {
        StartTimes { first, before: first }
    }

    pub(super) fn put(&mut self, buf: &mut Vec<u8>, start_time: i64) {
        if start_time == 0 {
            buf.push(NO_START);
        } else if start_time == self.before {
            buf.push(SAME_START);
        } else {
            buf.push(EXPLICIT_START);
            put_varint(buf, start_time.wrapping_sub(self.first));
        }
        self.before = start_time;
    }

    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<i64, BadRecord> {
        self.before = match cursor.byte()? {
            NO_START => 0,
            SAME_START => self.before,
            _ => self.first.wrapping_add(cursor.varint()?),
        };
        Ok(self.before)
    }
}

/// Writes a samples record, sample by sample.
#[derive(Debug, Default)]
pub(crate) struct SamplesEncoder {
    pub(crate) buf: Vec<u8>,
    with_start_times: bool,
    first_time: i64,
    /// Reference of the first sample or, with start times, of the one before.
    base_ref: u64,
    starts: StartTimes,
}

impl SamplesEncoder {
    /// Of the second version, which has start times, or of the first.
    pub(crate) fn new(with_start_times: bool) -> Self {
        SamplesEncoder { with_start_times, ..Self::default() }
    }

    pub(crate) fn clear(&mut self) {
        self.buf.clear();
    }

    /// Appends a sample. `start_time` is 0 where there is none; the first version drops it.
    #[inline]
    pub(crate) fn push(&mut self, reference: u64, start_time: i64, t: i64, v: f64) {
        if self.with_start_times {
            return self.push_v2(reference, start_time, t, v);
        }
        if self.buf.is_empty() {
            self.buf.push(SAMPLES);
            self.buf.extend_from_slice(&reference.to_be_bytes());
            self.buf.extend_from_slice(&t.to_be_bytes());
            (self.base_ref, self.first_time) = (reference, t);
        }
        put_varint(&mut self.buf, reference.wrapping_sub(self.base_ref) as i64);
        put_varint(&mut self.buf, t.wrapping_sub(self.first_time));
        put_f64(&mut self.buf, v);
    }

    fn push_v2(&mut self, reference: u64, start_time: i64, t: i64, v: f64) {
        if self.buf.is_empty() {
            self.buf.push(SAMPLES_V2);
            put_varint(&mut self.buf, reference as i64);
            put_varint(&mut self.buf, t);
            put_varint(&mut self.buf, start_time);
            self.first_time = t;
            self.starts = StartTimes::begin(start_time);
        } else {
            put_varint(&mut self.buf, reference.wrapping_sub(self.base_ref) as i64);
            put_varint(&mut self.buf, t.wrapping_sub(self.first_time));
            self.starts.put(&mut self.buf, start_time);
        }
        self.base_ref = reference;
        put_f64(&mut self.buf, v);
    }
}

/// Calls `each` with reference, start time (0: none), time and value of every sample of a record of either version.
#[inline]
pub(crate) fn read_samples(record: &[u8], mut each: impl FnMut(u64, i64, i64, f64)) -> Result<(), BadRecord> {
    if record.first() == Some(&SAMPLES_V2) {
        return read_samples_v2(record, each);
    }
    let mut cursor = Cursor::after_kind(record, &[SAMPLES])?;
    if cursor.is_empty() {
        return Ok(());
    }
    let first_ref = cursor.u64()?;
    let first_time = cursor.u64()? as i64;
    while !cursor.is_empty() {
        let reference = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_time.wrapping_add(cursor.varint()?);
        each(reference, 0, t, cursor.f64()?);
    }
    Ok(())
}

fn read_samples_v2(record: &[u8], mut each: impl FnMut(u64, i64, i64, f64)) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[SAMPLES_V2])?;
    if cursor.is_empty() {
        return Ok(());
    }
    let mut reference = cursor.varint()? as u64;
    let first_time = cursor.varint()?;
    let first_start = cursor.varint()?;
    let mut starts = StartTimes::begin(first_start);
    each(reference, first_start, first_time, cursor.f64()?);
    while !cursor.is_empty() {
        reference = reference.wrapping_add(cursor.varint()? as u64);
        let t = first_time.wrapping_add(cursor.varint()?);
        let start_time = starts.read(&mut cursor)?;
        each(reference, start_time, t, cursor.f64()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_round_trip(
            samples in prop::collection::vec(
                (any::<u64>(), prop_oneof![Just(0), Just(77), any::<i64>()], any::<i64>(), any::<u64>()), 0..50,
            ),
            with_start_times in any::<bool>(),
        ) {
            let mut encoder = SamplesEncoder::new(with_start_times);
            samples.iter().for_each(|&(r, st, t, v)| encoder.push(r, st, t, f64::from_bits(v)));
            let mut back = Vec::new();
            if !encoder.buf.is_empty() {
                read_samples(&encoder.buf, |r, st, t, v| back.push((r, st, t, v.to_bits()))).unwrap();
            }
            let want: Vec<_> = samples
                .into_iter()
                .map(|(r, st, t, v)| (r, if with_start_times { st } else { 0 }, t, v))
                .collect();
            prop_assert_eq!(back, want);
        }
    }

    #[test]
    fn start_times_are_written_as_prometheus_does() {
        let mut encoder = SamplesEncoder::new(true);
        for (reference, start, t) in [(5, 90, 100), (6, 90, 101), (7, 0, 101), (4, 90, 101), (4, 95, 102)] {
            encoder.push(reference, start, t, 1.0);
        }
        let one = 1f64.to_bits().to_be_bytes();
        let parts: [&[u8]; 5] = [
            &[11, 10, 200, 1, 180, 1],
            &[2, 2, SAME_START],
            &[2, 2, NO_START],
            &[5, 2, EXPLICIT_START, 0],
            &[0, 4, EXPLICIT_START, 10],
        ];
        let want: Vec<u8> = parts.iter().flat_map(|part| part.iter().chain(&one)).copied().collect();
        assert_eq!(encoder.buf, want);
    }
}
