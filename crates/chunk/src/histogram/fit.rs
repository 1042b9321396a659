//! Whether a histogram goes together with a chunk, and what has to be done for it.

use model::histogram::{CUSTOM_BUCKETS, CounterReset, HistogramValue};

use super::buckets;

/// How the buckets of the next sample relate to those of the chunk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fit {
    pub(super) positive: Difference,
    pub(super) negative: Difference,
}

/// The same on one side of zero.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Difference {
    pub(super) chunk_lacks: bool,
    pub(super) sample_lacks: bool,
}

impl Fit {
    /// Whether the sample has buckets that the chunk does not have.
    pub(super) fn chunk_lacks(self) -> bool {
        self.positive.chunk_lacks || self.negative.chunk_lacks
    }

    /// Whether the chunk has buckets that the sample does not have.
    pub(super) fn sample_lacks(self) -> bool {
        self.positive.sample_lacks || self.negative.sample_lacks
    }
}

/// Compares the next sample with a chunk's last one. The error is what the header of a chunk that has to begin with
/// the sample says.
///
/// Prometheus' rules: a counter goes on in a chunk if schema, zero threshold and custom bounds are the same and nothing
/// fell; a gauge if the first three are. Staleness markers go anywhere, and nothing but more of them follows one.
pub(super) fn fit(
    chunk: CounterReset,
    last: &HistogramValue,
    next: &HistogramValue,
) -> Result<Fit, CounterReset> {
    let counter = next.reset() != CounterReset::Gauge;
    match (last, next) {
        (HistogramValue::Integer(last), HistogramValue::Integer(next)) => {
            let change = Change {
                reset: next.reset,
                was_stale: model::is_stale(last.sum),
                is_stale: model::is_stale(next.sum),
                count_fell: next.count < last.count,
                zero_count_fell: next.zero_count < last.zero_count,
                scale: next.schema != last.schema || next.zero_threshold != last.zero_threshold,
                bounds: next.schema == CUSTOM_BUCKETS && next.custom_values != last.custom_values,
            };
            if change.is_compatible(chunk, CounterReset::NotReset)? == Compare::Nothing {
                return Ok(Fit::default());
            }
            let side = |last_spans, last_deltas, spans, deltas| {
                let last = buckets::counts(last_spans, last_deltas);
                compare(last, buckets::counts(spans, deltas), counter).ok_or(CounterReset::Reset)
            };
            Ok(Fit {
                positive: side(
                    &last.positive_spans,
                    &last.positive_deltas,
                    &next.positive_spans,
                    &next.positive_deltas,
                )?,
                negative: side(
                    &last.negative_spans,
                    &last.negative_deltas,
                    &next.negative_spans,
                    &next.negative_deltas,
                )?,
            })
        }
        (HistogramValue::Float(last), HistogramValue::Float(next)) => {
            let change = Change {
                reset: next.reset,
                was_stale: model::is_stale(last.sum),
                is_stale: model::is_stale(next.sum),
                count_fell: next.count < last.count,
                zero_count_fell: next.zero_count < last.zero_count,
                scale: next.schema != last.schema || next.zero_threshold != last.zero_threshold,
                bounds: next.schema == CUSTOM_BUCKETS && next.custom_values != last.custom_values,
            };
            if change.is_compatible(chunk, CounterReset::Unknown)? == Compare::Nothing {
                return Ok(Fit::default());
            }
            let side = |last: &[(i32, f64)], next: &[(i32, f64)]| {
                compare(last.iter().copied(), next.iter().copied(), counter).ok_or(CounterReset::Reset)
            };
            Ok(Fit {
                positive: side(&last.positive, &next.positive)?,
                negative: side(&last.negative, &next.negative)?,
            })
        }
        _ => Err(CounterReset::Unknown),
    }
}

/// What differs between two samples besides their buckets.
struct Change {
    /// What the next one says about itself.
    reset: CounterReset,
    was_stale: bool,
    is_stale: bool,
    count_fell: bool,
    zero_count_fell: bool,
    /// Schema or zero threshold.
    scale: bool,
    /// Custom ones.
    bounds: bool,
}

#[derive(PartialEq)]
enum Compare {
    Buckets,
    Nothing,
}

impl Change {
    /// `after_gauge` is what the header says of a counter that follows gauges.
    fn is_compatible(&self, chunk: CounterReset, after_gauge: CounterReset) -> Result<Compare, CounterReset> {
        if self.reset == CounterReset::Gauge {
            let stale = chunk == CounterReset::Gauge && self.is_stale;
            return match stale {
                true => Ok(Compare::Nothing),
                false if chunk != CounterReset::Gauge || self.was_stale || self.scale || self.bounds => {
                    Err(CounterReset::Gauge)
                }
                false => Ok(Compare::Buckets),
            };
        }
        if chunk == CounterReset::Gauge {
            return Err(after_gauge);
        }
        // In Prometheus' order, which decides what the header says where several hold.
        if self.reset == CounterReset::Reset {
            return Err(CounterReset::Reset);
        }
        if self.is_stale {
            return Ok(Compare::Nothing);
        }
        if self.was_stale {
            return Err(CounterReset::Unknown);
        }
        if self.count_fell {
            return Err(CounterReset::Reset);
        }
        if self.scale {
            return Err(CounterReset::Unknown);
        }
        if self.bounds || self.zero_count_fell {
            return Err(CounterReset::Reset);
        }
        Ok(Compare::Buckets)
    }
}

/// Walks two lists of buckets side by side; `None` when a counter fell, or lost a bucket that was in use.
fn compare<C: Copy + Default + PartialOrd>(
    last: impl Iterator<Item = (i32, C)>,
    next: impl Iterator<Item = (i32, C)>,
    counter: bool,
) -> Option<Difference> {
    let (mut last, mut next) = (last.peekable(), next.peekable());
    let mut difference = Difference::default();
    loop {
        let (a, b) = (last.peek().copied(), next.peek().copied());
        let in_last_first = match (a, b) {
            (None, None) => return Some(difference),
            (Some((i, was)), Some((j, is))) if i == j => {
                if counter && was > is {
                    return None;
                }
                last.next();
                next.next();
                continue;
            }
            (Some((i, _)), Some((j, _))) => i < j,
            (a, None) => a.is_some(),
            (None, Some(_)) => false,
        };
        if in_last_first {
            if counter && a.is_some_and(|(_, was)| was != C::default()) {
                return None;
            }
            difference.sample_lacks = true;
            last.next();
        } else {
            difference.chunk_lacks = true;
            next.next();
        }
    }
}
