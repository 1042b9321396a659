//! Label sets: immutable, sorted by name, one allocation, cheap to clone and hash.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";
/// The label that holds a metric's type, where that is a label.
pub const METRIC_TYPE: &str = "__type__";
/// The label that holds a metric's unit, where that is a label.
pub const METRIC_UNIT: &str = "__unit__";

/// Whether the label says what a metric is, rather than which of its series: such go where values get another meaning.
#[must_use]
pub fn describes_metric(name: &str) -> bool {
    matches!(name, METRIC_NAME | METRIC_TYPE | METRIC_UNIT)
}

/// A sorted set of label name and value pairs.
///
/// Stored as one shared string: each name and each value is preceded by its length. Lengths are written in
/// ASCII-range bytes (see [`push_len`]), so the whole buffer is valid UTF-8 and slicing it needs no `unsafe`.
/// Equal sets have equal buffers, so hashing and equality are over bytes. Labels with an empty value do not
/// exist (Prometheus: an empty value is the same as no label); the constructors drop them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels(Option<Arc<str>>);

/// Lengths below this take one byte; longer ones take this marker and five bytes of seven bits.
const LONG: u8 = 0x7f;

fn push_len(buf: &mut String, len: usize) {
    if len < LONG as usize {
        buf.push(len as u8 as char);
        return;
    }
    buf.push(LONG as char);
    for i in 0..5 {
        buf.push(((len >> (7 * i)) as u8 & 0x7f) as char);
    }
}

/// Reads a length-prefixed string from the front of `rest`; returns it and what follows.
fn split_text(rest: &str) -> (&str, &str) {
    let bytes = rest.as_bytes();
    let (len, at) = match bytes.first() {
        None => (0, 0),
        Some(&LONG) => {
            let len = bytes[1..6].iter().rev().fold(0usize, |len, &b| len << 7 | b as usize);
            (len, 6)
        }
        Some(&len) => (len as usize, 1),
    };
    rest[at..].split_at(len)
}

impl Labels {
    /// The empty set.
    #[must_use]
    pub const fn empty() -> Self {
        Labels(None)
    }

    /// Builds a set from pairs in any order. Of pairs with equal names the last one wins; empty values are dropped.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let mut refs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        refs.sort_by(|a, b| a.0.cmp(b.0)); // stable: the last of equal names stays last
        let mut kept: Vec<(&str, &str)> = Vec::with_capacity(refs.len());
        for pair in refs {
            match kept.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => kept.push(pair),
            }
        }
        Self::from_sorted(kept)
    }

    /// Builds a set from pairs that are already sorted by name and have distinct names. Empty values are dropped.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        // Most sets fit; growing step by step would cost more than a little too much for a moment.
        let mut builder = SortedLabels(String::with_capacity(256));
        pairs.into_iter().for_each(|(name, value)| builder.push(name, value));
        builder.take()
    }

    /// The pairs in order of name.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: self.0.as_deref().unwrap_or("") }
    }

    /// The value of label `name`, if the set has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The value of label `name`, or the empty string: what a matcher compares with.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The metric's name, if the set has one.
    #[must_use]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// Number of pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no pairs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes that equal sets share and others do not: for hashing by the caller's hash function. Not a
    /// format: never write them to disk.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or("").as_bytes()
    }

    /// The set with only the labels that `keep` accepts.
    #[must_use]
    pub fn filter(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self::from_sorted(self.iter().filter(|(n, _)| keep(n)))
    }

    /// The set without the metric name.
    #[must_use]
    pub fn without_metric_name(&self) -> Self {
        if self.metric_name().is_none() { self.clone() } else { self.filter(|n| n != METRIC_NAME) }
    }
}

/// Builds sets from sorted pairs, one set after the other in the same memory.
#[derive(Debug, Default)]
pub struct SortedLabels(String);

impl SortedLabels {
    /// Adds a pair whose name comes after those of the pairs before. Without a value it is left out.
    pub fn push(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        push_len(&mut self.0, name.len());
        self.0.push_str(name);
        push_len(&mut self.0, value.len());
        self.0.push_str(value);
    }

    /// The set of what was added; the next one begins empty.
    pub fn take(&mut self) -> Labels {
        let labels = Labels((!self.0.is_empty()).then(|| self.0.as_str().into()));
        self.0.clear();
        labels
    }
}

/// Iterator over the pairs of a [`Labels`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = split_text(self.rest);
        let (value, rest) = split_text(rest);
        self.rest = rest;
        Some((name, value))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self::from_pairs(pairs)
    }
}

/// Prometheus' order: pair by pair, name then value, bytewise; a prefix comes first.
impl Ord for Labels {
    /// Label sets that are sorted have much in common: what is equal byte by byte is passed over, and only the texts are
    /// compared that the first difference is in.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.as_bytes(), other.as_bytes());
        let common = common_prefix(mine, theirs);
        if common == mine.len() || common == theirs.len() {
            return mine.len().cmp(&theirs.len());
        }
        let mut at = 0;
        while let Some(text) = mine.get(at..) {
            let next = at + text_at(text);
            if next > common {
                return text_of(text).cmp(text_of(theirs.get(at..).unwrap_or_default()));
            }
            at = next;
        }
        Ordering::Equal
    }
}

