//! Ascending lists of series ids, as runs.
//!
//! The series of a target get consecutive ids, so a label that the whole target shares (`job`, `instance`, `node`)
//! is one run and costs nothing per series. The last run is kept apart and grows in place; the ones before are
//! variable-length numbers, with an index entry every [`STRIDE`] runs to skip by.

/// Runs between two entries of the skip index.
const STRIDE: u32 = 64;

#[derive(Debug, Clone, Copy)]
struct Skip {
    /// Last id before the run at `at`.
    before: u32,
    at: u32,
}

/// A list of ids. Ids are appended in ascending order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Postings {
    count: u32,
    /// The last run, inclusive. Empty list: 0 and 0.
    start: u32,
    end: u32,
    /// Last id of the runs in `closed`.
    closed_end: u32,
    /// Per run: gap to the run before (at least 1), times two, plus one if the run is longer than one id; then its
    /// length less two.
    closed: Option<Box<Closed>>,
}

#[derive(Debug, Default, Clone)]
struct Closed {
    bytes: Vec<u8>,
    skips: Vec<Skip>,
    runs: u32,
}

fn put(bytes: &mut Vec<u8>, mut x: u64) {
    if bytes.capacity() - bytes.len() < 10 {
        // Growth by a sixteenth: there are many lists, and doubling them would waste half as much again.
        bytes.reserve_exact(10.max(bytes.len() / 16));
    }
    while x >= 0x80 {
        bytes.push(x as u8 | 0x80);
        x >>= 7;
    }
    bytes.push(x as u8);
}

#[inline]
fn get(bytes: &[u8], at: &mut usize) -> u64 {
    let (mut x, mut shift) = (0, 0);
    while let Some(&b) = bytes.get(*at) {
        *at += 1;
        x |= u64::from(b & 0x7f) << shift;
        if b < 0x80 {
            break;
        }
        shift += 7;
    }
    x
}

impl Postings {
    /// Appends an id greater than all others.
    pub(crate) fn push(&mut self, id: u32) {
        debug_assert!(self.count == 0 || id > self.end);
        self.count += 1;
        if self.count > 1 && id == self.end + 1 {
            self.end = id;
            return;
        }
        if self.count > 1 {
            let closed = self.closed.get_or_insert_default();
            if closed.runs > 0 && closed.runs.is_multiple_of(STRIDE) {
                closed.skips.push(Skip { before: self.closed_end, at: closed.bytes.len() as u32 });
            }
            closed.runs += 1;
            let (gap, len) = (self.start - self.closed_end, self.end - self.start + 1);
            put(&mut closed.bytes, u64::from(gap) << 1 | u64::from(len > 1));
            if len > 1 {
                put(&mut closed.bytes, (len - 2).into());
            }
            self.closed_end = self.end;
        }
        self.start = id;
        self.end = id;
    }

    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    pub(crate) fn runs(&self) -> Runs<'_> {
        Runs { list: self, at: 0, before: 0, last_done: self.count == 0 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs().flat_map(|(start, end)| start..=end)
    }

    /// Takes out the ids that `gone` names.
    pub(crate) fn remove(&mut self, gone: impl Fn(u32) -> bool) {
        let mut kept = Postings::default();
        self.iter().filter(|&id| !gone(id)).for_each(|id| kept.push(id));
        *self = kept;
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        self.closed
            .as_ref()
            .map_or(0, |c| size_of::<Closed>() + c.bytes.capacity() + c.skips.capacity() * size_of::<Skip>())
    }
}

impl FromIterator<u32> for Postings {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        let mut list = Postings::default();
        ids.into_iter().for_each(|id| list.push(id));
        list
    }
}

/// The runs of a list, as first and last id, in order.
pub(crate) struct Runs<'a> {
    list: &'a Postings,
    at: usize,
    /// Last id of the runs already delivered.
    before: u32,
    last_done: bool,
}

impl Runs<'_> {
    /// Moves on so that the next run is the first one that ends at `id` or later, or an earlier one.
    fn skip_to(&mut self, id: u32) {
        let Some(closed) = self.list.closed.as_deref() else { return };
        if closed.skips.is_empty() {
            return;
        }
        let entry = closed.skips.partition_point(|skip| skip.before < id);
        if let Some(skip) = entry.checked_sub(1).and_then(|i| closed.skips.get(i))
            && skip.at as usize > self.at
        {
            self.at = skip.at as usize;
            self.before = skip.before;
        }
    }
}

