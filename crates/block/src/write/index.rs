//! The index of a block that is being written, version 2.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hashbrown::HashTable;
use model::Labels;

use super::output::Output;
use super::symbols::SymbolTable;
use crate::cursor::{Cursor, crc32c};
use crate::index::{MAGIC, SERIES_ALIGNMENT, Toc, VERSION_2};
use crate::{BlockError, put};

/// What is read of the file at once while postings are gathered, in bytes.
const READ_BUFFER: usize = 256 << 10;

/// A label as numbers of symbols, and how many series have it.
struct Pair {
    name: u32,
    value: u32,
    series: u32,
}

/// Writes symbols at once, series as they come, and postings at the end, read back from the series.
pub(super) struct IndexWriter {
    out: Output,
    symbols: SymbolTable,
    toc: Toc,
    pairs: Pairs,
    series: u32,
    /// The series before, and its labels as places in `pairs`.
    last: Labels,
    last_pairs: Vec<u32>,
    last_reference: u64,
    postings_memory: usize,
    buffer: Vec<u8>,
    entry: Vec<u8>,
}

/// All different labels.
#[derive(Default)]
struct Pairs {
    all: Vec<Pair>,
    places: HashTable<u32>,
}

fn hash(name: u32, value: u32) -> u64 {
    let x = (u64::from(name) << 32 | u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ x >> 32
}

impl Pairs {
    fn find(&self, name: u32, value: u32) -> Option<u32> {
        let same = |&at: &u32| self.all.get(at as usize).is_some_and(|p| p.name == name && p.value == value);
        self.places.find(hash(name, value), same).copied()
    }

    fn find_or_add(&mut self, name: u32, value: u32) -> u32 {
        if let Some(at) = self.find(name, value) {
            return at;
        }
        let at = self.all.len() as u32;
        self.all.push(Pair { name, value, series: 0 });
        let all = &self.all;
        let again = |&at: &u32| all.get(at as usize).map_or(0, |p| hash(p.name, p.value));
        self.places.insert_unique(hash(name, value), at, again);
        at
    }
}

impl IndexWriter {
    pub(super) fn create<S: AsRef<str>>(
        path: &Path,
        symbols: impl Iterator<Item = S>,
        postings_memory: usize,
    ) -> Result<Self, BlockError> {
        let mut out = Output::create(path)?;
        out.write(&MAGIC.to_be_bytes())?;
        out.write(&[VERSION_2])?;
        let mut toc = Toc { symbols: out.at(), ..Toc::default() };
        let symbols = SymbolTable::write(&mut out, symbols)?;
        toc.series = out.at();
        Ok(IndexWriter {
            out,
            symbols,
            toc,
            pairs: Pairs::default(),
            series: 0,
            last: Labels::empty(),
            last_pairs: Vec::new(),
            last_reference: 0,
            postings_memory,
            buffer: Vec::new(),
            entry: Vec::new(),
        })
    }

    fn order(&self, what: String) -> BlockError {
        BlockError::Order { path: self.out.path().to_owned(), what }
    }

    /// Adds the entry of a series; chunks are given as their times (oldest, newest) and place.
    pub(super) fn add_series(
        &mut self,
        labels: &Labels,
        chunks: &[((i64, i64), u64)],
    ) -> Result<(), BlockError> {
        if self.series > 0 && *labels <= self.last || labels.is_empty() {
            return Err(self.order(format!("the series {labels} does not come after {}", self.last)));
        }
        self.out.pad(SERIES_ALIGNMENT as u64)?;
        if self.out.at() / SERIES_ALIGNMENT as u64 > u64::from(u32::MAX) {
            return Err(BlockError::too_large(self.out.path(), "series take more than 64 GiB"));
        }
        self.entry.clear();
        self.put_labels(labels)?;
        self.put_chunks(labels, chunks)?;
        self.buffer.clear();
        put::uvarint(&mut self.buffer, self.entry.len() as u64);
        self.buffer.extend_from_slice(&self.entry);
        self.buffer.extend(crc32c(&self.entry).to_be_bytes());
        self.out.write(&self.buffer)?;
        self.last = labels.clone();
        self.series += 1;
        Ok(())
    }

    fn put_labels(&mut self, labels: &Labels) -> Result<(), BlockError> {
        put::uvarint(&mut self.entry, labels.len() as u64);
        // Neighbours share most of their labels: what is equal at the same place is not looked up again.
        let before = std::mem::take(&mut self.last);
        let mut before = before.iter();
        for (i, (name, value)) in labels.iter().enumerate() {
            let known = before.next().filter(|&b| b == (name, value)).and_then(|_| self.last_pairs.get(i));
            let at = match known {
                Some(&at) => at,
                None => {
                    let number = |text| {
                        let missing = || self.order(format!("the symbol {text:?} was not announced"));
                        self.symbols.number(text).ok_or_else(missing)
                    };
                    let (name, value) = (number(name)?, number(value)?);
                    self.pairs.find_or_add(name, value)
                }
            };
            match self.last_pairs.get_mut(i) {
                Some(place) => *place = at,
                None => self.last_pairs.push(at),
            }
            if let Some(pair) = self.pairs.all.get_mut(at as usize) {
                pair.series += 1;
                put::uvarint(&mut self.entry, u64::from(pair.name));
                put::uvarint(&mut self.entry, u64::from(pair.value));
            }
        }
        self.last_pairs.truncate(labels.len());
        Ok(())
    }

    fn put_chunks(&mut self, labels: &Labels, chunks: &[((i64, i64), u64)]) -> Result<(), BlockError> {
        put::uvarint(&mut self.entry, chunks.len() as u64);
        let mut before: Option<(i64, u64)> = None;
        for &((min_time, max_time), reference) in chunks {
            let late = before.is_some_and(|(end, _)| min_time <= end);
            if late || max_time < min_time || reference < self.last_reference {
                let what = format!("of {labels}, the chunk from {min_time} to {max_time} is not in order");
                return Err(self.order(what));
            }
            match before {
                None => put::varint(&mut self.entry, min_time),
                Some((end, _)) => put::uvarint(&mut self.entry, min_time.wrapping_sub(end) as u64),
            }
            put::uvarint(&mut self.entry, max_time.wrapping_sub(min_time) as u64);
            match before {
                None => put::uvarint(&mut self.entry, reference),
                Some((_, last)) => put::varint(&mut self.entry, reference.wrapping_sub(last) as i64),
            }
            before = Some((max_time, reference));
            self.last_reference = reference;
        }
        Ok(())
    }

    /// Writes what stands behind the series.
    pub(super) fn finish(mut self) -> Result<(), BlockError> {
        self.toc.label_indices = self.out.at();
        // The lists of values of each label are no longer written; their places are those of what follows.
        self.toc.postings = self.out.at();
        self.out.pad(4)?;
        let first = self.out.at();
        self.out.flush()?;
        let mut order: Vec<u32> = (0..self.pairs.all.len() as u32).collect();
        order.sort_unstable_by_key(|&at| self.pairs.all.get(at as usize).map(|p| (p.name, p.value)));
        self.write_all_series()?;
        self.write_lists(&order)?;
        self.toc.label_offset_table = self.out.at();
        self.toc.postings_offset_table = self.out.at();
        self.write_table(&order, first)?;
        let toc = self.toc.to_bytes();
        self.out.write(&toc)?;
        self.out.write(&crc32c(&toc).to_be_bytes())?;
        self.out.finish()
    }

    fn write_list(&mut self, series: impl Iterator<Item = u32>, count: u32) -> Result<(), BlockError> {
        let length = u64::from(count) * 4 + 4;
        let length = u32::try_from(length)
            .map_err(|_| BlockError::too_large(self.out.path(), "a list of series takes more than 4 GiB"))?;
        self.out.write(&length.to_be_bytes())?;
        self.out.begin_sum();
        self.out.write(&count.to_be_bytes())?;
        self.buffer.clear();
        for number in series {
            self.buffer.extend(number.to_be_bytes());
            if self.buffer.len() >= 1 << 14 {
                self.out.write(&self.buffer)?;
                self.buffer.clear();
            }
        }
        self.out.write(&self.buffer)?;
        self.out.end_sum()
    }

    fn write_all_series(&mut self) -> Result<(), BlockError> {
        let mut entries = Entries::open(self.out.path(), &self.toc)?;
        let mut numbers = Vec::with_capacity(self.series as usize);
        while let Some((number, _)) = entries.next()? {
            numbers.push(number);
        }
        self.write_list(numbers.into_iter(), self.series)
    }

    /// The lists of all labels in this order, as many at a time as the memory allows.
    fn write_lists(&mut self, order: &[u32]) -> Result<(), BlockError> {
        let most = (self.postings_memory / 4).max(2 * self.series as usize);
        // By place in `pairs`: where the pair's list continues in `lists`.
        let mut ends: Vec<u32> = vec![u32::MAX; self.pairs.all.len()];
        let mut lists: Vec<u32> = Vec::new();
        let mut rest = order;
        while !rest.is_empty() {
            let mut total = 0usize;
            let mut taken = 0;
            for &at in rest {
                let Some(pair) = self.pairs.all.get(at as usize) else { break };
                if total + pair.series as usize > most {
                    break;
                }
                if let Some(end) = ends.get_mut(at as usize) {
                    *end = total as u32;
                }
                total += pair.series as usize;
                taken += 1;
            }
            let (batch, after) = rest.split_at(taken);
            rest = after;
            lists.clear();
            lists.resize(total, 0);
            self.fill(&mut lists, &mut ends)?;
            let mut start = 0;
            for &at in batch {
                let count = self.pairs.all.get(at as usize).map_or(0, |p| p.series);
                let list = lists.get(start..start + count as usize).unwrap_or_default();
                start += count as usize;
                self.write_list(list.iter().copied(), count)?;
                if let Some(end) = ends.get_mut(at as usize) {
                    *end = u32::MAX;
                }
            }
        }
        Ok(())
    }

    /// Puts the numbers of all series into the lists that are being gathered.
    fn fill(&self, lists: &mut [u32], ends: &mut [u32]) -> Result<(), BlockError> {
        let mut before: Vec<(u32, u32, u32)> = Vec::new();
        let mut entries = Entries::open(self.out.path(), &self.toc)?;
        while let Some((number, mut entry)) = entries.next()? {
            let count = entry.uvarint32().unwrap_or(0) as usize;
            for i in 0..count {
                let (Ok(name), Ok(value)) = (entry.uvarint32(), entry.uvarint32()) else { break };
                let known = before.get(i).filter(|b| b.0 == name && b.1 == value).map(|b| b.2);
                let Some(at) = known.or_else(|| self.pairs.find(name, value)) else { continue };
                match before.get_mut(i) {
                    Some(place) => *place = (name, value, at),
                    None => before.push((name, value, at)),
                }
                let Some(end) = ends.get_mut(at as usize).filter(|end| **end != u32::MAX) else { continue };
                if let Some(place) = lists.get_mut(*end as usize) {
                    *place = number;
                    *end += 1;
                }
            }
        }
        Ok(())
    }

    /// Which list is where: they lie one behind the other in this order.
    fn write_table(&mut self, order: &[u32], first: u64) -> Result<(), BlockError> {
        let list_length = |series: u32| 4 + 4 + 4 * u64::from(series) + 4;
        let start = self.out.at();
        self.out.write(&[0; 4])?;
        self.out.begin_sum();
        self.out.write(&(order.len() as u32 + 1).to_be_bytes())?;
        let mut place = first;
        let mut entry = Vec::new();
        let all_series = ("", "", self.series);
        let labels = order.iter().filter_map(|&at| self.pairs.all.get(at as usize));
        let labels = labels.map(|p| (self.symbols.text(p.name), self.symbols.text(p.value), p.series));
        for (name, value, series) in std::iter::once(all_series).chain(labels) {
            entry.clear();
            put::uvarint(&mut entry, 2);
            put::text(&mut entry, name);
            put::text(&mut entry, value);
            put::uvarint(&mut entry, place);
            self.out.write(&entry)?;
            place += list_length(series);
        }
        let length = u32::try_from(self.out.at() - start - 4).map_err(|_| {
            BlockError::too_large(self.out.path(), "the table of postings takes more than 4 GiB")
        })?;
        self.out.end_sum()?;
        self.out.overwrite(&length.to_be_bytes(), start)
    }
}

/// The entries of the series section: their numbers and contents. Read, not mapped: mapped pages would be resident memory.
struct Entries {
    path: PathBuf,
    file: BufReader<File>,
    at: u64,
    end: u64,
    entry: Vec<u8>,
}

impl Entries {
    fn open(path: &Path, toc: &Toc) -> Result<Self, BlockError> {
        let io = |e| BlockError::io(path, e);
        let mut file = BufReader::with_capacity(READ_BUFFER, File::open(path).map_err(io)?);
        file.seek(SeekFrom::Start(toc.series)).map_err(io)?;
        Ok(Entries { path: path.to_owned(), file, at: toc.series, end: toc.label_indices, entry: Vec::new() })
    }

    fn next(&mut self) -> Result<Option<(u32, Cursor<'_>)>, BlockError> {
        let start = self.at.next_multiple_of(SERIES_ALIGNMENT as u64);
        if start >= self.end {
            return Ok(None);
        }
        self.read(start).map_err(|e| BlockError::io(&self.path, e))?;
        let content = Cursor::new(&self.entry, 0..self.entry.len());
        Ok(Some(((start / SERIES_ALIGNMENT as u64) as u32, content)))
    }

    /// Reads the entry that begins at `start`, and passes over its checksum.
    fn read(&mut self, start: u64) -> io::Result<()> {
        self.file.seek_relative((start - self.at) as i64)?;
        let (mut length, mut shift, mut at) = (0u64, 0, start);
        loop {
            let mut byte = [0];
            self.file.read_exact(&mut byte)?;
            at += 1;
            length |= u64::from(byte[0] & 0x7f) << shift;
            shift += 7;
            if byte[0] < 0x80 || shift > 28 {
                break;
            }
        }
        self.entry.clear();
        self.file.by_ref().take(length).read_to_end(&mut self.entry)?;
        self.file.seek_relative(4)?;
        self.at = at + length + 4;
        Ok(())
    }
}
