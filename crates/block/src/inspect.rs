//! Checking a block to the last sample, for a person who wants to know what is damaged.
//!
//! Reading goes through the files one after the other. In memory are the numbers of the series (4 bytes each) and one
//! chunk at a time.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use chunk::{Columns, Encoding, HistogramPoint};

use crate::cursor::{Cursor, crc32c};
use crate::index::{ChunkMeta, Index, SeriesEntry};
use crate::mapped::MappedFile;
use crate::segments::{HEADER, Segments};
use crate::{BlockError, Damage, Meta, Tombstones};

/// Is told what an inspection finds.
pub trait Inspector {
    /// Something is damaged: data is lost, or may be.
    fn damaged(&mut self, file: &Path, offset: Option<u64>, what: &str);
    /// Something that is worth knowing, but costs no data.
    fn noticed(&mut self, file: &Path, what: &str);
    /// So many more bytes were read.
    fn advanced(&mut self, bytes: u64);
}

/// What an inspection found in a block.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Inspected {
    /// Series that can be read.
    pub series: u64,
    /// Chunks that can be read.
    pub chunks: u64,
    /// Floats in them.
    pub floats: u64,
    /// Native histograms in them.
    pub histograms: u64,
}

/// Checks every file of a block's directory: each checksum, the order of all that has one, each sample, and whether
/// `meta.json`, index, postings and chunks agree.
pub fn inspect(dir: &Path, inspector: &mut dyn Inspector) -> Inspected {
    let meta = Meta::read(dir).map_err(|error| tell(inspector, dir, &error)).ok();
    if let Some(meta) = &meta {
        inspect_meta(dir, meta, inspector);
    }
    let path = dir.join("index");
    let index = MappedFile::open(&path).and_then(|file| {
        Index::open(file).map_err(|damage| BlockError::Damaged { path: path.clone(), damage })
    });
    let segments = Segments::open(&dir.join("chunks"));
    let mut walk = Walk {
        dir,
        meta: meta.as_ref(),
        inspector,
        found: Inspected::default(),
        all_read: true,
        damaged_chunks: HashSet::new(),
        floats: Columns::default(),
        histograms: Vec::new(),
    };
    if let Err(error) = &segments {
        walk.all_read = false;
        tell(walk.inspector, &dir.join("chunks"), error);
    }
    let segments = segments.ok();
    match &index {
        Err(error) => {
            walk.all_read = false;
            tell(walk.inspector, &path, error);
        }
        Ok(index) => walk.index(index, &path, segments.as_ref()),
    }
    walk.segment_files();
    walk.compare_with_meta();
    let found = walk.found;
    inspect_tombstones(dir, index.as_ref().ok(), inspector);
    found
}

fn tell(inspector: &mut dyn Inspector, path: &Path, error: &BlockError) {
    match error {
        BlockError::Damaged { path, damage } => {
            inspector.damaged(path, Some(damage.offset as u64), damage.what);
        }
        BlockError::Io { path, source } => inspector.damaged(path, None, &source.to_string()),
        BlockError::Meta { path, source } => inspector.damaged(path, None, &source.to_string()),
        _ => inspector.damaged(path, None, &error.to_string()),
    }
}

fn inspect_meta(dir: &Path, meta: &Meta, inspector: &mut dyn Inspector) {
    let path = dir.join("meta.json");
    if dir.file_name().is_some_and(|name| name.to_str() != Some(&*meta.ulid)) {
        inspector.noticed(&path, &format!("it is that of a block with another name, {}", meta.ulid));
    }
    if meta.min_time > meta.max_time {
        inspector.damaged(&path, None, "the block ends before it begins");
    }
    if meta.compaction.failed {
        inspector.noticed(&path, "compacting this block has failed before");
    }
}

fn inspect_tombstones(dir: &Path, index: Option<&Index>, inspector: &mut dyn Inspector) {
    let path = dir.join("tombstones");
    let file = match std::fs::read(&path) {
        Ok(file) => file,
        // Nothing was deleted.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
        Err(e) => return inspector.damaged(&path, None, &e.to_string()),
    };
    inspector.advanced(file.len() as u64);
    let tombstones = match Tombstones::parse(&file) {
        Ok(tombstones) => tombstones,
        Err(damage) => return inspector.damaged(&path, Some(damage.offset as u64), damage.what),
    };
    let Some(Ok(all)) = index.map(|index| index.postings("", "")) else { return };
    for (series, intervals) in tombstones.iter() {
        let known = u32::try_from(series).is_ok_and(|n| all.get(all.count_below(0, n)) == Some(n));
        if !known {
            inspector
                .noticed(&path, &format!("it deletes of series {series}, which the index does not have"));
        }
        if intervals.iter().any(|i| i.min_time > i.max_time) {
            inspector.damaged(
                &path,
                None,
                &format!("a range deleted of series {series} ends before it begins"),
            );
        }
    }
}

