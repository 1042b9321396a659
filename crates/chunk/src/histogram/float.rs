//! Samples with float populations: every number is written as the XOR with the one before in its place.

use model::histogram::FloatHistogram;

use crate::bits::{BitVec, Bits};
use crate::window::{ReadWindow, Window};

/// What besides the newest sample the next one is written with.
#[derive(Debug, Clone)]
pub(super) struct Windows<W> {
    count: W,
    zero_count: W,
    sum: W,
    positive: Vec<W>,
    negative: Vec<W>,
}

impl<W: Copy> Windows<W> {
    fn none(h: &FloatHistogram, none: W) -> Self {
        Windows {
            count: none,
            zero_count: none,
            sum: none,
            positive: vec![none; h.positive.len()],
            negative: vec![none; h.negative.len()],
        }
    }
}

impl Windows<Window> {
    /// Writes the first sample.
    pub(super) fn write_first(bits: &mut BitVec, h: &FloatHistogram) -> Self {
        bits.put_f64(h.count);
        bits.put_f64(h.zero_count);
        bits.put_f64(h.sum);
        for &(_, count) in h.positive.iter().chain(&h.negative) {
            bits.put_f64(count);
        }
        Windows::none(h, Window::new())
    }

    /// Writes a sample with the same buckets as `before`, or a staleness marker without any.
    pub(super) fn write(&mut self, bits: &mut BitVec, before: &FloatHistogram, h: &FloatHistogram) {
        bits.put(self.count.value_bits(before.count, h.count));
        bits.put(self.zero_count.value_bits(before.zero_count, h.zero_count));
        bits.put(self.sum.value_bits(before.sum, h.sum));
        for (windows, before, populations) in [
            (&mut self.positive, &before.positive, &h.positive),
            (&mut self.negative, &before.negative, &h.negative),
        ] {
            for ((window, before), population) in windows.iter_mut().zip(before).zip(populations) {
                bits.put(window.value_bits(before.1, population.1));
            }
        }
    }
}

impl Windows<ReadWindow> {
    /// Reads the first sample into `h`, which has its buckets already.
    pub(super) fn read_first(bits: &mut Bits<'_>, h: &mut FloatHistogram) -> Self {
        let numbers = [&mut h.count, &mut h.zero_count, &mut h.sum];
        let populations = h.positive.iter_mut().chain(&mut h.negative).map(|p| &mut p.1);
        for number in numbers.into_iter().chain(populations) {
            *number = f64::from_bits(bits.take(64));
        }
        Windows::none(h, ReadWindow::default())
    }

    /// Reads the sample after `h` into it; of a staleness marker no buckets.
    pub(super) fn read(&mut self, bits: &mut Bits<'_>, h: &mut FloatHistogram) {
        read(bits, &mut self.count, &mut h.count);
        read(bits, &mut self.zero_count, &mut h.zero_count);
        read(bits, &mut self.sum, &mut h.sum);
        if model::is_stale(h.sum) {
            return;
        }
        let positive = self.positive.iter_mut().zip(&mut h.positive);
        let negative = self.negative.iter_mut().zip(&mut h.negative);
        for (window, population) in positive.chain(negative) {
            read(bits, window, &mut population.1);
        }
    }

    /// As a writer that goes on needs it.
    pub(super) fn for_writer(self) -> Windows<Window> {
        let all = |windows: Vec<ReadWindow>| windows.into_iter().map(ReadWindow::for_writer).collect();
        Windows {
            count: self.count.for_writer(),
            zero_count: self.zero_count.for_writer(),
            sum: self.sum.for_writer(),
            positive: all(self.positive),
            negative: all(self.negative),
        }
    }
}

fn read(bits: &mut Bits<'_>, window: &mut ReadWindow, number: &mut f64) {
    let mut value = number.to_bits();
    window.read_value(bits, &mut value);
    *number = f64::from_bits(value);
}
