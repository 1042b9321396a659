//! The samples of a series as JSON: what nearly all of a large answer is made of.

use model::number::{API_VALUE_ROOM, eight_digits, put_api_value};

/// What a sample takes as JSON, about: brackets, seconds, quotes, sixteen digits.
pub(crate) const POINT_LEN: usize = 34;

/// Bytes that are put together before they are appended.
const BLOCK: usize = 4096;
/// Room for what stands before a value.
const BEFORE: usize = 32;
const ROOM: usize = BEFORE + API_VALUE_ROOM;
/// Bytes before a point that belong to the one before it.
const BEHIND: usize = 3;

/// Appends `[[seconds,"value"],…]`.
///
/// Each piece of a point is written as a block of a fixed size, of which only a part counts: the next piece overwrites
/// the rest.
pub(crate) fn write(out: &mut Vec<u8>, times: &[i64], values: &[f64]) {
    let mut block = [0; BLOCK];
    let (mut from, mut to) = (BEHIND, 0);
    // The value before, and where in the block its text is.
    let mut last: Option<(u64, usize, usize)> = None;
    let mut clock = Clock::default();
    out.push(b'[');
    for (&t, &v) in times.iter().zip(values) {
        if to + ROOM > BLOCK {
            out.extend_from_slice(&block[from..to]);
            (from, to, last) = (0, 0, None);
        }
        let Some(room) = block.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<ROOM>) else { break };
        to += clock.put(room, t);
        match last {
            Some((bits, at, len)) if bits == v.to_bits() => {
                block.copy_within(at..at + API_VALUE_ROOM, to);
                to += len;
            }
            _ => {
                let Some(room) = block.get_mut(to..).and_then(<[u8]>::first_chunk_mut) else { break };
                let len = put_api_value(room, v);
                last = Some((v.to_bits(), to, len));
                to += len;
            }
        }
    }
    if to > 0 {
        out.extend_from_slice(block.get(from..to).unwrap_or_default());
        out.extend_from_slice(b"\"]");
    }
    out.push(b']');
}

/// Writes times of ten digits, from 2001 to 2286. In a range most are as far from the one before as that from its own:
/// then the digits are added, all at once.
#[derive(Default)]
struct Clock {
    t: i64,
    step: i64,
    /// The last eight digits of the seconds, a byte each, and those of the step.
    digits: u64,
    step_digits: u64,
    first_two: [u8; 2],
}

impl Clock {
    const TIMES: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;
    const ASCII: u64 = 0x3030_3030_3030_3030;

    /// Writes `"],[seconds,"`; answers how long that is.
    fn put(&mut self, out: &mut [u8; ROOM], t: i64) -> usize {
        if !(t.wrapping_sub(self.t) == self.step && self.add_step(t)) {
            if !Self::TIMES.contains(&t) {
                *self = Clock::default();
                return put_other(out, t);
            }
            self.set(t);
        }
        out[..4].copy_from_slice(b"\"],[");
        out[4..6].copy_from_slice(&self.first_two);
        out[6..14].copy_from_slice(&(self.digits | Self::ASCII).to_be_bytes());
        out[14..16].copy_from_slice(b",\"");
        let millis = t as u64 % 1000;
        if millis == 0 {
            return 16;
        }
        let digit = |n: u64| b'0' + (n % 10) as u8;
        out[14..20].copy_from_slice(&[
            b'.',
            digit(millis / 100),
            digit(millis / 10),
            digit(millis),
            b',',
            b'"',
        ]);
        20
    }

    fn set(&mut self, t: i64) {
        const LOW: u64 = 100_000_000;
        let seconds = t as u64 / 1000;
        let high = (seconds / LOW) as u8;
        self.first_two = [b'0' + high / 10, b'0' + high % 10];
        self.digits = eight_digits(seconds % LOW);
        // Only whole seconds are added.
        let step = if self.t == 0 { 0 } else { t - self.t };
        let whole = step > 0 && step % 1000 == 0 && step as u64 / 1000 < LOW;
        self.step = if whole { step } else { 0 };
        self.step_digits = if whole { eight_digits(step as u64 / 1000) } else { 0 };
        self.t = t;
    }

    /// Whether it could: the first two digits stay as they are.
    fn add_step(&mut self, t: i64) -> bool {
        const TO_CARRY: u64 = 0xf6f6_f6f6_f6f6_f6f6;
        const HIGHEST_BITS: u64 = 0x8080_8080_8080_8080;
        if self.step == 0 {
            return false;
        }
        // With 246 more, a byte goes beyond 255 where its digit goes beyond 9. Where it does not, they are taken off again.
        let (sum, beyond) = (self.digits + TO_CARRY).overflowing_add(self.step_digits);
        self.digits = sum - ((sum & HIGHEST_BITS) >> 7) * 0xf6;
        self.t = t;
        !beyond
    }
}

#[cold]
fn put_other(out: &mut [u8; ROOM], t: i64) -> usize {
    let mut text = String::from("\"],[");
    crate::json::timestamp(&mut text, t);
    text.push_str(",\"");
    let len = text.len().min(BEFORE);
    out[..len].copy_from_slice(&text.as_bytes()[..len]);
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn check(times: &[i64], values: &[f64]) {
        let mut one_by_one = String::from("[");
        for (&t, &v) in times.iter().zip(values) {
            json::comma(&mut one_by_one);
            json::point(&mut one_by_one, t, v);
        }
        one_by_one.push(']');
        let mut out = Vec::new();
        write(&mut out, times, values);
        assert_eq!(String::from_utf8(out).unwrap(), one_by_one);
    }

    #[test]
    fn points_are_written_as_one_by_one() {
        let times = [
            i64::MIN,
            -1500,
            0,
            7_000,
            99_000,
            100_500,
            999_999_999_999,
            1_000_000_000_000,
            1_700_002_800_000,
            1_700_002_800_001,
            1_700_002_899_990,
            9_999_999_999_999,
            10_000_000_000_000,
            i64::MAX,
        ];
        let values: Vec<f64> = (0..times.len()).map(|i| i as f64 / 8.0).collect();
        check(&times, &values);
        check(&times, &vec![f64::NAN; times.len()]);
        check(&[], &[]);
        check(&times[..1], &[1.0]);
    }

    #[test]
    fn times_are_added_up() {
        let values = vec![1.5; 300];
        for step in
            [1, 500, 1000, 7_000, 15_000, 60_123, 3_600_000, 86_400_000, 12_345_678_000, 99_999_999_000]
        {
            for start in [999_999_000_000, 1_699_999_990_000, 1_699_999_990_123, 9_999_999_000_000] {
                check(&(0..300).map(|i| start + i * step).collect::<Vec<_>>(), &values);
            }
        }
    }

    #[test]
    fn series_are_longer_than_a_block() {
        let times: Vec<i64> = (0..2000).map(|i| 1_700_002_800_000 + i * 15_000 + i / 3 % 2).collect();
        for repeats in [1, 7, 1000, 5000] {
            let values: Vec<f64> = (0..2000).map(|i| f64::from(i / repeats).sqrt()).collect();
            // Of every length, so that each place in the block is the last one once.
            (0..400).for_each(|len| check(&times[..len], &values[..len]));
            check(&times, &values);
        }
    }
}