struct Walk<'a> {
    dir: &'a Path,
    meta: Option<&'a Meta>,
    inspector: &'a mut dyn Inspector,
    found: Inspected,
    /// Whether everything so far could be read, so that sums can be compared.
    all_read: bool,
    /// References of chunks that were found damaged.
    damaged_chunks: HashSet<u64>,
    floats: Columns,
    histograms: Vec<HistogramPoint>,
}

impl Walk<'_> {
    fn index_damage(&mut self, path: &Path, damage: Damage) {
        self.all_read = false;
        self.inspector.damaged(path, Some(damage.offset as u64), damage.what);
    }

    fn index(&mut self, index: &Index, path: &Path, segments: Option<&Segments>) {
        match index.symbols() {
            Err(damage) => self.index_damage(path, damage),
            Ok(symbols) if !symbols.is_sorted_by(|a, b| a < b) => {
                self.inspector.damaged(path, Some(index.toc().symbols), "the symbols are not in order");
            }
            Ok(_) => {}
        }
        let numbers: Vec<u32> = match index.postings("", "") {
            Ok(list) => list.iter().collect(),
            Err(damage) => {
                self.index_damage(path, damage);
                index.scan_series()
            }
        };
        if !numbers.is_sorted_by(|a, b| a < b) {
            self.inspector.damaged(path, None, "the list of all series is not in order");
        }
        let mut entry = SeriesEntry::default();
        let mut before: Vec<(&str, &str)> = Vec::new();
        let mut memberships = 0u64;
        for &number in &numbers {
            if let Err(damage) = index.series(number, &mut entry) {
                self.index_damage(path, damage);
                continue;
            }
            self.found.series += 1;
            let named = |what: &str| format!("{what}: series {}", entry.label_set());
            if !entry.labels.is_sorted_by(|a, b| a.0 < b.0) || entry.labels.iter().any(|l| l.1.is_empty()) {
                self.inspector.damaged(path, None, &named("labels are out of order or empty"));
            }
            if before >= entry.labels && self.found.series > 1 {
                self.inspector.damaged(path, None, &named("series are out of order"));
            }
            for &(name, value) in &entry.labels {
                memberships = memberships.wrapping_add(membership(name, value, number));
            }
            let mut end = None;
            for stored in &entry.chunks {
                let outside = self
                    .meta
                    .is_some_and(|meta| stored.min_time < meta.min_time || stored.max_time >= meta.max_time);
                let what = if stored.min_time > stored.max_time {
                    Some("a chunk ends before it begins")
                } else if end.is_some_and(|end| stored.min_time <= end) {
                    Some("a chunk begins before the one before it ends")
                } else if outside {
                    Some("a chunk is outside of the block's range of time")
                } else {
                    None
                };
                if let Some(what) = what {
                    self.inspector.damaged(path, None, &named(what));
                }
                end = Some(stored.max_time);
                if let Some(segments) = segments {
                    self.chunk(segments, stored, &entry);
                }
            }
            std::mem::swap(&mut before, &mut entry.labels);
        }
        self.lists(index, path, memberships);
        self.label_indices(index, path);
        self.inspector.advanced(index.file_bytes());
    }

    /// Each list of the postings table; and whether together they say of each series what the series says.
    fn lists(&mut self, index: &Index, path: &Path, of_series: u64) {
        let mut of_lists = 0u64;
        let names: Vec<&str> = index.label_names().collect();
        for name in names {
            let mut damages = Vec::new();
            let outcome = index.values(name, "", |entry| {
                match index.postings_at(entry.place) {
                    Ok(list) => {
                        if !list.iter().is_sorted_by(|a, b| a < b) {
                            let offset = usize::try_from(entry.place).unwrap_or(usize::MAX);
                            damages.push(Damage { offset, what: "a list of series is not in order" });
                        }
                        for number in list.iter() {
                            of_lists = of_lists.wrapping_add(membership(name, entry.value, number));
                        }
                    }
                    Err(damage) => damages.push(damage),
                }
                true
            });
            damages.extend(outcome.err());
            for damage in damages {
                self.index_damage(path, damage);
            }
        }
        if self.all_read && of_lists != of_series {
            let place = Some(index.toc().postings_offset_table);
            self.inspector.damaged(path, place, "the lists of series do not say what the series say");
        }
    }

    /// What older versions wrote and nobody reads any more: whether checksums hold.
    fn label_indices(&mut self, index: &Index, path: &Path) {
        let toc = index.toc();
        // Newer versions name the place of the next section.
        if toc.label_offset_table == 0 || toc.label_offset_table == toc.postings_offset_table {
            return;
        }
        let file = index.bytes();
        let section = |place: u64| {
            let start = usize::try_from(place).unwrap_or(usize::MAX);
            Cursor::new(file, start..file.len()).section()
        };
        let outcome = || -> Result<(), Damage> {
            let mut table = section(toc.label_offset_table)?;
            for _ in 0..table.u32()? {
                for _ in 0..table.uvarint()? {
                    table.text()?;
                }
                section(table.uvarint()?)?;
            }
            Ok(())
        };
        if let Err(damage) = outcome() {
            self.index_damage(path, damage);
        }
    }

    fn chunk(&mut self, segments: &Segments, stored: &ChunkMeta, entry: &SeriesEntry<'_>) {
        let outcome =
            segments.chunk(stored.reference).map_err(|damage| (damage.offset, damage.what.to_owned()));
        let outcome = outcome.and_then(|(encoding, bytes)| {
            self.inspector.advanced(bytes.len() as u64);
            let offset = stored.reference as u32 as usize;
            self.samples(encoding, bytes, stored).map_err(|what| (offset, what))
        });
        if let Err((offset, what)) = outcome {
            self.all_read = false;
            self.damaged_chunks.insert(stored.reference);
            let file = segment_path(self.dir, stored.reference >> 32);
            let what = format!("{what}: series {}", entry.label_set());
            self.inspector.damaged(&file, Some(offset as u64), &what);
        }
    }

    fn samples(&mut self, encoding: u8, bytes: &[u8], stored: &ChunkMeta) -> Result<(), String> {
        let encoding = Encoding::try_from(encoding).map_err(|e| e.to_string())?;
        let times: (usize, bool, Option<i64>, Option<i64>);
        if encoding.is_float() {
            self.floats.clear();
            chunk::decode(encoding, bytes, u16::MAX, &mut self.floats).map_err(|e| e.to_string())?;
            let t = &self.floats.times;
            times = (t.len(), t.is_sorted_by(|a, b| a < b), t.first().copied(), t.last().copied());
            self.found.floats += t.len() as u64;
        } else {
            self.histograms.clear();
            chunk::decode_histograms(encoding, bytes, u16::MAX, &mut self.histograms)
                .map_err(|e| e.to_string())?;
            let h = &self.histograms;
            let ascending = h.is_sorted_by(|a, b| a.t < b.t);
            times = (h.len(), ascending, h.first().map(|p| p.t), h.last().map(|p| p.t));
            self.found.histograms += h.len() as u64;
        }
        self.found.chunks += 1;
        let (count, ascending, first, last) = times;
        if count != usize::from(chunk::sample_count(encoding, bytes)) {
            return Err("a chunk has fewer samples than it says".to_owned());
        }
        if !ascending {
            return Err("the samples of a chunk are not in order of time".to_owned());
        }
        if (first, last) != (Some(stored.min_time), Some(stored.max_time)) {
            return Err("a chunk covers another time than the index says".to_owned());
        }
        Ok(())
    }

    /// Every byte of the segments, also what no series refers to.
    fn segment_files(&mut self) {
        let dir = self.dir.join("chunks");
        let Ok(entries) = std::fs::read_dir(&dir) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let number = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
            let Some(number) = number.and_then(|n| n.checked_sub(1)) else {
                self.inspector.noticed(&path, "it is not part of the block");
                continue;
            };
            let Ok(file) = MappedFile::open(&path) else { continue };
            self.segment(&path, file.bytes(), number);
        }
    }

    /// Goes from chunk to chunk; damage that was told with its series is not told again.
    fn segment(&mut self, path: &Path, file: &[u8], number: u64) {
        let mut cursor = Cursor::new(file, HEADER..file.len());
        while !cursor.is_empty() {
            let start = cursor.at();
            let told = self.damaged_chunks.contains(&(number << 32 | start as u64));
            let mut next = || -> Result<bool, Damage> {
                let length = cursor.uvarint32()? as usize;
                let stored = cursor.take(length.saturating_add(1))?;
                Ok(cursor.u32()? == crc32c(stored))
            };
            match next() {
                Ok(true) => {}
                Ok(false) if told => {}
                Ok(false) => self.inspector.damaged(path, Some(start as u64), "the checksum does not match"),
                // Where the next one begins is not known.
                Err(_) if told => return,
                Err(damage) => return self.inspector.damaged(path, Some(damage.offset as u64), damage.what),
            }
        }
    }

    fn compare_with_meta(&mut self) {
        let Some(meta) = self.meta.filter(|_| self.all_read) else { return };
        let (found, stats) = (self.found, &meta.stats);
        let samples = found.floats + found.histograms;
        let mut pairs = vec![
            ("samples", stats.num_samples, samples),
            ("series", stats.num_series, found.series),
            ("chunks", stats.num_chunks, found.chunks),
        ];
        // Not there in older blocks.
        if stats.num_float_samples + stats.num_histogram_samples > 0 {
            pairs.push(("floats", stats.num_float_samples, found.floats));
            pairs.push(("native histograms", stats.num_histogram_samples, found.histograms));
        }
        for (what, said, counted) in pairs {
            if said != counted {
                let path = self.dir.join("meta.json");
                let what = format!("the block has {counted} {what}, meta.json says {said}");
                self.inspector.damaged(&path, None, &what);
            }
        }
    }
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join("chunks").join(format!("{:06}", number.saturating_add(1)))
}

/// A number for "this series has this label", of which sums over any order can be compared.
fn membership(name: &str, value: &str, number: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, value, number).hash(&mut hasher);
    hasher.finish()
}
