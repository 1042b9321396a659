//! Sorting as Go's `sort.Sort` does: a quicksort that defeats patterns, made of the same steps. Which of several equal
//! values comes first shows in the answers of `sort` and `topk`; so does what it makes of NaN, which has no place in an
//! order.

/// So few are sorted by insertion.
const FEW: usize = 12;
/// From so many on the pivot is a median of medians.
const MANY: usize = 50;
/// So often an almost sorted slice is mended before it is sorted after all.
const MENDINGS: usize = 5;

/// Sorts by `less`, which need not be an order.
pub(super) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = usize::BITS - items.len().leading_zeros();
    let end = items.len();
    Sorter { items, less }.quick(0, end, limit);
}

struct Sorter<'t, T, L> {
    items: &'t mut [T],
    less: L,
}

/// What the search for a pivot has shown.
#[derive(PartialEq)]
enum Looks {
    Ascending,
    Descending,
    Neither,
}

impl<T, L: Fn(&T, &T) -> bool> Sorter<'_, T, L> {
    fn less(&self, i: usize, j: usize) -> bool {
        match (self.items.get(i), self.items.get(j)) {
            (Some(a), Some(b)) => (self.less)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, i: usize, j: usize) {
        if i.max(j) < self.items.len() {
            self.items.swap(i, j);
        }
    }

    /// Sorts `a..b`; after `limit` bad pivots by a heap.
    fn quick(&mut self, mut a: usize, mut b: usize, mut limit: u32) {
        let (mut balanced, mut parted) = (true, true);
        loop {
            let len = b - a;
            if len <= FEW {
                return self.insert(a, b);
            }
            if limit == 0 {
                return self.heap(a, b);
            }
            if !balanced {
                self.break_patterns(a, b);
                limit -= 1;
            }
            let (mut pivot, mut looks) = self.pivot(a, b);
            if looks == Looks::Descending {
                if let Some(range) = self.items.get_mut(a..b) {
                    range.reverse();
                }
                pivot = b - 1 - (pivot - a);
                looks = Looks::Ascending;
            }
            if balanced && parted && looks == Looks::Ascending && self.mend(a, b) {
                return;
            }
            // The pivot is the least of what is here: what equals it is in its place.
            if a > 0 && !self.less(a - 1, pivot) {
                a = self.part_equal(a, b, pivot);
                continue;
            }
            let (middle, was_parted) = self.part(a, b, pivot);
            parted = was_parted;
            let (left, right) = (middle - a, b - middle);
            if left < right {
                balanced = left >= len / 8;
                self.quick(a, middle, limit);
                a = middle + 1;
            } else {
                balanced = right >= len / 8;
                self.quick(middle + 1, b, limit);
                b = middle;
            }
        }
    }

    fn insert(&mut self, a: usize, b: usize) {
        for i in a + 1..b {
            let mut j = i;
            while j > a && self.less(j, j - 1) {
                self.swap(j, j - 1);
                j -= 1;
            }
        }
    }

    fn heap(&mut self, a: usize, b: usize) {
        let len = b - a;
        for root in (0..=(len - 1) / 2).rev() {
            self.sift(a, root, len);
        }
        for end in (0..len).rev() {
            self.swap(a, a + end);
            self.sift(a, 0, end);
        }
    }

    /// Lets the item at `root` sink in the heap of `len` items from `a` on.
    fn sift(&mut self, a: usize, mut root: usize, len: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= len {
                return;
            }
            if child + 1 < len && self.less(a + child, a + child + 1) {
                child += 1;
            }
            if !self.less(a + root, a + child) {
                return;
            }
            self.swap(a + root, a + child);
            root = child;
        }
    }

    /// Puts what is less than the pivot before it; its place, and whether everything was in place already.
    fn part(&mut self, a: usize, b: usize, pivot: usize) -> (usize, bool) {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        let mut in_place = true;
        loop {
            while i <= j && self.less(i, a) {
                i += 1;
            }
            while i <= j && !self.less(j, a) {
                j -= 1;
            }
            if i > j {
                self.swap(j, a);
                return (j, in_place);
            }
            in_place = false;
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Puts what equals the pivot before what is greater; where that begins.
    fn part_equal(&mut self, a: usize, b: usize, pivot: usize) -> usize {
        self.swap(a, pivot);
        let (mut i, mut j) = (a + 1, b - 1);
        loop {
            while i <= j && !self.less(a, i) {
                i += 1;
            }
            while i <= j && self.less(a, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Puts a few items in place; whether everything is sorted then.
    fn mend(&mut self, a: usize, b: usize) -> bool {
        let mut i = a + 1;
        for _ in 0..MENDINGS {
            while i < b && !self.less(i, i - 1) {
                i += 1;
            }
            if i == b {
                return true;
            }
            if b - a < MANY {
                return false;
            }
            self.swap(i, i - 1);
            if i - a >= 2 {
                for j in (1..i).rev() {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
            if b - i >= 2 {
                for j in i + 1..b {
                    if !self.less(j, j - 1) {
                        break;
                    }
                    self.swap(j, j - 1);
                }
            }
        }
        false
    }

    /// Moves three items from the middle to places that depend on the length alone.
    fn break_patterns(&mut self, a: usize, b: usize) {
        let len = b - a;
        if len < 8 {
            return;
        }
        let mut random = len as u64;
        let mask = (1_u64 << (u64::BITS - random.leading_zeros())) - 1;
        let from = a + len / 4 * 2 - 1;
        for i in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut other = (random & mask) as usize;
            if other >= len {
                other -= len;
            }
            self.swap(from + i, a + other);
        }
    }

    fn pivot(&self, a: usize, b: usize) -> (usize, Looks) {
        const ALL_SWAPS: u32 = 4 * 3;
        let len = b - a;
        let mut swaps = 0;
        let [mut i, mut j, mut k] = [1, 2, 3].map(|quarter| a + len / 4 * quarter);
        if len >= MANY {
            for place in [&mut i, &mut j, &mut k] {
                *place = self.median([*place - 1, *place, *place + 1], &mut swaps);
            }
        }
        let pivot = self.median([i, j, k], &mut swaps);
        match swaps {
            0 => (pivot, Looks::Ascending),
            ALL_SWAPS => (pivot, Looks::Descending),
            _ => (pivot, Looks::Neither),
        }
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |a: &mut usize, b: &mut usize| {
            if self.less(*b, *a) {
                *swaps += 1;
                std::mem::swap(a, b);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 makes of sixteen items of which the last fifteen are equal.
    #[test]
    fn equal_items_come_in_the_order_that_go_gives_them() {
        let mut items: Vec<usize> = (0..16).collect();
        sort(&mut items, |&a, &b| a > 0 && b == 0);
        assert_eq!(items, [8, 9, 2, 3, 4, 5, 1, 6, 15, 7, 10, 11, 12, 13, 14, 0]);
    }

    #[test]
    fn everything_is_sorted_whatever_the_pattern() {
        let mut bits = 1u64;
        for len in [0, 1, 12, 13, 49, 50, 51, 500] {
            for pattern in 0..6 {
                let mut items: Vec<u64> = (0..len)
                    .map(|i| {
                        bits ^= bits << 13;
                        bits ^= bits >> 7;
                        bits ^= bits << 17;
                        match pattern {
                            0 => i,
                            1 => len - i,
                            2 => bits % 5,
                            3 => (i * 7) % 11 + i,
                            4 => {
                                if i % 17 == 0 {
                                    bits % 1000
                                } else {
                                    i
                                }
                            }
                            _ => bits,
                        }
                    })
                    .collect();
                let mut want = items.clone();
                want.sort_unstable();
                sort(&mut items, |a, b| a < b);
                assert_eq!(items, want, "{len} {pattern}");
            }
        }
    }
}
