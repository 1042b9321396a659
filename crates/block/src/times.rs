//! Whether a block can have the times that its `meta.json` says.
//!
//! That file has no checksum, and much hangs on these two numbers: which queries look into the block, and what the head
//! lets go of because a block has it. So they are compared with what else is known of them, and if that is not enough,
//! with the index.

use crate::Meta;
use crate::index::{Index, SeriesEntry};
use crate::mapped::Behind;

/// The length of the shortest blocks, unless the configuration says otherwise: they end at multiples of it.
const USUAL_RANGE: i64 = 2 * 3600 * 1000;

/// What is known about a block's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// No sample is older.
    pub(crate) begin: i64,
    /// All samples that came in order before this time are in the block or older.
    pub(crate) covered: i64,
    /// `meta.json` says something else than the index.
    pub(crate) wrong: Option<(i64, i64)>,
}

/// `index` is read only where `meta` cannot be trusted by itself.
pub(crate) fn of(meta: &Meta, index: &Index) -> Times {
    if let Some(begin) = plausible(meta) {
        return Times { begin, covered: meta.max_time, wrong: None };
    }
    let Meta { min_time, max_time, .. } = *meta;
    let Some((oldest, newest)) = read(index) else {
        return Times { begin: min_time, covered: max_time, wrong: None };
    };
    let end = newest.saturating_add(1);
    let wrong = (oldest < min_time || max_time < end).then_some((oldest, end));
    Times { begin: min_time.min(oldest), covered: end.min(max_time), wrong }
}

/// Where the times are what they should be, the time before which the block has no sample. No change of one digit is
/// taken for right, unless it moves the beginning within the range.
fn plausible(meta: &Meta) -> Option<i64> {
    let Meta { min_time, max_time, .. } = *meta;
    if has_parents(meta) {
        return (min_time < max_time && agrees_with_parents(meta)).then_some(min_time);
    }
    let range = min_time.saturating_sub(min_time.rem_euclid(USUAL_RANGE));
    (max_time.checked_sub(range) == Some(USUAL_RANGE)).then_some(range)
}

/// A block of samples out of order names a parent that is none.
fn has_parents(meta: &Meta) -> bool {
    meta.compaction.parents.iter().any(|parent| !parent.is_none())
}

/// A block that was made of others has their times.
fn agrees_with_parents(meta: &Meta) -> bool {
    let parents = &meta.compaction.parents;
    parents.iter().map(|parent| parent.min_time).min() == Some(meta.min_time)
        && parents.iter().map(|parent| parent.max_time).max() == Some(meta.max_time)
}

/// Times of the oldest and newest sample.
fn read(index: &Index) -> Option<(i64, i64)> {
    let mut entry = SeriesEntry::default();
    let (mut oldest, mut newest) = (i64::MAX, i64::MIN);
    let mut behind = Behind::from(index.toc().series);
    index.each_series(|number| {
        if index.series(number, &mut entry).is_ok() {
            oldest = entry.chunks.iter().fold(oldest, |oldest, chunk| oldest.min(chunk.min_time));
            newest = entry.chunks.iter().fold(newest, |newest, chunk| newest.max(chunk.max_time));
        }
        if let Some(entries) = behind.reached(index.place_of(number)) {
            index.give_back(entries);
        }
    });
    (oldest <= newest).then_some((oldest, newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Parent, Ulid};

    /// All numbers that differ from this one in a bit of their text.
    fn flipped(number: i64) -> Vec<i64> {
        let text = number.to_string();
        let each = (0..text.len() * 8).map(|bit| {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            String::from_utf8_lossy(&bytes).parse()
        });
        each.filter_map(Result::ok).collect()
    }

    #[test]
    fn no_flipped_bit_in_a_time_is_taken_for_right() {
        let end = 1_700_006_400_000;
        assert_eq!(end % USUAL_RANGE, 0);
        let cut = Meta::new(Ulid::new(end, 1), end - USUAL_RANGE + 12_345, end);
        let compacted = Meta::compacted(Ulid::new(end, 2), &[&cut]);
        let mut late = cut.clone();
        late.compaction.parents.push(Parent::none());
        for meta in [cut, compacted, late] {
            let begin = plausible(&meta).unwrap();
            assert!(begin <= meta.min_time);
            let (min_times, max_times) = (flipped(meta.min_time), flipped(meta.max_time));
            assert!(min_times.len() > 20 && max_times.len() > 20);
            for min_time in min_times {
                let found = plausible(&Meta { min_time, ..meta.clone() });
                assert!(found.is_none_or(|found| found == begin), "{min_time} for {}", meta.min_time);
            }
            for max_time in max_times {
                assert_eq!(plausible(&Meta { max_time, ..meta.clone() }), None, "{max_time} for {end}");
            }
        }
    }
}
