//! The directory `chunks_head`: full chunks of the head, appended to files and read by mapping. Prometheus' format,
//! drawn in README.md.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chunk::Encoding;
use parking_lot::{Mutex, RwLock};

use crate::checksum::{CHECKSUM, checksum, is_checksum};
use crate::full_disk::wait_for_room;
use crate::mmap::MappedFile;
use crate::wal::repair::{self, REWRITTEN};
use crate::wal::segments::{self, free_name, list, sync_dir};

pub(crate) const MAGIC: u32 = 0x0130_BC91;
pub(crate) const VERSION: u8 = 1;
pub(crate) const FILE_HEADER: usize = 8;
/// Series, oldest and newest time, encoding.
pub(crate) const CHUNK_HEADER: usize = 8 + 8 + 8 + 1;
/// Files end at this length. A map of it serves them while they grow; they are as long as what is written.
const MAX_FILE: u64 = 128 * 1024 * 1024;
/// Marks chunks of out-of-order samples in the encoding byte.
const OUT_OF_ORDER: u8 = 0x80;
/// Stands for the encoding of a chunk that is none any more, see [`ChunkFiles::drop_out_of_order`].
pub(crate) const DROPPED: u8 = OUT_OF_ORDER;
/// A file is copied in steps of this many bytes.
const STEP: usize = 1 << 20;

/// A chunk to be written.
#[derive(Clone, Copy)]
pub(crate) struct NewChunk<'a> {
    pub(crate) series: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) encoding: Encoding,
    pub(crate) bytes: &'a [u8],
}

/// A chunk found in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundChunk {
    pub(crate) series: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) encoding: Encoding,
    pub(crate) file: u32,
    pub(crate) offset: u32,
}

impl FoundChunk {
    /// To be written again; `bytes` are what it holds.
    pub(crate) fn with(self, bytes: &[u8]) -> NewChunk<'_> {
        let FoundChunk { series, min_time, max_time, encoding, .. } = self;
        NewChunk { series, min_time, max_time, encoding, bytes }
    }
}

/// What [`ChunkFiles::scan`] found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// In order of file and offset.
    pub(crate) chunks: Vec<FoundChunk>,
    /// Those of samples out of order, likewise.
    pub(crate) out_of_order: Vec<FoundChunk>,
    /// Chunks of encodings that are not read yet.
    pub(crate) skipped: u64,
    /// Places that could not be read, as text.
    pub(crate) damage: Vec<String>,
    /// The first file with such a place.
    pub(crate) first_damaged: Option<u32>,
    /// Whether the newest file is empty, or zeros from its beginning: a process died when it began it.
    pub(crate) ends_blank: bool,
    /// Whether files are missing or have no content.
    pub(crate) files_lost: bool,
}

impl Scan {
    /// Notes that what a file had is not there. The log may have it: so all chunks behind it wait for what it has.
    pub(crate) fn lost(&mut self, number: u32, how: &str) {
        self.files_lost = true;
        self.damage.push(format!("chunks_head/{number:06}: {how}"));
        self.first_damaged = Some(self.first_damaged.map_or(number, |first| first.min(number)));
    }
}

/// The open files of the directory.
pub(crate) struct ChunkFiles {
    dir: PathBuf,
    /// By number.
    files: RwLock<BTreeMap<u32, Arc<MappedFile>>>,
    current: Mutex<Current>,
    /// Numbers of the files that may have chunks of samples out of order. Locked after `current`.
    out_of_order: Mutex<BTreeSet<u32>>,
}

struct Current {
    file: Option<disk::File>,
    number: u32,
    len: u64,
    buf: Vec<u8>,
}