impl Iterator for Runs<'_> {
    type Item = (u32, u32);

    #[inline]
    fn next(&mut self) -> Option<(u32, u32)> {
        if let Some(closed) = self.list.closed.as_deref()
            && self.at < closed.bytes.len()
        {
            let head = get(&closed.bytes, &mut self.at);
            let start = self.before + (head >> 1) as u32;
            let more = if head & 1 == 1 { get(&closed.bytes, &mut self.at) as u32 + 1 } else { 0 };
            self.before = start + more;
            return Some((start, self.before));
        }
        if std::mem::replace(&mut self.last_done, true) {
            None
        } else {
            Some((self.list.start, self.list.end))
        }
    }
}

/// A set of ids in ascending order, as runs that do not touch.
pub(crate) type RunSet = Vec<(u32, u32)>;

/// The ids in both.
pub(crate) fn intersect(set: &RunSet, list: &Postings) -> RunSet {
    let mut out = RunSet::new();
    let mut runs = list.runs();
    let mut current = runs.next();
    for &(start, end) in set {
        while let Some((s, e)) = current {
            if e < start {
                runs.skip_to(start);
                current = runs.next();
                continue;
            }
            if s > end {
                break;
            }
            out.push((s.max(start), e.min(end)));
            if e > end {
                break;
            }
            current = runs.next();
        }
        if current.is_none() {
            break;
        }
    }
    out
}

/// The ids in both, of two sets.
pub(crate) fn intersect_sets(a: &RunSet, b: &RunSet) -> RunSet {
    let mut out = RunSet::new();
    let mut i = 0;
    for &(start, end) in a {
        while let Some(&(s, e)) = b.get(i) {
            if s > end {
                break;
            }
            if e >= start {
                out.push((s.max(start), e.min(end)));
            }
            if e > end {
                break;
            }
            i += 1;
        }
    }
    out
}

/// The ids of `a` that are not in `b`.
pub(crate) fn subtract(a: &RunSet, b: &RunSet) -> RunSet {
    let mut out = RunSet::new();
    let mut i = 0;
    for &(mut start, end) in a {
        while let Some(&(s, e)) = b.get(i) {
            if e < start {
                i += 1;
                continue;
            }
            if s > end {
                break;
            }
            if s > start {
                out.push((start, s - 1));
            }
            if e >= end {
                start = end + 1;
                break;
            }
            start = e + 1;
            i += 1;
        }
        if start <= end {
            out.push((start, end));
        }
    }
    out
}

/// The ids in any of the lists.
pub(crate) fn union<'a>(lists: impl IntoIterator<Item = &'a Postings>) -> RunSet {
    let mut all: RunSet = Vec::new();
    let mut sorted = true;
    for list in lists {
        for run in list.runs() {
            sorted &= all.last().is_none_or(|last| last.0 <= run.0);
            all.push(run);
        }
    }
    if !sorted {
        all.sort_unstable();
    }
    let mut out = RunSet::with_capacity(all.len());
    for (start, end) in all {
        match out.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => out.push((start, end)),
        }
    }
    out
}

pub(crate) fn count(set: &RunSet) -> usize {
    set.iter().map(|&(start, end)| (end - start) as usize + 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Ids in bursts, as targets create them.
    fn ids() -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::vec((1u32..60_000, 1u32..30), 0..300)
            .prop_map(|runs| runs.into_iter().flat_map(|(start, len)| start..start + len).collect())
    }

    fn expand(set: &RunSet) -> Vec<u32> {
        set.iter().flat_map(|&(s, e)| s..=e).collect()
    }

    fn set_of(ids: &BTreeSet<u32>) -> RunSet {
        union([&ids.iter().copied().collect::<Postings>()])
    }

    proptest! {
        #[test]
        fn lists_give_back_their_ids(a in ids(), gone in ids()) {
            let mut list: Postings = a.iter().copied().collect();
            prop_assert_eq!(list.len() as usize, a.len());
            prop_assert!(list.iter().eq(a.iter().copied()));
            list.remove(|id| gone.contains(&id));
            prop_assert!(list.iter().eq(a.difference(&gone).copied()));
        }

        #[test]
        fn set_operations_agree_with_sets(a in ids(), b in ids(), c in ids()) {
            let (sa, sb) = (set_of(&a), set_of(&b));
            let lb: Postings = b.iter().copied().collect();
            let lc: Postings = c.iter().copied().collect();
            let both: Vec<u32> = a.intersection(&b).copied().collect();
            prop_assert_eq!(&expand(&intersect(&sa, &lb)), &both);
            prop_assert_eq!(&expand(&intersect_sets(&sa, &sb)), &both);
            prop_assert_eq!(count(&intersect_sets(&sa, &sb)), both.len());
            prop_assert_eq!(expand(&subtract(&sa, &sb)), a.difference(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(expand(&union([&lb, &lc])), b.union(&c).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_run_takes_no_heap() {
        let list: Postings = (5..1_000_000).collect();
        assert_eq!(list.heap(), 0);
    }
}
