//! Counter resets between samples.

use super::arithmetic::{beyond, reduced};
use super::{CounterReset, FloatHistogram, Population, custom};

/// Whether any population is smaller than before.
fn fell(now: &[Population], before: &[Population]) -> bool {
    before.iter().any(|&(index, count)| match now.binary_search_by_key(&index, |p| p.0) {
        Ok(at) => now.get(at).is_some_and(|p| p.1 < count),
        Err(_) => count != 0.0,
    })
}

impl FloatHistogram {
    /// Whether the counter started anew between `previous` and this sample.
    #[must_use]
    pub fn is_reset_from(&self, previous: &FloatHistogram) -> bool {
        match self.reset {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        self.shows_reset_from(previous)
    }

    /// What a store knows about this sample once it is written behind `previous`: that there was no reset, if both fit
    /// into one chunk. Of a chunk's first sample it knows nothing, since the chunk before may be gone when it is read.
    #[must_use]
    pub fn stored_reset(&self, previous: Option<&FloatHistogram>) -> CounterReset {
        if self.reset == CounterReset::Gauge {
            return CounterReset::Gauge;
        }
        let continues = |previous: &FloatHistogram| {
            previous.reset != CounterReset::Gauge
                && self.reset != CounterReset::Reset
                && self.count >= previous.count
                && self.schema == previous.schema
                && self.zero_threshold == previous.zero_threshold
                && self.custom_values == previous.custom_values
                && self.zero_count >= previous.zero_count
                && !fell(&self.positive, &previous.positive)
                && !fell(&self.negative, &previous.negative)
        };
        if previous.is_some_and(continues) { CounterReset::NotReset } else { CounterReset::Unknown }
    }

    /// [`is_reset_from`](Self::is_reset_from) from the numbers alone.
    #[must_use]
    pub fn shows_reset_from(&self, previous: &FloatHistogram) -> bool {
        if self.count < previous.count {
            return true;
        }
        if self.has_custom_buckets() != previous.has_custom_buckets() {
            return self.has_custom_buckets() || self.schema > previous.schema;
        }
        if self.has_custom_buckets() {
            if self.custom_values == previous.custom_values {
                return fell(&self.positive, &previous.positive);
            }
            let common = custom::intersection(&self.custom_values, &previous.custom_values);
            return fell(
                &custom::mapped(&self.positive, &self.custom_values, &common),
                &custom::mapped(&previous.positive, &previous.custom_values, &common),
            );
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = previous.zero_bucket_up_to(self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let fell = |now: &[Population], before: &[Population]| {
            let before = reduced(before, previous.schema, self.schema);
            fell(beyond(now, self.schema, threshold), beyond(&before, self.schema, threshold))
        };
        fell(&self.positive, &previous.positive) || fell(&self.negative, &previous.negative)
    }
}
