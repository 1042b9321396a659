//! What start times say about counters: when the counting of a sample began, 0 where that is not known.

/// Whether a counter was reset between two samples, as their start times tell: the later one began to count after
/// the earlier one was taken. Where it began at that very time, the earlier one must have been counted from a time
/// before itself (as deltas are); otherwise that time is only when the series was first seen.
pub(crate) fn is_reset(before: (i64, i64), after: (i64, i64)) -> bool {
    let ((t_before, start_before), (t, start)) = (before, after);
    if start == 0 || start >= t || start < t_before {
        return false;
    }
    start > t_before || (start_before != 0 && start_before < t_before)
}

/// Whether a sample says that it was counted from before the one that precedes it, and yet not from where that was.
pub(crate) fn overlaps(before: (i64, i64), after: (i64, i64)) -> bool {
    let ((t_before, start_before), (_, start)) = (before, after);
    start != 0 && start < t_before && start != start_before
}

/// The start of a window's first sample, if a counter was zero within the window then.
pub(crate) fn zero_within(window_start: i64, (t, start): (i64, i64)) -> Option<i64> {
    (start != 0 && start > window_start && start < t).then_some(start)
}

/// Times and start times of samples; without start times nothing is known of any.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started<'a> {
    /// Of the samples.
    pub(crate) times: &'a [i64],
    /// As many, or none at all.
    pub(crate) starts: &'a [i64],
}

impl Started<'_> {
    fn at(&self, i: usize) -> Option<(i64, i64)> {
        Some((*self.times.get(i)?, *self.starts.get(i)?))
    }

    /// Whether sample `i` comes after a reset.
    pub(crate) fn is_reset(&self, i: usize) -> bool {
        i.checked_sub(1).and_then(|b| Some(is_reset(self.at(b)?, self.at(i)?))).unwrap_or(false)
    }

    /// Whether any of the samples `lo..hi` overlaps the one before it, which is one of them, too.
    pub(crate) fn any_overlaps(&self, lo: usize, hi: usize) -> bool {
        let overlap = |i: usize| Some(overlaps(self.at(i.checked_sub(1)?)?, self.at(i)?));
        !self.starts.is_empty() && (lo + 1..hi).any(|i| overlap(i).unwrap_or(false))
    }

    /// See [`zero_within`].
    pub(crate) fn zero_within(&self, window_start: i64, i: usize) -> Option<i64> {
        zero_within(window_start, self.at(i)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resets_are_told_by_start_times() {
        for (before, after, reset) in [
            ((60, 0), (120, 0), false),
            ((60, 0), (120, 61), true),
            ((60, 30), (120, 30), false),
            ((60, 30), (120, 60), true),
            ((60, 0), (120, 60), false),
            ((60, 60), (120, 60), false),
            ((60, 90), (120, 60), false),
            ((60, 30), (120, 120), false),
            ((60, 30), (120, 130), false),
        ] {
            assert_eq!(is_reset(before, after), reset, "{before:?} {after:?}");
        }
        assert!(overlaps((60, 30), (120, 40)));
        assert!(
            !overlaps((60, 30), (120, 30)) && !overlaps((60, 30), (120, 60)) && !overlaps((60, 30), (120, 0))
        );
    }
}
