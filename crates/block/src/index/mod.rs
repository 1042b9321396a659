//! The index of a block: symbols, series, postings.

mod postings;
mod series;
mod symbols;
mod table;
mod toc;

use std::ops::Range;

use crate::Damage;
use crate::cursor::Cursor;
use crate::mapped::MappedFile;

pub use postings::Postings;
pub(crate) use series::ALIGNMENT as SERIES_ALIGNMENT;
pub use series::{ChunkMeta, SeriesEntry};
use symbols::Symbols;
use table::{Entry, Table};
pub use toc::Toc;

pub(crate) const MAGIC: u32 = 0xbaaa_d700;
/// The version that is written.
pub(crate) const VERSION_2: u8 = 2;
/// Length of the file's header.
const HEADER: usize = 5;

/// The two versions of the format that are in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Symbols are referred to by their place in the file, series too.
    V1,
    /// Symbols are referred to by number, series by their place in units of 16 bytes.
    V2,
}

/// An open index. What is checked against its checksum when it is opened: table of contents, symbols, the table of
/// postings. Series and postings are checked whenever they are read.
#[derive(Debug)]
pub struct Index {
    file: MappedFile,
    version: Version,
    toc: Toc,
    symbols: Symbols,
    table: Table,
}

impl Index {
    /// An index that is in memory.
    ///
    /// # Errors
    /// When it is damaged where it is checked at once.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Damage> {
        Self::open(MappedFile::owned(bytes))
    }

    pub(crate) fn open(file: MappedFile) -> Result<Self, Damage> {
        let bytes = file.bytes();
        let mut cursor = Cursor::new(bytes, 0..HEADER);
        if cursor.u32()? != MAGIC {
            return Err(Damage { offset: 0, what: "this is not an index" });
        }
        let version = match cursor.u8()? {
            1 => Version::V1,
            // Prometheus takes version 3 for version 2.
            VERSION_2 | 3 => Version::V2,
            _ => return Err(Damage { offset: 4, what: "the version is not known" }),
        };
        let toc = Toc::parse(bytes)?;
        let symbols = Symbols::parse(bytes, toc.symbols, version)?;
        let table = Table::parse(bytes, toc.postings_offset_table)?;
        Ok(Index { version, toc, symbols, table, file })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// Counts a range of the file as resident memory no longer.
    pub(crate) fn give_back(&self, range: Range<u64>) {
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        self.file.give_back(place(range.start)..place(range.end));
    }

    /// Where in the file the entry of a series begins.
    pub(crate) fn place_of(&self, number: u32) -> u64 {
        u64::from(number) * self.unit() as u64
    }

    /// What numbers of series count, in bytes of the file.
    fn unit(&self) -> usize {
        match self.version {
            Version::V1 => 1,
            Version::V2 => series::ALIGNMENT,
        }
    }

    /// Where the sections are.
    #[must_use]
    pub fn toc(&self) -> &Toc {
        &self.toc
    }

    /// Length of the file, in bytes.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// Memory that finding symbols takes, in bytes.
    pub(crate) fn symbol_memory(&self) -> usize {
        self.symbols.memory()
    }

    /// All symbols in the file's order, which is theirs.
    ///
    /// # Errors
    /// When a symbol is not a text.
    pub fn symbols(&self) -> Result<Vec<&str>, Damage> {
        self.each_symbol().collect()
    }

    /// The same one by one.
    pub(crate) fn each_symbol(&self) -> impl Iterator<Item = Result<&str, Damage>> {
        self.symbols.each(self.bytes())
    }

    /// Names of all labels, sorted.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.table.names()
    }

    /// Number of values of a label.
    pub(crate) fn value_count(&self, name: &str) -> usize {
        self.table.count(name)
    }

    /// Calls `each` with the values of a label from the first that is not before `from`, in order, until it says
    /// `false`; with each value comes the place of its postings.
    ///
    /// # Errors
    /// When the table is damaged.
    pub(crate) fn values<'a>(
        &'a self,
        name: &str,
        from: &str,
        each: impl FnMut(Entry<'a>) -> bool,
    ) -> Result<(), Damage> {
        self.table.values(self.bytes(), name, from, each)
    }

    /// The place of the postings of a pair, if there is one.
    pub(crate) fn find(&self, name: &str, value: &str) -> Result<Option<u64>, Damage> {
        self.table.find(self.bytes(), name, value)
    }

    /// The series that have a label, by numbers that [`series`](Self::series) takes, ascending. The empty name with
    /// the empty value has all series.
    ///
    /// # Errors
    /// When the list is damaged.
    pub fn postings(&self, name: &str, value: &str) -> Result<Postings<'_>, Damage> {
        match self.find(name, value)? {
            Some(place) => self.postings_at(place),
            None => Ok(Postings::default()),
        }
    }

    pub(crate) fn postings_at(&self, place: u64) -> Result<Postings<'_>, Damage> {
        Postings::parse(self.bytes(), place)
    }

    /// Reads the entry of a series into `entry`, whose memory is used again.
    ///
    /// # Errors
    /// When it is damaged; `entry` is empty then.
    pub fn series<'a>(&'a self, number: u32, entry: &mut SeriesEntry<'a>) -> Result<(), Damage> {
        let place = usize::try_from(self.place_of(number)).unwrap_or(usize::MAX);
        series::read(self.bytes(), place, &self.symbols, entry)
    }

    /// Numbers of all series that can be read, by going through them: what stands in for a damaged list.
    pub(crate) fn scan_series(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        self.each_series(|number| numbers.push(number));
        numbers
    }

    /// Calls `each` with the same numbers, one after the other.
    pub(crate) fn each_series(&self, mut each: impl FnMut(u32)) {
        let unit = self.unit();
        series::scan(self.bytes(), &self.toc, |place| {
            if let Ok(number) = u32::try_from(place / unit) {
                each(number);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = crate::cursor::crc32c(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn section(content: Vec<u8>) -> Vec<u8> {
        let mut bytes = (content.len() as u32).to_be_bytes().to_vec();
        bytes.extend(with_checksum(content));
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        [&[text.len() as u8], text.as_bytes()].concat()
    }

    /// An index of version 1: series and symbols are named by their place, the table of postings is in no order.
    #[test]
    fn version_1_is_read() {
        let mut file = [&MAGIC.to_be_bytes()[..], &[1]].concat();
        let toc_symbols = file.len() as u64;
        let texts = ["a", "b", "x", "y"];
        let mut symbols = (texts.len() as u32).to_be_bytes().to_vec();
        let mut places = Vec::new();
        for t in texts {
            places.push((file.len() + 4 + symbols.len()) as u8);
            symbols.extend(text(t));
        }
        file.extend(section(symbols));
        let toc_series = file.len() as u64;
        let mut numbers = Vec::new();
        // {a="x", b="y"} with two chunks, {a="y"} with none.
        let first = vec![2, places[0], places[2], places[1], places[3], 2, 20, 5, 8, 3, 4, 32];
        for entry in [first, vec![1, places[0], places[3], 0]] {
            numbers.push(file.len() as u32);
            file.push(entry.len() as u8);
            file.extend(with_checksum(entry));
        }
        let toc_postings = file.len() as u64;
        let mut table = 4u32.to_be_bytes().to_vec();
        for (name, value, series) in [
            ("b", "y", &numbers[..1]),
            ("a", "y", &numbers[1..]),
            ("", "", &numbers[..]),
            ("a", "x", &numbers[..1]),
        ] {
            table.push(2);
            table.extend(
                [text(name), text(value), vec![0x80 | file.len() as u8 & 0x7f, (file.len() >> 7) as u8]]
                    .concat(),
            );
            let list = series.iter().flat_map(|n| n.to_be_bytes());
            file.extend(section((series.len() as u32).to_be_bytes().into_iter().chain(list).collect()));
        }
        let toc_table = file.len() as u64;
        file.extend(section(table));
        let toc = [toc_symbols, toc_series, 0, 0, toc_postings, toc_table];
        file.extend(with_checksum(toc.iter().flat_map(|place| place.to_be_bytes()).collect()));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        std::fs::write(&path, file).unwrap();
        let index = Index::open(MappedFile::open(&path).unwrap()).unwrap();
        assert_eq!(index.symbols().unwrap(), texts);
        assert_eq!(index.label_names().collect::<Vec<_>>(), ["a", "b"]);
        let list = |name, value| index.postings(name, value).unwrap().iter().collect::<Vec<_>>();
        assert_eq!((list("", ""), list("a", "x")), (numbers.clone(), vec![numbers[0]]));
        assert_eq!(
            (list("a", "y"), list("b", "y"), list("b", "x")),
            (vec![numbers[1]], vec![numbers[0]], vec![])
        );
        let mut values = Vec::new();
        index
            .values("a", "", |entry| {
                values.push(entry.value);
                true
            })
            .unwrap();
        assert_eq!(values, ["x", "y"]);
        let mut entry = SeriesEntry::default();
        index.series(numbers[0], &mut entry).unwrap();
        assert_eq!(entry.labels, [("a", "x"), ("b", "y")]);
        let chunk = |min_time, max_time, reference| ChunkMeta { min_time, max_time, reference };
        assert_eq!(entry.chunks, [chunk(10, 15, 8), chunk(18, 22, 24)]);
        index.series(numbers[1], &mut entry).unwrap();
        assert_eq!((&entry.labels[..], entry.chunks.len()), (&[("a", "y")][..], 0));
        assert!(index.series(3, &mut entry).is_err());
    }

    proptest! {
        /// Checksums hold, contents are anything.
        #[test]
        fn any_sections_are_refused_or_read(
            content in prop::collection::vec(any::<u8>(), 0..120),
            number in 0u32..40,
            name in "[a-c]?",
        ) {
            let mut file = (content.len() as u32).to_be_bytes().to_vec();
            file.extend(with_checksum(content.clone()));
            for version in [Version::V1, Version::V2] {
                if let Ok(symbols) = Symbols::parse(&file, 0, version) {
                    let _ = symbols.each(&file).count();
                    let _ = symbols.get(&file, number);
                    let mut entry = vec![content.len() as u8];
                    entry.extend(with_checksum(content.clone()));
                    let _ = series::read(&entry, 0, &symbols, &mut SeriesEntry::default());
                }
            }
            if let Ok(table) = Table::parse(&file, 0) {
                for name in table.names().chain([name.as_str()]) {
                    let _ = table.find(&file, name, "b");
                    let _ = table.values(&file, name, "", |_| true);
                }
            }
            if let Ok(list) = Postings::parse(&file, 0) {
                prop_assert!(list.iter().count() <= content.len());
            }
            let toc = with_checksum(content);
            let _ = Toc::parse(&toc);
        }
    }
}
