//! Ranges of time that were deleted.

/// A range of time; both ends are in it, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // as said
pub struct Interval {
    pub min_time: i64,
    pub max_time: i64,
}

impl Interval {
    /// Whether a time is in it.
    #[must_use]
    pub fn contains(self, t: i64) -> bool {
        self.min_time <= t && t <= self.max_time
    }

    /// Whether the two have a time in common.
    #[must_use]
    pub fn overlaps(self, min_time: i64, max_time: i64) -> bool {
        self.min_time <= max_time && min_time <= self.max_time
    }
}

/// Ranges in order of time that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// Adds a range, and makes one of it and those that it overlaps or touches: times are whole milliseconds, so 1–4
    /// and 5–9 are 1–9. A range that ends before it begins adds nothing.
    pub fn add(&mut self, new: Interval) {
        if new.min_time > new.max_time {
            return;
        }
        let first = self.0.partition_point(|i| i.max_time < new.min_time.saturating_sub(1));
        let behind = self.0.partition_point(|i| i.min_time <= new.max_time.saturating_add(1));
        let joined = self.0.get(first..behind).unwrap_or_default().iter().fold(new, |all, i| Interval {
            min_time: all.min_time.min(i.min_time),
            max_time: all.max_time.max(i.max_time),
        });
        self.0.splice(first..behind.max(first), [joined]);
    }

    /// Whether a time is in one of them.
    #[must_use]
    pub fn contains(&self, t: i64) -> bool {
        let at = self.0.partition_point(|i| i.max_time < t);
        self.0.get(at).is_some_and(|i| i.contains(t))
    }

    /// Whether all of a range (both ends inclusive) is in one of them.
    #[must_use]
    pub fn covers(&self, min_time: i64, max_time: i64) -> bool {
        self.0.iter().any(|i| i.contains(min_time) && i.contains(max_time))
    }

    /// Whether any time of a range (both ends inclusive) is in one of them.
    #[must_use]
    pub fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        self.0.iter().any(|i| i.overlaps(min_time, max_time))
    }

    /// Drops the ranges that end before a time.
    pub fn truncate_before(&mut self, time: i64) {
        self.0.retain(|i| i.max_time >= time);
    }

    /// In order of time.
    #[must_use]
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// In order of time.
    pub fn iter(&self) -> impl Iterator<Item = Interval> + '_ {
        self.0.iter().copied()
    }

    /// Number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(ranges: I) -> Self {
        let mut all = Intervals::default();
        ranges.into_iter().for_each(|range| all.add(range));
        all
    }
}

impl Extend<Interval> for Intervals {
    fn extend<I: IntoIterator<Item = Interval>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.add(range));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn intervals(ranges: &[(i64, i64)]) -> Intervals {
        ranges.iter().map(|&(min_time, max_time)| Interval { min_time, max_time }).collect()
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        type Ranges = [(i64, i64)];
        let cases: &[(&Ranges, &Ranges)] = &[
            (&[(1, 4), (5, 9)], &[(1, 9)]),
            (&[(1, 4), (6, 9)], &[(1, 4), (6, 9)]),
            (&[(6, 9), (1, 4)], &[(1, 4), (6, 9)]),
            (&[(1, 2), (4, 5), (7, 8), (3, 6)], &[(1, 8)]),
            (&[(1, 9), (3, 4)], &[(1, 9)]),
            (&[(5, 4)], &[]),
            (&[(i64::MIN, 0), (i64::MAX, i64::MAX)], &[(i64::MIN, 0), (i64::MAX, i64::MAX)]),
            (&[(3, 4), (i64::MIN, i64::MAX)], &[(i64::MIN, i64::MAX)]),
        ];
        for (ranges, want) in cases {
            let got: Vec<_> = intervals(ranges).iter().map(|i| (i.min_time, i.max_time)).collect();
            assert_eq!(got, *want, "{ranges:?}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_in_them_when_it_is_in_one_that_was_added(
            ranges in prop::collection::vec((0i64..60, 0i64..8), 0..12)
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(from, length)| (from, from + length)).collect();
            let all = intervals(&ranges);
            prop_assert!(all.as_slice().windows(2).all(|w| w[0].max_time + 1 < w[1].min_time));
            for t in -1..80 {
                let want = ranges.iter().any(|&(from, to)| from <= t && t <= to);
                prop_assert_eq!(all.contains(t), want);
                prop_assert_eq!(all.covers(t, t), want);
            }
        }
    }
}