/// How many bytes two sequences begin with alike.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STRIDE: usize = 16;
    let alike =
        a.chunks_exact(STRIDE).zip(b.chunks_exact(STRIDE)).take_while(|(a, b)| a == b).count() * STRIDE;
    let rest = a.iter().zip(b).skip(alike);
    alike + rest.take_while(|(a, b)| a == b).count()
}

/// How many bytes the length-prefixed text at the front takes.
fn text_at(bytes: &[u8]) -> usize {
    match bytes {
        [LONG, a, b, c, d, e, ..] => 6 + [e, d, c, b, a].iter().fold(0, |len, &&b| len << 7 | b as usize),
        [len, ..] => 1 + *len as usize,
        [] => 1,
    }
}

/// The length-prefixed text at the front, without its length.
fn text_of(bytes: &[u8]) -> &[u8] {
    let head = if bytes.first() == Some(&LONG) { 6 } else { 1 };
    bytes.get(head..text_at(bytes)).unwrap_or_default()
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `{a="1", b="2"}` with Go's quoting, metric name included as a label: Prometheus' `Labels.String()`.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&crate::number::quote(name))?;
            }
            write!(f, "={}", crate::number::quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: the label names of before UTF-8.
#[must_use]
pub fn is_legacy_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: the metric names of before UTF-8.
#[must_use]
pub fn is_legacy_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// Edits a label set: start from a base, set and delete labels, build.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    /// Sorted by name, no empty values.
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl LabelsBuilder {
    /// Starts from the labels of `base`.
    #[must_use]
    pub fn new(base: &Labels) -> Self {
        LabelsBuilder { pairs: base.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// Sets a label; an empty value deletes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| n.as_ref().cmp(name)) {
            Ok(i) if value.is_empty() => drop(self.pairs.remove(i)),
            Ok(i) => self.pairs[i].1 = value.into(),
            Err(_) if value.is_empty() => {}
            Err(i) => self.pairs.insert(i, (name.into(), value.into())),
        }
        self
    }

    /// Deletes a label.
    pub fn del(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// Keeps only the labels that `keep` accepts, given name and value.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.pairs.retain(|(n, v)| keep(n, v));
        self
    }

    /// The value of a label, or the empty string.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        match self.pairs.binary_search_by(|(n, _)| n.as_ref().cmp(name)) {
            Ok(i) => &self.pairs[i].1,
            Err(_) => "",
        }
    }

    /// The pairs in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }

    /// The finished set.
    #[must_use]
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_deduplicated_and_empty_values_dropped() {
        let l = Labels::from_pairs([("b", "2"), ("a", "0"), ("c", ""), ("a", "1")]);
        assert_eq!(l.iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(l.to_string(), r#"{a="1", b="2"}"#);
        assert_eq!(l, Labels::from_sorted([("a", "1"), ("b", "2")]));
    }

    #[test]
    fn long_names_and_values_survive() {
        for len in [0, 1, 126, 127, 128, 16_383, 16_384, 2_100_000] {
            let value = "é".repeat(len);
            let l = Labels::from_pairs([("x".repeat(len + 1), value.clone()), ("y".into(), "1".into())]);
            assert_eq!(l.value(&"x".repeat(len + 1)), value);
            assert_eq!(l.value("y"), "1");
        }
    }

    #[test]
    fn order_is_that_of_the_pairs_one_by_one() {
        let texts = ["a", "b", "ab", "a\u{1}", "b\u{7f}x", "é"].map(str::to_owned);
        let long = ["x".repeat(126), "x".repeat(127), "x".repeat(300), "x".repeat(299) + "y"];
        let texts: Vec<String> = texts.into_iter().chain(long).collect();
        let mut sets = vec![Labels::empty()];
        for first in &texts {
            for second in &texts {
                sets.push(Labels::from_pairs([("a", first), ("b", second)]));
                sets.push(Labels::from_pairs([
                    ("common", "x".repeat(200).as_str()),
                    ("n", first),
                    (second, "v"),
                ]));
                sets.push(Labels::from_pairs([(first, second)]));
            }
        }
        for a in &sets {
            for b in &sets {
                assert_eq!(a.cmp(b), a.iter().cmp(b.iter()), "{a} {b}");
            }
        }
    }

    #[test]
    fn order_is_by_pair_not_by_buffer() {
        let short = Labels::from_pairs([("a", "zz")]);
        let long = Labels::from_pairs([("a", "b".repeat(200))]);
        assert!(long < short);
        assert!(Labels::empty() < long);
    }

    #[test]
    fn builder_sets_replaces_and_deletes() {
        let mut b = LabelsBuilder::new(&Labels::from_pairs([("a", "1"), ("b", "2")]));
        b.set("c", "3").set("a", "9").del("b").del("nope");
        assert_eq!(b.build(), Labels::from_pairs([("a", "9"), ("c", "3")]));
        assert_eq!(b.value("a"), "9");
        assert_eq!(b.value("b"), "");
    }
}
