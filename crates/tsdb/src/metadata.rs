//! What the metrics of a shard's series are: each distinct answer once, and four bytes a series.

use std::collections::HashMap;

use storage::Metadata;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SeriesMetadata {
    /// By slot: number of the entry and 1; 0 is none. As long as the last slot that has any.
    of_slot: Vec<u32>,
    /// With the number of series that have it.
    entries: Vec<(Metadata, u32)>,
    unused: Vec<u32>,
    numbers: HashMap<Metadata, u32>,
}

impl SeriesMetadata {
    pub(crate) fn get(&self, slot: u32) -> Option<&Metadata> {
        let number = self.of_slot.get(slot as usize)?.checked_sub(1)?;
        self.entries.get(number as usize).map(|(metadata, _)| metadata)
    }

    pub(crate) fn set(&mut self, slot: u32, metadata: &Metadata) {
        let number = match self.numbers.get(metadata) {
            Some(&number) => number,
            None => {
                let number = self.unused.pop().unwrap_or(self.entries.len() as u32);
                if number as usize == self.entries.len() {
                    self.entries.push((metadata.clone(), 0));
                } else {
                    self.entries[number as usize] = (metadata.clone(), 0);
                }
                self.numbers.insert(metadata.clone(), number);
                number
            }
        };
        self.entries[number as usize].1 += 1;
        self.clear(slot);
        if self.of_slot.len() <= slot as usize {
            self.of_slot.resize(slot as usize + 1, 0);
        }
        self.of_slot[slot as usize] = number + 1;
    }

    /// Forgets what is known of a series.
    pub(crate) fn clear(&mut self, slot: u32) {
        let Some(of_slot) = self.of_slot.get_mut(slot as usize) else { return };
        let Some(number) = std::mem::take(of_slot).checked_sub(1) else { return };
        let entry = &mut self.entries[number as usize];
        entry.1 -= 1;
        if entry.1 == 0 {
            self.numbers.remove(&std::mem::take(&mut entry.0));
            self.unused.push(number);
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        let texts = self.entries.iter().map(|(m, _)| 2 * (m.kind.len() + m.unit.len() + m.help.len()));
        self.of_slot.capacity() * 4 + texts.sum::<usize>() + self.entries.len() * 2 * size_of::<Metadata>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_metadata_is_kept_once_and_forgotten_with_its_last_series() {
        let metadata = |help: &str| Metadata { kind: "gauge".into(), unit: String::new(), help: help.into() };
        let mut all = SeriesMetadata::default();
        (0..100).for_each(|slot| all.set(slot, &metadata("a")));
        all.set(7, &metadata("b"));
        assert_eq!(all.entries.len(), 2);
        assert_eq!(all.get(7), Some(&metadata("b")));
        all.clear(7);
        assert_eq!(all.get(7), None);
        all.set(8, &metadata("c"));
        assert_eq!(all.entries.len(), 2, "the place of the forgotten one is used again");
        assert_eq!(all.get(99), Some(&metadata("a")));
        assert_eq!(all.get(1000), None);
    }
}
