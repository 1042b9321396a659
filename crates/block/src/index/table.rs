//! The table of postings: which list belongs to which label.

use crate::Damage;
use crate::cursor::Cursor;

/// Of a sorted table the place of one entry in so many is kept.
const STEP: usize = 32;

/// A value of a label and the place of its list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) value: &'a str,
    pub(crate) place: u64,
}

#[derive(Debug)]
struct Name {
    name: Box<str>,
    count: usize,
    /// Places of entries 0, step, 2 × step, … of this name.
    places: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Table {
    /// Sorted.
    names: Vec<Name>,
    /// 1 where entries of a name do not follow each other in order.
    step: usize,
    end: usize,
}

fn entry<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, Entry<'a>), Damage> {
    let here = cursor.damage("an entry does not have two texts");
    if cursor.uvarint()? != 2 {
        return Err(here);
    }
    let (name, value) = (cursor.text()?, cursor.text()?);
    Ok((name, Entry { value, place: cursor.uvarint()? }))
}

impl Table {
    pub(super) fn parse(file: &[u8], place: u64) -> Result<Self, Damage> {
        let start = usize::try_from(place).unwrap_or(usize::MAX);
        let mut section = Cursor::new(file, start..file.len()).section()?;
        let count = section.u32()?;
        let end = section.at();
        let mut table = Table { names: Vec::new(), step: STEP, end };
        let mut before = None;
        let mut sorted = true;
        let mut entries = section.clone();
        for _ in 0..count {
            let at =
                u32::try_from(entries.at()).map_err(|_| entries.damage("the table lies beyond 4 GiB"))?;
            let (name, Entry { value, .. }) = entry(&mut entries)?;
            sorted &= before.is_none_or(|before| before < (name, value));
            before = Some((name, value));
            match table.names.last_mut().filter(|last| *last.name == *name) {
                Some(last) => {
                    if last.count.is_multiple_of(STEP) {
                        last.places.push(at);
                    }
                    last.count += 1;
                }
                None => table.names.push(Name { name: name.into(), count: 1, places: vec![at] }),
            }
        }
        table.end = entries.at();
        if !sorted {
            table.sort(&mut section, count)?;
        }
        table.names.iter_mut().for_each(|name| name.places.shrink_to_fit());
        Ok(table)
    }

    /// Version 1 does not promise an order: keeps the place of each entry, in order.
    fn sort(&mut self, section: &mut Cursor<'_>, count: u32) -> Result<(), Damage> {
        let mut all = Vec::new();
        for _ in 0..count {
            let at = section.at() as u32;
            let (name, Entry { value, .. }) = entry(section)?;
            all.push((name, value, at));
        }
        all.sort_unstable();
        self.step = 1;
        self.names.clear();
        for (name, _, at) in all {
            match self.names.last_mut().filter(|last| *last.name == *name) {
                Some(last) => {
                    last.places.push(at);
                    last.count += 1;
                }
                None => self.names.push(Name { name: name.into(), count: 1, places: vec![at] }),
            }
        }
        Ok(())
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let at = self.names.binary_search_by(|n| (*n.name).cmp(name)).ok()?;
        self.names.get(at)
    }

    /// Of all labels; the entry of all series is none.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|n| &*n.name).filter(|name| !name.is_empty())
    }

    pub(super) fn count(&self, name: &str) -> usize {
        self.name(name).map_or(0, |n| n.count)
    }

    pub(super) fn values<'a>(
        &self,
        file: &'a [u8],
        name: &str,
        from: &str,
        mut each: impl FnMut(Entry<'a>) -> bool,
    ) -> Result<(), Damage> {
        let Some(name) = self.name(name) else { return Ok(()) };
        let at = |place: u32| Cursor::new(file, place as usize..self.end);
        // The last group that begins at or before `from`.
        let first = if from.is_empty() {
            0
        } else {
            let after =
                name.places.partition_point(|&p| entry(&mut at(p)).is_ok_and(|(_, e)| e.value <= from));
            after.saturating_sub(1)
        };
        for (group, &place) in name.places.iter().enumerate().skip(first) {
            let mut cursor = at(place);
            for _ in 0..self.step.min(name.count.saturating_sub(group * self.step)) {
                let (_, entry) = entry(&mut cursor)?;
                if entry.value >= from && !each(entry) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    pub(super) fn find(&self, file: &[u8], name: &str, value: &str) -> Result<Option<u64>, Damage> {
        let mut found = None;
        self.values(file, name, value, |entry| {
            if entry.value == value {
                found = Some(entry.place);
            }
            false
        })?;
        Ok(found)
    }
}