impl ChunkFiles {
    /// Opens the directory, creating it if need be.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        disk::create_dir_all(dir)?;
        repair::finish(dir)?;
        let mut files = BTreeMap::new();
        let mut number = 0;
        for (n, path) in list(dir)? {
            number = number.max(n);
            let file = File::open(path)?;
            if file.metadata()?.len() > 0 {
                files.insert(n, Arc::new(MappedFile::open(&file)?));
            }
        }
        let current = Current { file: None, number, len: 0, buf: Vec::new() };
        Ok(ChunkFiles {
            dir: dir.to_path_buf(),
            files: RwLock::new(files),
            current: Mutex::new(current),
            out_of_order: Mutex::default(),
        })
    }

    /// Reads all files and checks every chunk. Damage costs the chunks it touches (or the rest of its file where
    /// the next chunk cannot be found); the log still has their samples unless it was truncated.
    pub(crate) fn scan(&self) -> io::Result<Scan> {
        let mut scan = Scan::default();
        let mut before = None;
        for (number, path) in list(&self.dir)? {
            if let Some(before) = before.replace(number) {
                if std::mem::take(&mut scan.ends_blank) {
                    scan.lost(before, "has no content");
                }
                if before + 1 < number {
                    scan.lost(before + 1, "is missing");
                }
            }
            // Read, not mapped: pages that were touched through a map would count as resident memory.
            let mut reader = BufReader::with_capacity(1 << 20, File::open(&path)?);
            scan_file(&mut reader, number, &mut scan)?;
            if !scan.damage.is_empty() {
                scan.first_damaged.get_or_insert(number);
            }
        }
        self.out_of_order.lock().extend(scan.out_of_order.iter().map(|chunk| chunk.file));
        Ok(scan)
    }

    /// Appends chunks; returns file and offset of each.
    pub(crate) fn write<'a>(
        &self,
        chunks: impl Iterator<Item = NewChunk<'a>>,
    ) -> io::Result<Vec<(u32, u32)>> {
        self.append(chunks, 0)
    }

    /// Appends chunks of samples out of order, which may overlap others of their series.
    pub(crate) fn write_out_of_order<'a>(
        &self,
        chunks: impl Iterator<Item = NewChunk<'a>>,
    ) -> io::Result<Vec<(u32, u32)>> {
        self.append(chunks, OUT_OF_ORDER)
    }

    /// Appends a chunk that a start cannot do without: on a full disk that waits for room, until `stop` is set.
    pub(crate) fn write_patiently(
        &self,
        chunk: NewChunk<'_>,
        out_of_order: bool,
        stop: &AtomicBool,
    ) -> io::Result<(u32, u32)> {
        let mark = if out_of_order { OUT_OF_ORDER } else { 0 };
        let places = wait_for_room(stop, || self.append(std::iter::once(chunk), mark))?;
        places.first().copied().ok_or_else(|| io::Error::other("a chunk was not written"))
    }

    fn append<'a>(
        &self,
        chunks: impl Iterator<Item = NewChunk<'a>>,
        mark: u8,
    ) -> io::Result<Vec<(u32, u32)>> {
        let mut current = self.current.lock();
        let mut places = Vec::new();
        current.buf.clear();
        for chunk in chunks {
            let len = (CHUNK_HEADER + 5 + chunk.bytes.len() + CHECKSUM) as u64;
            let end = current.len + current.buf.len() as u64;
            if current.file.is_none() || end + len > MAX_FILE {
                self.flush(&mut current)?;
                self.cut(&mut current)?;
            }
            places.push((current.number, (current.len + current.buf.len() as u64) as u32));
            frame(&mut current.buf, &chunk, chunk.encoding as u8 | mark);
        }
        if mark == OUT_OF_ORDER {
            self.out_of_order.lock().extend(places.iter().map(|(number, _)| *number));
        }
        self.flush(&mut current)?;
        Ok(places)
    }

    fn cut(&self, current: &mut Current) -> io::Result<()> {
        self.finish(current)?;
        let number = current.number + 1;
        let path = self.path(number);
        let file = match self.begin_file(&path, number) {
            Ok(file) => file,
            Err(error) => {
                // It would be in the way of the next attempt.
                self.files.write().remove(&number);
                if disk::remove_file(&path).is_err() && path.exists() {
                    current.number = number;
                }
                return Err(error);
            }
        };
        *current = Current {
            file: Some(file),
            number,
            len: FILE_HEADER as u64,
            buf: std::mem::take(&mut current.buf),
        };
        Ok(())
    }

    fn begin_file(&self, path: &Path, number: u32) -> io::Result<disk::File> {
        let file = disk::File::create_new(path)?;
        file.write_all_at(&file_header(), 0)?;
        sync_dir(&self.dir)?;
        let mapped = MappedFile::growing(file.as_std(), MAX_FILE as usize)?;
        mapped.grown(FILE_HEADER);
        self.files.write().insert(number, Arc::new(mapped));
        Ok(file)
    }

    /// Ends the file that is being written.
    fn finish(&self, current: &mut Current) -> io::Result<()> {
        match current.file.take() {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    /// Writes what is framed to the file.
    fn flush(&self, current: &mut Current) -> io::Result<()> {
        let (Some(file), false) = (&current.file, current.buf.is_empty()) else { return Ok(()) };
        if let Err(error) = file.write_all_at(&current.buf, current.len) {
            // A part of a chunk would be damage to whoever reads the file before the next one covers it.
            file.set_len(current.len)?;
            return Err(error);
        }
        current.len += current.buf.len() as u64;
        current.buf.clear();
        if let Some(mapped) = self.files.read().get(&current.number) {
            mapped.grown(current.len as usize);
        }
        Ok(())
    }

    /// The file of that number.
    pub(crate) fn file(&self, number: u32) -> Option<Arc<MappedFile>> {
        self.files.read().get(&number).cloned()
    }

    /// Forces what was written to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match &self.current.lock().file {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    /// Ends the current file.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.finish(&mut self.current.lock())
    }

    /// The number of the newest file.
    pub(crate) fn last(&self) -> u32 {
        self.current.lock().number
    }

    /// Moves files to the directory `aside` beside this one. Nothing refers to them any more.
    pub(crate) fn set_aside(&self, numbers: std::ops::RangeInclusive<u32>, aside: &str) -> io::Result<()> {
        let aside = self.dir.with_file_name(aside);
        disk::create_dir_all(&aside)?;
        for (number, path) in list(&self.dir)? {
            if numbers.contains(&number) {
                self.files.write().remove(&number);
                disk::rename(&path, &free_name(&aside, &format!("{number:06}"))?)?;
            }
        }
        sync_dir(&self.dir)
    }

    /// Gives each number between those of files a file without chunks, and the newest of the last process what a file
    /// begins with if it is blank: Prometheus opens nothing else.
    pub(crate) fn fill_gaps(&self, blank: Option<u32>) -> io::Result<()> {
        if let Some(path) = blank.map(|number| self.path(number)).filter(|path| path.exists()) {
            // Replaced, not written to: whoever looks into a directory has links to its files in one of his own.
            let rewritten = path.with_extension(REWRITTEN);
            disk::write_synced(&rewritten, &file_header())?;
            disk::rename(&rewritten, &path)?;
            sync_dir(&self.dir)?;
        }
        segments::fill(&self.dir, &self.gaps()?, |number| {
            let file = disk::File::create_new(&self.path(number))?;
            file.write_all_at(&file_header(), 0)?;
            file.sync_all()
        })
    }

    /// Numbers that no file has, from that of the first file to that of the newest.
    fn gaps(&self) -> io::Result<Vec<Range<u32>>> {
        // What is written next gets the number after the newest, also when that file is gone.
        let next = self.last().saturating_add(1);
        let present: Vec<u32> = list(&self.dir)?.into_iter().map(|(number, _)| number).collect();
        Ok(present
            .first()
            .map_or_else(Vec::new, |&first| segments::gaps(present.iter().copied(), first, next)))
    }

    /// Deletes the files numbered below `first`. Readers that hold them keep them until they are done.
    pub(crate) fn delete_below(&self, first: u32) -> io::Result<()> {
        let writing = self.first_unfinished();
        for (number, path) in list(&self.dir)? {
            if number < first && number < writing {
                self.files.write().remove(&number);
                disk::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The file that is being written, or a number greater than those of all files.
    fn first_unfinished(&self) -> u32 {
        let current = self.current.lock();
        if current.file.is_some() { current.number } else { u32::MAX }
    }

    /// Takes chunks of samples out of order out of the files that were ended, all but those at the places given: blocks
    /// have their samples, and a start would find them again.
    ///
    /// The others keep their places: where a chunk was there is one of no encoding then, which Prometheus passes over too.
    pub(crate) fn drop_out_of_order(&self, kept: &HashSet<(u32, u32)>) -> io::Result<()> {
        let unfinished = self.first_unfinished();
        let ended: Vec<u32> = self.out_of_order.lock().range(..unfinished).copied().collect();
        for number in ended {
            let mut scan = Scan::default();
            let path = self.path(number);
            let Some(file) = self.file(number).filter(|_| path.exists()) else {
                self.out_of_order.lock().remove(&number);
                continue;
            };
            scan_file(&mut BufReader::with_capacity(STEP, File::open(&path)?), number, &mut scan)?;
            let (stay, go): (Vec<_>, Vec<_>) =
                scan.out_of_order.iter().partition(|chunk| kept.contains(&(chunk.file, chunk.offset)));
            if !go.is_empty() {
                self.rewrite(&file, &path, &go).inspect_err(|_| {
                    let _ = disk::remove_file(&path.with_extension(REWRITTEN));
                })?;
                self.files.write().insert(number, Arc::new(MappedFile::open(&File::open(&path)?)?));
            }
            if stay.is_empty() {
                self.out_of_order.lock().remove(&number);
            }
        }
        Ok(())
    }

    /// Replaces a file by a copy without the chunks that are to go, which are in order.
    fn rewrite(&self, file: &MappedFile, path: &Path, go: &[&FoundChunk]) -> io::Result<()> {
        let rewritten = path.with_extension(REWRITTEN);
        let copy = disk::File::create(&rewritten)?;
        let (mut at, mut bytes) = (0, Vec::new());
        let ends = go.iter().map(|chunk| chunk.offset as usize).chain([file.bytes().len()]);
        for (i, end) in ends.enumerate() {
            while at < end {
                file.read(&mut bytes, at, STEP.min(end - at))?;
                copy.append_all(&bytes)?;
                at += bytes.len();
            }
            if let Some(chunk) = go.get(i) {
                let (_, content) = chunk_at(file, chunk.offset).map_err(io::Error::other)?;
                bytes.clear();
                frame(&mut bytes, &chunk.with(content), DROPPED);
                copy.append_all(&bytes)?;
                at += bytes.len();
            }
        }
        copy.sync_all()?;
        disk::rename(&rewritten, path)?;
        sync_dir(&self.dir)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}"))
    }

    /// Bytes of the files in the directory.
    pub(crate) fn size(&self) -> u64 {
        let Ok(files) = list(&self.dir) else { return 0 };
        files.into_iter().map(|(_, path)| fs::metadata(path).map_or(0, |m| m.len())).sum()
    }
}

/// What a file begins with.
fn file_header() -> [u8; FILE_HEADER] {
    let [a, b, c, d] = MAGIC.to_be_bytes();
    [a, b, c, d, VERSION, 0, 0, 0]
}

fn frame(buf: &mut Vec<u8>, chunk: &NewChunk<'_>, encoding: u8) {
    let start = buf.len();
    buf.extend_from_slice(&chunk.series.to_be_bytes());
    buf.extend_from_slice(&chunk.min_time.to_be_bytes());
    buf.extend_from_slice(&chunk.max_time.to_be_bytes());
    buf.push(encoding);
    let mut len = chunk.bytes.len();
    while len >= 0x80 {
        buf.push(len as u8 | 0x80);
        len >>= 7;
    }
    buf.push(len as u8);
    buf.extend_from_slice(chunk.bytes);
    let sum = checksum(&buf[start..]);
    buf.extend_from_slice(&sum);
}

/// Length of the chunk that begins these bytes, with header and checksum.
pub(crate) fn chunk_length(bytes: &[u8]) -> Option<usize> {
    let (length, width) = bytes.get(CHUNK_HEADER..).and_then(uvarint)?;
    Some(CHUNK_HEADER + width + length + CHECKSUM)
}

fn uvarint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut x = 0usize;
    for (i, &b) in bytes.iter().take(5).enumerate() {
        x |= usize::from(b & 0x7f) << (7 * i);
        if b < 0x80 {
            return Some((x, i + 1));
        }
    }
    None
}

/// The encoding and bytes of the chunk at `offset`.
pub(crate) fn chunk_at(file: &MappedFile, offset: u32) -> Result<(Encoding, &[u8]), &'static str> {
    chunk_in(file.bytes().get(offset as usize..).ok_or(BEYOND)?)
}

