//! How far a destination has got, to the sample, and the file that says so.
//!
//! The file has two slots that are written in turn, so that one of them is whole whatever happens:
//!
//! ```text
//! slot   ┌──────────┬─────────────┬────────────┬───────┬─────────────────────┐
//!        │ magic u32 │ crc32c u32 │ length u32 │ turn u64 │ tables, as text  │   up to 64 KiB
//!        └──────────┴─────────────┴────────────┴───────┴─────────────────────┘
//! ```
//!
//! A table has a line for each shard: segment, offset of a record and number of an entry of the one log, and of the other;
//! twice. What is before the first is done; what is before the second was in a request of which nobody knows whether it was
//! taken in; nothing of what comes after was sent.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tsdb::{Log, LogPlace};

/// The entry of a record to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Place {
    pub(super) segment: u32,
    /// Where the record begins, or the one before it ends.
    pub(super) offset: u64,
    pub(super) entry: u32,
}

impl Place {
    pub(super) fn at(log: LogPlace) -> Self {
        Place { segment: log.segment, offset: log.offset, entry: 0 }
    }

    pub(super) fn behind(self) -> Self {
        Place { entry: self.entry + 1, ..self }
    }
}

/// Of both logs.
pub(super) type Places = [Place; 2];

pub(super) fn index(log: Log) -> usize {
    match log {
        Log::InOrder => 0,
        Log::OutOfOrder => 1,
    }
}

/// How far a shard has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reached {
    /// Sent, or given up for good.
    pub(super) done: Places,
    /// Sent, and not answered.
    pub(super) tried: Places,
}

/// How far each shard has got; series go to shards by their references.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table(pub(super) Vec<Reached>);

impl Table {
    fn of(&self, reference: u64) -> Option<(usize, &Reached)> {
        let shard = usize::try_from(reference % (self.0.len() as u64).max(1)).ok()?;
        Some((shard, self.0.get(shard)?))
    }

    /// Whether an entry was done.
    pub(super) fn has(&self, log: Log, reference: u64, place: Place) -> bool {
        self.of(reference).is_some_and(|(_, reached)| place < reached.done[index(log)])
    }

    /// Of an entry that was sent and not answered, the shard that sent it.
    pub(super) fn tried(&self, log: Log, reference: u64, place: Place) -> Option<usize> {
        let (shard, reached) = self.of(reference)?;
        (place < reached.tried[index(log)]).then_some(shard)
    }

    /// Whether anything was sent and not answered.
    pub(super) fn is_open(&self) -> bool {
        self.0.iter().any(|reached| reached.tried.iter().zip(&reached.done).any(|(tried, done)| tried > done))
    }

    /// All before it is done.
    pub(super) fn least(&self) -> Places {
        let of = |log: usize| self.0.iter().map(|reached| reached.done[log]).min().unwrap_or_default();
        [of(0), of(1)]
    }

    /// Nothing from there on was sent.
    pub(super) fn most(&self) -> Places {
        let of = |log: usize| {
            self.0.iter().map(|reached| reached.tried[log].max(reached.done[log])).max().unwrap_or_default()
        };
        [of(0), of(1)]
    }
}

const SLOT: usize = 64 * 1024;
const MAGIC: u32 = 0x5257_5031;
const HEADER: usize = 20;

/// The file of a destination.
#[derive(Debug)]
pub(super) struct PlaceFile {
    file: File,
    turn: u64,
}

impl PlaceFile {
    /// Opens the file, and reads what it says; nothing if it is new or both slots are damaged. The newest table comes last.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Table>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let newest = (0..2).filter_map(|slot| read_slot(&file, slot)).max_by_key(|(turn, _)| *turn);
        let (turn, tables) = newest.unwrap_or_default();
        Ok((PlaceFile { file, turn }, tables))
    }

    /// Writes; it survives the death of the process when this returns.
    pub(super) fn write(&mut self, tables: &[Table]) -> io::Result<()> {
        let mut text = encode(tables);
        if HEADER + text.len() > SLOT {
            // Too many shards to tell them apart: some samples may be sent twice after a crash.
            let reached = tables.last().map(|table| Reached { done: table.least(), tried: table.most() });
            text = encode(&[Table(reached.into_iter().collect())]);
        }
        self.turn += 1;
        let mut bytes = Vec::with_capacity(HEADER + text.len());
        bytes.extend_from_slice(&MAGIC.to_be_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&self.turn.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
        let sum = checksum(&bytes[8..]);
        bytes[4..8].copy_from_slice(&sum.to_be_bytes());
        self.file.write_all_at(&bytes, self.turn % 2 * SLOT as u64)
    }

    /// Forces it to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn encode(tables: &[Table]) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for table in tables {
        for Reached { done, tried } in &table.0 {
            for (i, place) in done.iter().chain(tried).enumerate() {
                let _ = write!(
                    out,
                    "{}{} {} {}",
                    if i > 0 { " " } else { "" },
                    place.segment,
                    place.offset,
                    place.entry
                );
            }
            out.push('\n');
        }
        out.push('\n');
    }
    out
}

