//! Which buckets spans name, and counts that follow them.

use model::histogram::Span;

/// How many buckets there are; `None` when they are not in order, or further out than an index reaches.
pub(super) fn count(spans: &[Span]) -> Option<u64> {
    let (mut next, mut total) = (0_i64, 0_u64);
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            return None;
        }
        next += i64::from(span.offset) + i64::from(span.length);
        total += u64::from(span.length);
        if next > i32::MAX.into() {
            return None;
        }
    }
    Some(total)
}

/// The buckets' indices.
pub(super) fn indices(spans: &[Span]) -> impl Iterator<Item = i32> {
    let starts = spans.iter().scan(0_i32, |next, span| {
        let start = next.wrapping_add(span.offset);
        *next = start.wrapping_add_unsigned(span.length);
        Some((start, span.length))
    });
    starts.flat_map(|(start, length)| (0..length).map(move |i| start.wrapping_add_unsigned(i)))
}

/// Buckets with their counts, from the differences of each count to the one before.
pub(super) fn counts(spans: &[Span], deltas: &[i64]) -> impl Iterator<Item = (i32, i64)> {
    let running = deltas.iter().scan(0_i64, |count, &delta| {
        *count = count.wrapping_add(delta);
        Some(*count)
    });
    indices(spans).zip(running)
}

/// Spans of buckets in order of their indices.
pub(super) fn spans(indices: impl Iterator<Item = i32>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut next = 0;
    for index in indices {
        match out.last_mut() {
            Some(last) if index == next => last.length += 1,
            _ => out.push(Span { offset: index.wrapping_sub(next), length: 1 }),
        }
        next = index.wrapping_add(1);
    }
    out
}

/// The differences of each count to the one before.
pub(super) fn deltas(counts: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut before = 0_i64;
    let differences = counts.map(|count| {
        let delta = count.wrapping_sub(before);
        before = count;
        delta
    });
    differences.collect()
}

/// The counts of `buckets` at `indices`, which name all of them and more; 0 where there is no bucket.
pub(super) fn spread<C: Default>(
    buckets: impl Iterator<Item = (i32, C)>,
    indices: impl Iterator<Item = i32>,
) -> impl Iterator<Item = (i32, C)> {
    let mut buckets = buckets.peekable();
    indices.map(move |index| {
        let count = buckets.next_if(|bucket| bucket.0 == index).map_or_else(C::default, |bucket| bucket.1);
        (index, count)
    })
}

/// All indices of both, in order.
pub(super) fn union(a: impl Iterator<Item = i32>, b: impl Iterator<Item = i32>) -> impl Iterator<Item = i32> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || {
        let index = match (a.peek(), b.peek()) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&x), None) | (None, Some(&x)) => x,
            (None, None) => return None,
        };
        a.next_if_eq(&index);
        b.next_if_eq(&index);
        Some(index)
    })
}