/// What [`Window`] reads at once, in bytes: most chunks are a few hundred bytes long, and neighbours are often wanted.
const WINDOW: usize = 4 << 10;

/// Reads chunks without mapping them, which is for those who go through many and want none of them again.
#[derive(Default)]
pub(crate) struct Window {
    number: u32,
    start: usize,
    bytes: Vec<u8>,
}

impl Window {
    /// The encoding and bytes of the chunk at `offset` of the file with that number.
    pub(crate) fn chunk(
        &mut self,
        file: &MappedFile,
        number: u32,
        offset: u32,
    ) -> Result<(Encoding, &[u8]), &'static str> {
        let offset = offset as usize;
        let held =
            (number == self.number).then(|| self.bytes.get(offset.checked_sub(self.start)?..)).flatten();
        let is_whole = |rest: &[u8]| chunk_length(rest).is_some_and(|len| len <= rest.len());
        if held.is_none_or(|rest| !is_whole(rest)) {
            self.read(file, number, offset, WINDOW)?;
            let len = chunk_length(&self.bytes).ok_or("cut short")?;
            if len > self.bytes.len() {
                self.read(file, number, offset, len)?;
            }
        }
        chunk_in(self.bytes.get(offset - self.start..).ok_or(BEYOND)?)
    }

    fn read(&mut self, file: &MappedFile, number: u32, at: usize, len: usize) -> Result<(), &'static str> {
        (self.number, self.start) = (number, at);
        file.read(&mut self.bytes, at, len).inspect_err(|_| self.bytes.clear()).map_err(|_| "cannot be read")
    }
}

