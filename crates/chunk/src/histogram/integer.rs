//! Samples with integer populations: differences of differences.

use model::histogram::IntegerHistogram;

use crate::bits::{BitVec, Bits, varbit_signed, varbit_unsigned};
use crate::window::{ReadWindow, Window};

/// What besides the newest sample the next one is written with: how far it was from the one before.
#[derive(Debug, Clone)]
pub(super) struct Steps<W> {
    count: i64,
    zero_count: i64,
    positive: Vec<i64>,
    negative: Vec<i64>,
    sum: W,
}

impl<W: Copy> Steps<W> {
    fn none(h: &IntegerHistogram, sum: W) -> Self {
        Steps {
            count: 0,
            zero_count: 0,
            positive: vec![0; h.positive_deltas.len()],
            negative: vec![0; h.negative_deltas.len()],
            sum,
        }
    }
}

impl Steps<Window> {
    /// Writes the first sample.
    pub(super) fn write_first(bits: &mut BitVec, h: &IntegerHistogram) -> Self {
        bits.put(varbit_unsigned(h.count));
        bits.put(varbit_unsigned(h.zero_count));
        bits.put_f64(h.sum);
        for &delta in h.positive_deltas.iter().chain(&h.negative_deltas) {
            bits.put(varbit_signed(delta));
        }
        Steps::none(h, Window::new())
    }

    /// Writes a sample with the same buckets as `before`.
    pub(super) fn write(&mut self, bits: &mut BitVec, before: &IntegerHistogram, h: &IntegerHistogram) {
        bits.put(put_step(&mut self.count, h.count.wrapping_sub(before.count) as i64));
        bits.put(put_step(&mut self.zero_count, h.zero_count.wrapping_sub(before.zero_count) as i64));
        bits.put(self.sum.value_bits(before.sum, h.sum));
        for (steps, before, deltas) in [
            (&mut self.positive, &before.positive_deltas, &h.positive_deltas),
            (&mut self.negative, &before.negative_deltas, &h.negative_deltas),
        ] {
            for ((step, before), delta) in steps.iter_mut().zip(before).zip(deltas) {
                bits.put(put_step(step, delta.wrapping_sub(*before)));
            }
        }
    }

    /// Writes a staleness marker: no counts, no buckets.
    pub(super) fn write_stale(&mut self, bits: &mut BitVec, sum_before: f64, sum: f64) {
        bits.put((0, 2));
        bits.put(self.sum.value_bits(sum_before, sum));
    }
}

fn put_step(before: &mut i64, step: i64) -> (u128, u32) {
    let change = step.wrapping_sub(*before);
    *before = step;
    varbit_signed(change)
}

impl Steps<ReadWindow> {
    /// Reads the first sample into `h`, which has its buckets already.
    pub(super) fn read_first(bits: &mut Bits<'_>, h: &mut IntegerHistogram) -> Self {
        h.count = bits.varbit_unsigned();
        h.zero_count = bits.varbit_unsigned();
        h.sum = f64::from_bits(bits.take(64));
        for delta in h.positive_deltas.iter_mut().chain(&mut h.negative_deltas) {
            *delta = bits.varbit_signed();
        }
        Steps::none(h, ReadWindow::default())
    }

    /// Reads the sample after `h` into it; of a staleness marker only the sum.
    pub(super) fn read(&mut self, bits: &mut Bits<'_>, h: &mut IntegerHistogram) {
        h.count = h.count.wrapping_add_signed(read_step(bits, &mut self.count));
        h.zero_count = h.zero_count.wrapping_add_signed(read_step(bits, &mut self.zero_count));
        let mut sum = h.sum.to_bits();
        self.sum.read_value(bits, &mut sum);
        h.sum = f64::from_bits(sum);
        if model::is_stale(h.sum) {
            return;
        }
        let positive = self.positive.iter_mut().zip(&mut h.positive_deltas);
        let negative = self.negative.iter_mut().zip(&mut h.negative_deltas);
        for (step, delta) in positive.chain(negative) {
            *delta = delta.wrapping_add(read_step(bits, step));
        }
    }

    /// As a writer that goes on needs it.
    pub(super) fn for_writer(self) -> Steps<Window> {
        let Steps { count, zero_count, positive, negative, sum } = self;
        Steps { count, zero_count, positive, negative, sum: sum.for_writer() }
    }
}

fn read_step(bits: &mut Bits<'_>, step: &mut i64) -> i64 {
    *step = step.wrapping_add(bits.varbit_signed());
    *step
}
