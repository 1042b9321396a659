//! What is done to histograms with integer populations before they are stored.

use super::{CUSTOM_BUCKETS, IntegerHistogram, Span};

/// Index and population.
type Bucket = (i32, i64);

impl IntegerHistogram {
    /// Number of buckets that are written, empty ones among them.
    #[must_use]
    pub fn bucket_count(&self) -> usize {
        self.positive_deltas.len() + self.negative_deltas.len()
    }

    /// Removes empty buckets, but keeps runs of up to `kept` of them between others: they cost less than another span.
    pub fn compact(&mut self, kept: usize) {
        for (spans, deltas) in [
            (&mut self.positive_spans, &mut self.positive_deltas),
            (&mut self.negative_spans, &mut self.negative_deltas),
        ] {
            if spans.is_empty() && deltas.is_empty() {
                continue;
            }
            let buckets = decode(spans, deltas);
            (*spans, *deltas) = encode(&buckets, kept);
        }
    }

    /// Puts the populations into the buckets of a schema, if that is coarser.
    pub fn reduce_schema(&mut self, schema: i32) {
        if schema >= self.schema || self.schema == CUSTOM_BUCKETS {
            return;
        }
        let shift = (i64::from(self.schema) - i64::from(schema)).min(31) as u32;
        for (spans, deltas) in [
            (&mut self.positive_spans, &mut self.positive_deltas),
            (&mut self.negative_spans, &mut self.negative_deltas),
        ] {
            let mut coarse: Vec<Bucket> = Vec::new();
            for (index, count) in decode(spans, deltas) {
                let index = (index.wrapping_sub(1) >> shift).wrapping_add(1);
                match coarse.last_mut() {
                    Some(last) if last.0 == index => last.1 = last.1.wrapping_add(count),
                    _ => coarse.push((index, count)),
                }
            }
            (*spans, *deltas) = encode(&coarse, 0);
        }
        self.schema = schema;
    }
}

/// The buckets that are not empty.
fn decode(spans: &[Span], deltas: &[i64]) -> Vec<Bucket> {
    let mut out = Vec::with_capacity(deltas.len());
    let mut deltas = deltas.iter();
    let (mut index, mut count) = (0i32, 0i64);
    for span in spans {
        index = index.wrapping_add(span.offset);
        for _ in 0..span.length {
            let Some(delta) = deltas.next() else { return out };
            count = count.wrapping_add(*delta);
            if count != 0 {
                out.push((index, count));
            }
            index = index.wrapping_add(1);
        }
    }
    out
}

fn encode(buckets: &[Bucket], kept: usize) -> (Vec<Span>, Vec<i64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut deltas = Vec::with_capacity(buckets.len());
    let (mut next, mut before) = (0i32, 0i64);
    for &(index, count) in buckets {
        let gap = i64::from(index) - i64::from(next);
        match spans.last_mut() {
            Some(last) if (0..=kept as i64).contains(&gap) => {
                for _ in 0..gap {
                    deltas.push(before.wrapping_neg());
                    before = 0;
                }
                last.length += gap as u32 + 1;
            }
            _ => spans.push(Span { offset: index.wrapping_sub(next), length: 1 }),
        }
        deltas.push(count.wrapping_sub(before));
        before = count;
        next = index.wrapping_add(1);
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FloatHistogram;

    fn histogram(spans: &[(i32, u32)], deltas: &[i64]) -> IntegerHistogram {
        IntegerHistogram {
            schema: 2,
            positive_spans: spans.iter().map(|&(offset, length)| Span { offset, length }).collect(),
            positive_deltas: deltas.to_vec(),
            ..IntegerHistogram::default()
        }
    }

    #[test]
    fn empty_buckets_go_and_short_gaps_may_stay() {
        // Populations 0 1 0 0 2 at 3 to 7, and 3 at 12.
        let from = histogram(&[(3, 5), (4, 1)], &[0, 1, -1, 0, 2, 1]);
        let mut tight = from.clone();
        tight.compact(0);
        assert_eq!(tight, histogram(&[(4, 1), (2, 1), (4, 1)], &[1, 1, 1]));
        let mut loose = from;
        loose.compact(2);
        assert_eq!(loose, histogram(&[(4, 4), (4, 1)], &[1, -1, 0, 2, 1]));
        let mut nothing = histogram(&[(3, 2)], &[0, 0]);
        nothing.compact(0);
        assert_eq!(nothing, histogram(&[], &[]));
    }

    #[test]
    fn a_coarser_schema_is_that_of_the_float_histogram() {
        let from = histogram(&[(-3, 2), (2, 4)], &[1, 1, 3, -2, 4, -1]);
        for schema in [2, 1, 0, -4] {
            let (mut integer, mut float) = (from.clone(), FloatHistogram::from(&from));
            integer.reduce_schema(schema);
            float.reduce_schema(schema);
            assert_eq!(FloatHistogram::from(&integer), float, "{schema}");
        }
    }
}