/// Also what is said of dropped chunks.
pub(crate) const UNKNOWN_ENCODING: &str = "unknown encoding";
const BEYOND: &str = "beyond the end of the file";

fn chunk_in(rest: &[u8]) -> Result<(Encoding, &[u8]), &'static str> {
    let encoding = *rest.get(CHUNK_HEADER - 1).ok_or("cut short")?;
    let (len, len_len) = rest.get(CHUNK_HEADER..).and_then(uvarint).ok_or("bad length")?;
    let start = CHUNK_HEADER + len_len;
    let bytes = rest.get(start..start + len).ok_or("cut short")?;
    let sum = rest.get(start + len..).and_then(|r| r.first_chunk()).ok_or("cut short")?;
    if !is_checksum(*sum, &rest[..start + len]) {
        return Err("wrong checksum");
    }
    let encoding = Encoding::try_from(encoding & !OUT_OF_ORDER).map_err(|_| UNKNOWN_ENCODING)?;
    Ok((encoding, bytes))
}

/// Whether nothing but zeros comes.
fn is_blank(reader: &mut impl Read) -> io::Result<bool> {
    let mut bytes = Vec::with_capacity(STEP);
    loop {
        bytes.clear();
        if reader.by_ref().take(STEP as u64).read_to_end(&mut bytes)? == 0 {
            return Ok(true);
        }
        if bytes.iter().any(|&b| b != 0) {
            return Ok(false);
        }
    }
}

