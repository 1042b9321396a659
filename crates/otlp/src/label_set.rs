//! A label set that is being made: names and values in one text, used again for the next.

use model::{Labels, SortedLabels};

/// Where a text stands in [`LabelSet::texts`].
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
}

/// Labels in any order, each name once; one that is set to nothing is not there.
#[derive(Debug, Default)]
pub(crate) struct LabelSet {
    texts: String,
    pairs: Vec<(Place, Place)>,
    sorted: SortedLabels,
}

impl LabelSet {
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.pairs.clear();
    }

    fn text(&self, place: Place) -> &str {
        self.texts.get(place.start as usize..place.end as usize).unwrap_or_default()
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.pairs.iter().position(|(known, _)| self.text(*known) == name)
    }

    /// Of a request of at most 32 MiB no texts are longer than 32 bits tell.
    fn place(&self, start: usize) -> Place {
        Place { start: start as u32, end: self.texts.len() as u32 }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.position(name).is_some()
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.set_with(name, |out| out.push_str(value));
    }

    /// Sets a label to what `value` writes.
    pub(crate) fn set_with(&mut self, name: &str, value: impl FnOnce(&mut String)) {
        let known = self.position(name);
        let start = self.texts.len();
        value(&mut self.texts);
        let value = self.place(start);
        match known {
            Some(at) if value.start == value.end => drop(self.pairs.swap_remove(at)),
            Some(at) => self.pairs[at].1 = value,
            None if value.start == value.end => {}
            None => {
                let start = self.texts.len();
                self.texts.push_str(name);
                let name = self.place(start);
                self.pairs.push((name, value));
            }
        }
    }

    /// Adds to the value of a label that is there, behind a semicolon.
    pub(crate) fn join(&mut self, name: &str, more: impl FnOnce(&mut String)) {
        let Some((_, value)) = self.position(name).and_then(|at| self.pairs.get(at)).copied() else { return };
        let old = self.text(value).to_owned();
        self.set_with(name, |out| {
            out.push_str(&old);
            out.push(';');
            more(out);
        });
    }

    /// Tells the labels, in no order.
    pub(crate) fn each(&self, mut tell: impl FnMut(&str, &str)) {
        self.pairs.iter().for_each(|(name, value)| tell(self.text(*name), self.text(*value)));
    }

    /// The set.
    pub(crate) fn build(&mut self) -> Labels {
        let LabelSet { texts, pairs, sorted } = self;
        let text = |place: Place| texts.get(place.start as usize..place.end as usize).unwrap_or_default();
        pairs.sort_unstable_by(|a, b| text(a.0).cmp(text(b.0)));
        for (name, value) in pairs.iter() {
            sorted.push(text(*name), text(*value));
        }
        sorted.take()
    }
}
