//! Targets as they are put together.

use crate::group::{ADDRESS, TargetGroup, join_host_port};
use crate::label_set::{LabelParts, LabelSet, NameLists, Pairs};

/// The targets of one group, whose labels begin alike.
pub(super) struct Targets {
    prefix: &'static str,
    lists: NameLists,
    pairs: Pairs,
    done: Vec<LabelParts>,
}

impl Targets {
    /// No targets; names of labels will begin with `prefix`.
    pub(super) fn new(prefix: &'static str, lists: &NameLists) -> Self {
        Targets { prefix, lists: lists.clone(), pairs: Pairs::default(), done: Vec::new() }
    }

    /// A label of the target at hand. Without a value it is left out; of two with the same name the later one counts.
    pub(super) fn label(&mut self, name: &str, value: &str) {
        self.pairs.push_sanitized(&[self.prefix, name], "", value);
    }

    /// The same with a value that is written as Rust and Go both write it.
    pub(super) fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.label(name, &value.to_string());
    }

    /// A label whose name ends in what others call it.
    pub(super) fn labelled(&mut self, name: &str, key: &str, value: &str) {
        self.pairs.push_sanitized(&[self.prefix, name], key, value);
    }

    /// A label whose value is a list: the separator stands around it too, so that expressions need not care whether an
    /// item is the first or the last. Without items it is left out.
    pub(super) fn list<S: AsRef<str>>(&mut self, name: &str, items: &[S], separator: &str) {
        if !items.is_empty() {
            let items: Vec<&str> = items.iter().map(S::as_ref).collect();
            self.label(name, &format!("{separator}{}{separator}", items.join(separator)));
        }
    }

    /// A label without the prefix.
    pub(super) fn plain(&mut self, name: &str, value: &str) {
        self.pairs.push(name, value);
    }

    /// Where the target at hand is scraped.
    pub(super) fn address(&mut self, host: &str, port: i64) {
        self.pairs.push(ADDRESS, &join_host_port(host, port));
    }

    /// Ends the target at hand.
    pub(super) fn end_target(&mut self) {
        let set = self.pairs.take(&self.lists);
        self.done.push(set.into());
    }

    /// Takes what the target at hand has so far, for several that share it; see [`end_with`](Self::end_with).
    pub(super) fn take_shared(&mut self) -> LabelSet {
        self.pairs.take(&self.lists)
    }

    /// Ends the target at hand, which has the labels of `shared` too.
    pub(super) fn end_with(&mut self, shared: &LabelSet) {
        let own = self.pairs.take(&self.lists);
        self.done.push([shared.clone(), own].into_iter().collect());
    }

    /// Forgets the target at hand.
    pub(super) fn drop_target(&mut self) {
        self.pairs = Pairs::default();
    }

    /// The one group.
    pub(super) fn into_groups(self, source: impl Into<String>) -> Vec<TargetGroup> {
        vec![TargetGroup::of(source, self.done)]
    }
}