pub(crate) fn scan_file(reader: &mut impl Read, file: u32, scan: &mut Scan) -> io::Result<()> {
    let mut offset = 0u64;
    let mut bytes = Vec::new();
    let mut fill = |bytes: &mut Vec<u8>, n: usize| -> io::Result<bool> {
        bytes.clear();
        reader.by_ref().take(n as u64).read_to_end(bytes)?;
        Ok(bytes.len() == n)
    };
    if !fill(&mut bytes, FILE_HEADER)? || bytes[..4] != MAGIC.to_be_bytes() || bytes[4] != VERSION {
        // Chunks may have reached the disk before the header when the power failed.
        if bytes.iter().any(|&b| b != 0) || !is_blank(reader)? {
            scan.damage.push(format!("chunks_head/{file:06}: not a file of chunks"));
        } else {
            scan.ends_blank = true;
        }
        return Ok(());
    }
    offset += FILE_HEADER as u64;
    let mut whole = Vec::new();
    loop {
        let mut torn = |why: &str| scan.damage.push(format!("chunks_head/{file:06} at {offset}: {why}"));
        if !fill(&mut bytes, CHUNK_HEADER + 1)? {
            if bytes.iter().any(|&b| b != 0) {
                torn("cut short");
            }
            return Ok(());
        }
        if bytes[..CHUNK_HEADER].iter().all(|&b| b == 0) {
            return Ok(()); // the zeros behind the last chunk
        }
        whole.clear();
        whole.extend_from_slice(&bytes);
        while whole.last().is_some_and(|b| *b >= 0x80) && whole.len() < CHUNK_HEADER + 5 {
            if !fill(&mut bytes, 1)? {
                torn("cut short");
                return Ok(());
            }
            whole.extend_from_slice(&bytes);
        }
        let Some((len, _)) = uvarint(&whole[CHUNK_HEADER..]).filter(|(len, _)| *len < 1 << 24) else {
            torn("impossible length");
            return Ok(());
        };
        if !fill(&mut bytes, len + CHECKSUM)? {
            torn("cut short");
            return Ok(());
        }
        whole.extend_from_slice(&bytes);
        let Some((data, sum)) = whole.split_last_chunk::<CHECKSUM>() else { return Ok(()) };
        let at = offset as u32;
        if !is_checksum(*sum, data) {
            torn("wrong checksum");
            offset += whole.len() as u64;
            continue;
        }
        offset += whole.len() as u64;
        let number = |at: usize| data[at..at + 8].iter().fold(0u64, |x, &b| x << 8 | u64::from(b));
        let (out_of_order, encoding) =
            (data[CHUNK_HEADER - 1] & OUT_OF_ORDER, data[CHUNK_HEADER - 1] & !OUT_OF_ORDER);
        let Ok(encoding) = Encoding::try_from(encoding) else {
            scan.skipped += u64::from(data[CHUNK_HEADER - 1] != DROPPED);
            continue;
        };
        let found = FoundChunk {
            series: number(0),
            min_time: number(8) as i64,
            max_time: number(16) as i64,
            encoding,
            file,
            offset: at,
        };
        match out_of_order {
            0 => scan.chunks.push(found),
            _ => scan.out_of_order.push(found),
        }
    }
}
