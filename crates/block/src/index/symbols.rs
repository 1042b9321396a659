//! The texts of an index.

use super::Version;
use crate::Damage;
use crate::cursor::Cursor;

/// The place of one symbol in so many is kept; to the others it is a short walk.
const STEP: usize = 8;

#[derive(Debug)]
pub(super) struct Symbols {
    version: Version,
    count: usize,
    /// Places of symbols 0, STEP, 2 × STEP, …
    places: Vec<u32>,
    end: usize,
}

impl Symbols {
    pub(super) fn parse(file: &[u8], place: u64, version: Version) -> Result<Self, Damage> {
        let start = usize::try_from(place).unwrap_or(usize::MAX);
        let mut section = Cursor::new(file, start..file.len()).section()?;
        let count = section.u32()? as usize;
        let mut places = Vec::new();
        for i in 0..count {
            if i.is_multiple_of(STEP) {
                let far = section.damage("symbols lie beyond 4 GiB");
                places.push(u32::try_from(section.at()).map_err(|_| far)?);
            }
            section.sized()?;
        }
        places.shrink_to_fit();
        Ok(Symbols { version, count, places, end: section.at() })
    }

    /// The symbol that a series refers to.
    pub(super) fn get<'a>(&self, file: &'a [u8], reference: u32) -> Result<&'a str, Damage> {
        let reference = reference as usize;
        if self.version == Version::V1 {
            return Cursor::new(file, reference..self.end).text();
        }
        let unknown = Damage { offset: self.end, what: "a series refers to a symbol that does not exist" };
        let &place = self.places.get(reference / STEP).filter(|_| reference < self.count).ok_or(unknown)?;
        let mut cursor = Cursor::new(file, place as usize..self.end);
        for _ in 0..reference % STEP {
            cursor.sized()?;
        }
        cursor.text()
    }

    pub(super) fn each<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = Result<&'a str, Damage>> + use<'a> {
        let first = self.places.first().map_or(self.end, |&first| first as usize);
        let mut cursor = Cursor::new(file, first..self.end);
        (0..self.count).map(move |_| cursor.text())
    }

    pub(super) fn memory(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }
}
