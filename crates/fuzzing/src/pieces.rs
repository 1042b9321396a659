//! Parts of a data directory, put together from an input.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where a piece belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A record of the write-ahead log.
    Log,
    /// A record of the log of samples out of order.
    LateLog,
    /// A record of a checkpoint.
    Checkpoint,
    /// A record of a chunk snapshot.
    Snapshot,
    /// A record of the log of what came during a replay.
    YoungLog,
    /// A mapped chunk without its checksum.
    Chunk,
    /// A whole segment of the log.
    Segment,
    /// A whole file of mapped chunks.
    ChunkFile,
    /// What a snapshot says of references.
    LastReference,
}

const KINDS: [Kind; 9] = [
    Kind::Log,
    Kind::LateLog,
    Kind::Checkpoint,
    Kind::Snapshot,
    Kind::YoungLog,
    Kind::Chunk,
    Kind::Segment,
    Kind::ChunkFile,
    Kind::LastReference,
];

/// A part of a directory.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Where it belongs.
    pub kind: Kind,
    /// What it is.
    pub bytes: Vec<u8>,
}

/// The input of which [`split`] makes these pieces; those longer than 64 KiB are left out.
pub fn join(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for Piece { kind, bytes } in pieces {
        if let Ok(len) = u16::try_from(bytes.len()) {
            out.push(*kind as u8);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
    out
}

/// Kind, length (two bytes) and content of each piece, one behind the other.
pub(crate) fn split(mut data: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(([kind, high, low], rest)) = data.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        let kind = KINDS.get(usize::from(*kind) % KINDS.len()).copied().unwrap_or(Kind::Log);
        pieces.push(Piece { kind, bytes: bytes.to_vec() });
        data = rest;
    }
    pieces
}

/// Writes a data directory.
pub(crate) fn write(dir: &Path, pieces: &[Piece]) {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut segments, mut chunk_files) = (1, 1);
    for Piece { kind, bytes } in pieces {
        let record = match kind {
            Kind::Log => "wal/00000001",
            Kind::LateLog => "wbl/00000000",
            Kind::Checkpoint => "wal/checkpoint.00000000/00000000",
            // The whole first segment is in it.
            Kind::Snapshot => "chunk_snapshot.000002.0000000000/00000000",
            Kind::YoungLog => "wal-young/00000000",
            Kind::Chunk => {
                let file =
                    files.entry("chunks_head/000001".to_owned()).or_insert_with(|| CHUNK_FILE.to_vec());
                file.extend_from_slice(bytes);
                file.extend_from_slice(&crc32c(bytes));
                continue;
            }
            Kind::Segment => {
                segments += 1;
                files.insert(format!("wal/{segments:08}"), bytes.clone());
                continue;
            }
            Kind::ChunkFile => {
                chunk_files += 1;
                files.insert(format!("chunks_head/{chunk_files:06}"), bytes.clone());
                continue;
            }
            Kind::LastReference => {
                files.insert("chunk_snapshot.000002.0000000000/last_reference".to_owned(), bytes.clone());
                continue;
            }
        };
        frame(files.entry(record.to_owned()).or_default(), bytes);
    }
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Magic number, version, padding.
const CHUNK_FILE: [u8; 8] = [0x01, 0x30, 0xbc, 0x91, 1, 0, 0, 0];
const PAGE: usize = 32 * 1024;
/// Type, length, checksum.
const HEADER: usize = 7;

/// Appends a record to a segment as fragments of a page each.
fn frame(segment: &mut Vec<u8>, record: &[u8]) {
    let mut rest = record;
    let mut first = true;
    loop {
        let mut room = PAGE - segment.len() % PAGE;
        if room <= HEADER {
            segment.resize(segment.len() + room, 0);
            room = PAGE;
        }
        let (part, after) = rest.split_at(rest.len().min(room - HEADER));
        segment.push(match (first, after.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        });
        segment.extend_from_slice(&(part.len() as u16).to_be_bytes());
        segment.extend_from_slice(&crc32c(part));
        segment.extend_from_slice(part);
        if after.is_empty() {
            return;
        }
        (rest, first) = (after, false);
    }
}

fn crc32c(bytes: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_be_bytes()
}
