//! What is remembered of a target's last page: for each line, in order, how to recognise it and which series it is.
//!
//! Two columns of 8 bytes a line. A key holds the length of the line's series part (for a `#` line: of the line), two
//! flags and 46 bits of a hash that is seeded in each process, so that nobody can prepare two lines with one key:
//!
//! ```text
//! bit 0..16  length; 65535 stands for all longer ones and never matches without a look at the line
//! bit 16     the last sample had a timestamp of its own
//! bit 17     the page holds the same line before
//! bit 18..64 hash
//! ```
//!
//! Of an entry that is no line of text (a protobuf page's) the length bits are hash, too.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use exposition::MetricKind;
use storage::SeriesRef;

const LENGTH: u64 = 0xffff;
const STAMPED: u64 = 1 << 16;
const DUPLICATE: u64 = 1 << 17;
const FLAGS: u64 = STAMPED | DUPLICATE;

/// Length of a line's series part from which on the length is not kept.
pub(crate) const LONG: usize = LENGTH as usize;

/// Instead of a series: a `# TYPE` line.
pub(crate) const TYPE_LINE: u64 = u64::MAX;
/// Instead of a series: another `#` line.
pub(crate) const COMMENT_LINE: u64 = u64::MAX - 1;
/// Instead of a series: a line that metric relabelling drops.
pub(crate) const DROPPED: u64 = u64::MAX - 2;
/// Instead of a series: labels must be looked up (again).
pub(crate) const UNRESOLVED: u64 = u64::MAX - 3;
/// Values below this are handles of series.
pub(crate) const FIRST_MARK: u64 = UNRESOLVED;

/// Whether what stands instead of a series is the mark of a `#` line.
#[inline]
pub(crate) fn is_comment(series: u64) -> bool {
    series == TYPE_LINE || series == COMMENT_LINE
}

/// Makes keys; one for the whole process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys(foldhash::fast::RandomState);

impl Keys {
    /// The key of a line whose series part is `text`, without flags.
    #[inline]
    pub(crate) fn of(&self, text: &[u8]) -> u64 {
        self.hash(text) | text.len().min(LONG) as u64
    }

    /// The key of what is not a line: its length bits are hash, too.
    pub(crate) fn key(&self, write: impl FnOnce(&mut foldhash::fast::FoldHasher<'_>)) -> u64 {
        let mut hasher = self.0.build_hasher();
        write(&mut hasher);
        hasher.finish() & !FLAGS
    }

    /// What makes keys of lines differ by what is told about their metric, to be XORed with them.
    pub(crate) fn salt(&self, kind: MetricKind, unit: &str) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u8(kind as u8);
        hasher.write(unit.as_bytes());
        hasher.finish() & !(LENGTH | FLAGS)
    }

    #[inline]
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(text);
        hasher.finish() & !(LENGTH | FLAGS)
    }
}

/// Whether two keys are of the same line, whatever their flags.
#[inline]
pub(crate) fn same_line(a: u64, b: u64) -> bool {
    (a ^ b) & !FLAGS == 0
}

#[inline]
pub(crate) fn length(key: u64) -> usize {
    (key & LENGTH) as usize
}

#[inline]
pub(crate) fn is_stamped(key: u64) -> bool {
    key & STAMPED != 0
}

#[inline]
pub(crate) fn with_stamp(key: u64, stamped: bool) -> u64 {
    key & !STAMPED | if stamped { STAMPED } else { 0 }
}

#[inline]
pub(crate) fn is_duplicate(key: u64) -> bool {
    key & DUPLICATE != 0
}

#[inline]
pub(crate) fn as_duplicate(key: u64) -> u64 {
    key | DUPLICATE
}

/// The lines of a target's last good page.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) keys: Vec<u64>,
    /// A series' handle, or one of the marks above.
    pub(crate) series: Vec<u64>,
    /// Staleness markers have been written for all of it: the last scrape failed.
    pub(crate) ended: bool,
}