fn read_slot(file: &File, slot: u64) -> Option<(u64, Vec<Table>)> {
    let mut header = [0; HEADER];
    file.read_exact_at(&mut header, slot * SLOT as u64).ok()?;
    let number = |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    let (magic, sum, length) = (number(0)?, number(4)?, number(8)? as usize);
    let turn = u64::from_be_bytes(header.get(12..20)?.try_into().ok()?);
    if magic != MAGIC || length > SLOT - HEADER {
        return None;
    }
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, slot * SLOT as u64 + HEADER as u64).ok()?;
    let whole = [&header[8..], &text].concat();
    if checksum(&whole) != sum {
        return None;
    }
    Some((turn, decode(std::str::from_utf8(&text).ok()?)?))
}

fn decode(text: &str) -> Option<Vec<Table>> {
    let mut tables = Vec::new();
    let mut table = Table::default();
    for line in text.lines() {
        if line.is_empty() {
            tables.push(std::mem::take(&mut table));
            continue;
        }
        let mut numbers = line.split(' ').map(|n| n.parse::<u64>().ok());
        let mut place = || {
            let (segment, offset, entry) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some(Place { segment: u32::try_from(segment).ok()?, offset, entry: u32::try_from(entry).ok()? })
        };
        table.0.push(Reached { done: [place()?, place()?], tried: [place()?, place()?] });
    }
    Some(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u32, offset: u64, entry: u32) -> Place {
        Place { segment, offset, entry }
    }

    fn reached(done: Places) -> Reached {
        Reached { done, tried: done.map(|place| Place { segment: place.segment + 1, ..place }) }
    }

    #[test]
    fn what_was_written_last_is_read_whatever_became_of_the_write_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.place");
        let (mut file, tables) = PlaceFile::open(&path).unwrap();
        assert!(tables.is_empty());
        let first = vec![Table(vec![
            reached([place(1, 2, 3), place(0, 0, 0)]),
            reached([place(4, 5, 6), place(7, 8, 9)]),
        ])];
        let second = vec![first[0].clone(), Table(vec![reached([place(9, 9, 9), place(1, 1, 1)])])];
        file.write(&first).unwrap();
        assert_eq!(PlaceFile::open(&path).unwrap().1, first);
        file.write(&second).unwrap();
        assert_eq!(PlaceFile::open(&path).unwrap().1, second);
        // The newer slot is torn.
        let mut bytes = std::fs::read(&path).unwrap();
        let newest = (file.turn % 2) as usize * SLOT + HEADER + 3;
        bytes[newest] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(PlaceFile::open(&path).unwrap().1, first);
    }

    #[test]
    fn a_table_says_of_each_entry_whether_it_was_done() {
        let first = Reached {
            done: [place(1, 100, 2), Place::default()],
            tried: [place(1, 120, 0), Place::default()],
        };
        let second = [place(1, 50, 0), Place::default()];
        let table = Table(vec![first, Reached { done: second, tried: second }]);
        for (reference, at, done) in [
            (0, place(0, 900, 5), true),
            (0, place(1, 100, 1), true),
            (0, place(1, 100, 2), false),
            (3, place(1, 49, 7), true),
            (3, place(1, 50, 0), false),
        ] {
            assert_eq!(table.has(Log::InOrder, reference, at), done, "{reference} {at:?}");
        }
        assert!(!table.has(Log::OutOfOrder, 0, place(0, 0, 0)));
        assert_eq!(table.least()[0], place(1, 50, 0));
        assert_eq!(table.most()[0], place(1, 120, 0));
        assert!(table.is_open());
        assert_eq!(table.tried(Log::InOrder, 4, place(1, 119, 0)), Some(0));
        assert_eq!(table.tried(Log::InOrder, 4, place(1, 120, 0)), None);
        assert_eq!(table.tried(Log::InOrder, 5, place(1, 50, 0)), None);
    }
}
