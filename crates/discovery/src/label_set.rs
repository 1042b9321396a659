//! Labels of groups and targets, in little memory.
//!
//! Discovered labels have long names that repeat: thirty thousand pods of a cluster have some dozens of different lists of
//! names among them. So a [`LabelSet`] holds its values and points to its list of names, and a [`LabelParts`] is made of
//! sets that others hold too: a target behind a service points to the labels of its pod, of its node and of the service
//! instead of repeating them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashSet};
use model::Labels;
use parking_lot::Mutex;

/// Label names, sorted.
#[derive(PartialEq, Eq)]
struct Names(Box<[Arc<str>]>);

impl Hash for Names {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for name in &self.0 {
            name.hash(state);
        }
    }
}

/// Names that are looked for.
struct Wanted<'a>(&'a [&'a str]);

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for name in self.0 {
            name.hash(state);
        }
    }
}

impl Equivalent<Arc<Names>> for Wanted<'_> {
    fn equivalent(&self, key: &Arc<Names>) -> bool {
        key.0.len() == self.0.len() && key.0.iter().zip(self.0).all(|(a, b)| **a == **b)
    }
}

/// Lists of names in use, each once. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct NameLists(Arc<Mutex<Lists>>);

#[derive(Default)]
struct Lists {
    lists: HashSet<Arc<Names>, RandomState>,
    names: HashSet<Arc<str>, RandomState>,
    /// Values of sets that many have.
    values: HashSet<Arc<[u8]>, RandomState>,
    /// As `sweep_at`, for these.
    sweep_values_at: usize,
    /// How many lists there may be before those that nobody uses are looked for.
    sweep_at: usize,
}

/// Lists below this number are never swept.
const FEW: usize = 1024;

impl NameLists {
    fn list(&self, names: &[&str]) -> Arc<Names> {
        let mut state = self.0.lock();
        if let Some(known) = state.lists.get(&Wanted(names)) {
            return known.clone();
        }
        if state.lists.len() >= state.sweep_at.max(FEW) {
            state.lists.retain(|list| Arc::strong_count(list) > 1);
            state.names.retain(|name| Arc::strong_count(name) > 1);
            state.sweep_at = state.lists.len() * 2;
        }
        let names = names
            .iter()
            .map(|name| {
                if let Some(known) = state.names.get(*name) {
                    return known.clone();
                }
                let name: Arc<str> = Arc::from(*name);
                state.names.insert(name.clone());
                name
            })
            .collect();
        let list = Arc::new(Names(names));
        state.lists.insert(list.clone());
        list
    }

    fn values(&self, values: &[u8]) -> Arc<[u8]> {
        let mut state = self.0.lock();
        if let Some(known) = state.values.get(values) {
            return known.clone();
        }
        if state.values.len() >= state.sweep_values_at.max(FEW) {
            state.values.retain(|values| Arc::strong_count(values) > 1);
            state.sweep_values_at = state.values.len() * 2;
        }
        let values: Arc<[u8]> = values.into();
        state.values.insert(values.clone());
        values
    }
}

/// Labels with distinct names and no empty values, sorted by name. Cheap to clone.
#[derive(Clone)]
pub struct LabelSet {
    names: Arc<Names>,
    /// Each value with its length in front (LEB128); 0 stands for [`TRUE`].
    values: Arc<[u8]>,
}

impl LabelSet {
    /// The pairs in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.values;
        self.names.0.iter().map(move |name| (&**name, take_value(&mut rest)))
    }

    /// The value of `name`, or nothing.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values && (Arc::ptr_eq(&self.names, &other.names) || self.names == other.names)
    }
}

impl Eq for LabelSet {}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl From<&Labels> for LabelSet {
    fn from(labels: &Labels) -> Self {
        let mut values = Vec::new();
        labels.iter().for_each(|(_, value)| push_value(&mut values, value));
        let names = labels.iter().map(|(name, _)| Arc::from(name)).collect();
        LabelSet { names: Arc::new(Names(names)), values: values.into() }
    }
}

/// Half of all discovered labels say that something is present; empty values do not exist, so their length is free.
const TRUE: &str = "true";

fn push_value(values: &mut Vec<u8>, value: &str) {
    if value == TRUE {
        values.push(0);
        return;
    }
    let mut len = value.len();
    while len >= 0x80 {
        values.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    values.push(len as u8);
    values.extend_from_slice(value.as_bytes());
}

fn take_value<'a>(rest: &mut &'a [u8]) -> &'a str {
    let (mut len, mut shift) = (0, 0);
    while let Some((&byte, after)) = rest.split_first() {
        *rest = after;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if len == 0 {
        return TRUE;
    }
    let (value, after) = rest.split_at_checked(len).unwrap_or_default();
    *rest = after;
    std::str::from_utf8(value).unwrap_or_default()
}

/// Labels that are put together from sets. Where two sets have the same name, the later one's value counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelParts(Parts);

/// Most targets have one set of their own: that one needs no memory besides.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Parts {
    One(LabelSet),
    Many(Box<[LabelSet]>),
}

impl Default for LabelParts {
    fn default() -> Self {
        LabelParts(Parts::Many(Box::default()))
    }
}

impl LabelParts {
    fn sets(&self) -> &[LabelSet] {
        match &self.0 {
            Parts::One(set) => std::slice::from_ref(set),
            Parts::Many(sets) => sets,
        }
    }