impl Layout {
    /// Series that get a staleness marker when their line is no longer there: those without timestamps of their own,
    /// and of the others those that `track_timestamps` says.
    pub(crate) fn mortal(
        &self,
        from: usize,
        track_timestamps: impl Fn(u64) -> bool,
    ) -> impl Iterator<Item = (usize, SeriesRef)> {
        let keys = self.keys.iter().zip(&self.series).enumerate().skip(from);
        keys.filter(move |(_, (key, series))| {
            **series < FIRST_MARK && (!is_stamped(**key) || track_timestamps(**series))
        })
        .map(|(i, (_, series))| (i, SeriesRef(*series)))
    }

    /// The lines that are no `#` lines: series' handles and marks.
    pub(crate) fn lines(&self) -> impl Iterator<Item = u64> {
        self.series.iter().copied().filter(|series| !is_comment(*series))
    }

    /// Takes new lines over, in memory of just their size.
    pub(crate) fn replace(&mut self, keys: &[u64], series: &[u64]) {
        fill(&mut self.keys, keys);
        fill(&mut self.series, series);
    }

    /// Series that the page has a second line of, without a timestamp of its own.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = u64> {
        let keys = self.keys.iter().zip(&self.series);
        keys.filter(|(key, _)| is_duplicate(**key) && !is_stamped(**key)).map(|(_, &series)| series)
    }

    /// Lets repeated lines be of the series that the first of their kind was found to be of.
    pub(crate) fn resolve_repeated(&mut self) {
        let unresolved = |(key, series): &(&u64, &u64)| is_duplicate(**key) && **series == UNRESOLVED;
        let all = self.keys.iter().zip(&self.series);
        let repeated: HashSet<u64> = all.clone().filter(unresolved).map(|(key, _)| key & !FLAGS).collect();
        if repeated.is_empty() {
            return;
        }
        let first = all.filter(|(key, series)| !is_duplicate(**key) && **series != UNRESOLVED);
        let first = first.map(|(key, series)| (key & !FLAGS, *series));
        let first: HashMap<u64, u64> = first.filter(|(key, _)| repeated.contains(key)).collect();
        for (key, series) in self.keys.iter().zip(&mut self.series) {
            if let (UNRESOLVED, Some(known)) = (*series, first.get(&(key & !FLAGS))) {
                *series = *known;
            }
        }
    }

    /// Keeps the first `len` lines.
    pub(crate) fn truncate(&mut self, len: usize) {
        for column in [&mut self.keys, &mut self.series] {
            column.truncate(len);
            if column.capacity() > 2 * len + 64 {
                column.shrink_to_fit();
            }
        }
    }

    /// Forgets the handles in `unknown`, which is sorted.
    pub(crate) fn unresolve(&mut self, unknown: &[u64]) {
        for series in &mut self.series {
            if unknown.binary_search(series).is_ok() {
                *series = UNRESOLVED;
            }
        }
    }
}

fn fill(to: &mut Vec<u64>, from: &[u64]) {
    to.clear();
    // A little slack spares a reallocation at each new line, without doubling what never grows.
    if to.capacity() < from.len() || to.capacity() > from.len() + from.len() / 8 + 64 {
        *to = Vec::with_capacity(from.len() + from.len() / 32);
    }
    to.extend_from_slice(from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_lines_apart_and_ignore_flags() {
        let keys = Keys::default();
        let key = keys.of(b"up{job=\"a\"}");
        assert_eq!(length(key), 11);
        assert!(same_line(with_stamp(as_duplicate(key), true), key));
        assert!(!same_line(keys.of(b"up{job=\"b\"}"), key));
        assert!(is_stamped(with_stamp(key, true)) && !is_stamped(with_stamp(with_stamp(key, true), false)));
        assert!(is_duplicate(as_duplicate(key)) && !is_duplicate(key));
        let (long, longer) = (vec![b'x'; LONG + 1], vec![b'x'; LONG + 2]);
        assert!(!same_line(keys.of(&long), keys.of(&longer)));
        assert_eq!(length(keys.of(&long)), LONG);
    }
}
