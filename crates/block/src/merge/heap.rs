//! The heap from which series, chunks and samples are taken.
//!
//! Which of two samples with the same time is left follows from the order in which equal elements come from Prometheus'
//! heaps, so this one moves its elements in the same way.

/// A binary heap, the least at the front; of equal elements that comes first which the usual moves bring there.
pub(super) struct Heap<T>(Vec<T>);

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Heap(Vec::new())
    }
}

impl<T> Heap<T> {
    pub(super) fn first(&self) -> Option<&T> {
        self.0.first()
    }

    pub(super) fn push(&mut self, element: T, before: impl Fn(&T, &T) -> bool) {
        self.0.push(element);
        let mut at = self.0.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.before(at, parent, &before) {
                break;
            }
            self.0.swap(at, parent);
            at = parent;
        }
    }

    pub(super) fn pop(&mut self, before: impl Fn(&T, &T) -> bool) -> Option<T> {
        let last = self.0.len().checked_sub(1)?;
        self.0.swap(0, last);
        let least = self.0.pop();
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= last {
                break;
            }
            let child = if right < last && self.before(right, left, &before) { right } else { left };
            if !self.before(child, at, &before) {
                break;
            }
            self.0.swap(at, child);
            at = child;
        }
        least
    }

    fn before(&self, a: usize, b: usize, before: impl Fn(&T, &T) -> bool) -> bool {
        matches!((self.0.get(a), self.0.get(b)), (Some(a), Some(b)) if before(a, b))
    }
}