    /// The pairs of all parts, one part after the other.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sets().iter().flat_map(LabelSet::iter)
    }

    /// The value of `name`, or nothing.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.sets()
            .iter()
            .rev()
            .map(|set| set.value(name))
            .find(|value| !value.is_empty())
            .unwrap_or_default()
    }

    /// As one set.
    #[must_use]
    pub fn to_labels(&self) -> Labels {
        Labels::from_pairs(self.iter())
    }
}

impl From<LabelSet> for LabelParts {
    fn from(set: LabelSet) -> Self {
        LabelParts(Parts::One(set))
    }
}

impl FromIterator<LabelSet> for LabelParts {
    fn from_iter<I: IntoIterator<Item = LabelSet>>(sets: I) -> Self {
        LabelParts(Parts::Many(sets.into_iter().collect()))
    }
}

impl From<&Labels> for LabelParts {
    fn from(labels: &Labels) -> Self {
        if labels.is_empty() { LabelParts::default() } else { LabelSet::from(labels).into() }
    }
}

impl From<Labels> for LabelParts {
    fn from(labels: Labels) -> Self {
        (&labels).into()
    }
}

/// Collects pairs for a set.
#[derive(Default)]
pub(crate) struct Pairs {
    text: String,
    /// Where a name begins, where it ends and its value begins, where that ends.
    spans: Vec<(usize, usize, usize)>,
}

impl Pairs {
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Adds a pair; without a value it is left out.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.push_text(&[name], "", value);
    }

    /// Adds a pair whose name is `prefix` and what becomes of `rest` when everything that no label name may have is
    /// made an underscore.
    pub(crate) fn push_sanitized(&mut self, prefix: &[&str], rest: &str, value: &str) {
        self.push_text(prefix, rest, value);
    }

    fn push_text(&mut self, prefix: &[&str], rest: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let start = self.text.len();
        prefix.iter().for_each(|part| self.text.push_str(part));
        self.text.extend(rest.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        let middle = self.text.len();
        self.text.push_str(value);
        self.spans.push((start, middle, self.text.len()));
    }

    /// The set; of pairs with equal names the last one is taken. The collection is empty afterwards.
    pub(crate) fn take(&mut self, lists: &NameLists) -> LabelSet {
        self.build(lists, |values| values.into())
    }

    /// As [`take`](Self::take), for a set that others have as well: it is held once.
    pub(crate) fn take_shared(&mut self, lists: &NameLists) -> LabelSet {
        self.build(lists, |values| lists.values(values))
    }

    fn build(&mut self, lists: &NameLists, hold: impl FnOnce(&[u8]) -> Arc<[u8]>) -> LabelSet {
        let text = self.text.as_str();
        let mut pairs: Vec<(&str, &str)> = self
            .spans
            .iter()
            .map(|&(start, middle, end)| (&text[start..middle], &text[middle..end]))
            .collect();
        pairs.sort_by(|a, b| a.0.cmp(b.0)); // stable: the last of equal names stays last
        let mut names: Vec<&str> = Vec::with_capacity(pairs.len());
        let mut values = Vec::with_capacity(text.len() / 2);
        for (i, (name, value)) in pairs.iter().enumerate() {
            if pairs.get(i + 1).is_some_and(|(next, _)| next == name) {
                continue;
            }
            names.push(name);
            push_value(&mut values, value);
        }
        let set = LabelSet { names: lists.list(&names), values: hold(&values) };
        self.text.clear();
        self.spans.clear();
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_pushed_sorted_and_share_their_names() {
        let lists = NameLists::default();
        let mut pairs = Pairs::default();
        let mut set = |value: &str| {
            pairs.push("__address__", "10.0.0.1:80");
            pairs.push_sanitized(&["__meta_", "label_"], "app.kubernetes.io/naïve-Name", value);
            pairs.push("empty", "");
            pairs.push("a", "first");
            pairs.push("a", "last");
            pairs.take(&lists)
        };
        let long = "x".repeat(20_000);
        let (one, other) = (set("web"), set(&long));
        assert_eq!(
            one.iter().collect::<Vec<_>>(),
            [
                ("__address__", "10.0.0.1:80"),
                ("__meta_label_app_kubernetes_io_na_ve_Name", "web"),
                ("a", "last"),
            ]
        );
        assert_eq!(other.value("__meta_label_app_kubernetes_io_na_ve_Name"), long);
        assert!(Arc::ptr_eq(&one.names, &other.names));
        assert_ne!(one, other);
        assert_eq!(set("web"), one);
        let over = LabelSet::from(&Labels::from_pairs([("a", "over"), ("b", "true")]));
        let parts: LabelParts = [one, over].into_iter().collect();
        assert_eq!((parts.value("a"), parts.value("b"), parts.value("c")), ("over", "true", ""));
        assert_eq!(parts.to_labels().value("a"), "over");
        assert_eq!(parts.to_labels().len(), 4);
    }

    #[test]
    fn lists_that_nobody_uses_are_swept() {
        let lists = NameLists::default();
        let kept = {
            let mut pairs = Pairs::default();
            pairs.push("kept", "1");
            pairs.take(&lists)
        };
        for i in 0..10_000 {
            let mut pairs = Pairs::default();
            pairs.push(&format!("n{i}"), "1");
            let _ = pairs.take(&lists);
        }
        assert!(lists.0.lock().lists.len() <= FEW + 1);
        assert_eq!(kept.value("kept"), "1");
    }
}
