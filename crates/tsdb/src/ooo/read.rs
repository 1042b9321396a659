//! Reading a series that has samples out of order.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::Intervals;
use storage::{ChunkView, SelectError};

use super::buffer::Late;
use super::delete::{Stone, deleted_of};
use super::encode::{self, Encoded};
use super::merge::{self, Merged, Source};
use super::table::{Mapped, Place, Series};
use crate::chunk_files::chunk_at;
use crate::mmap::MappedFile;
use crate::without::without;

/// What a reader keeps of a series: the places of its chunks and a copy of its buffer.
#[derive(Debug)]
pub(crate) struct Copied {
    mapped: Vec<Mapped>,
    /// Those of which some was deleted.
    partial: Vec<(Mapped, Intervals)>,
    open: Vec<Late>,
    /// What is left of `partial`, and what was in `open`.
    encoded: Vec<Encoded>,
}

/// The chunks that are delivered of a series.
pub(crate) type Delivered = Vec<Merged>;

impl Series {
    /// What reaches into the time range; `None` when nothing does. With `upto`, only chunks up to that place.
    pub(crate) fn copy(
        &self,
        stones: &[Stone],
        min_time: i64,
        max_time: i64,
        upto: Option<Place>,
    ) -> Option<Copied> {
        let inside = |min: i64, max: i64| min <= max_time && max >= min_time;
        let wanted = |chunk: &&Mapped| {
            inside(chunk.min_time, chunk.max_time) && upto.is_none_or(|upto| chunk.place <= upto)
        };
        let (mut mapped, mut partial) = (Vec::new(), Vec::new());
        for chunk in self.mapped.iter().filter(wanted) {
            let deleted = deleted_of(stones, chunk);
            if deleted.is_empty() {
                mapped.push(*chunk);
            } else if !deleted.covers(chunk.min_time, chunk.max_time) {
                partial.push((*chunk, deleted));
            }
        }
        let open = self.open.bounds().filter(|&(min, max)| upto.is_none() && inside(min, max));
        let open = open.map_or(Vec::new(), |_| self.open.samples().to_vec());
        let any = !mapped.is_empty() || !partial.is_empty() || !open.is_empty();
        any.then_some(Copied { mapped, partial, open, encoded: Vec::new() })
    }
}

impl Copied {
    /// The files that its chunks are in.
    pub(crate) fn files(&self) -> impl Iterator<Item = u32> {
        self.mapped.iter().chain(self.partial.iter().map(|(chunk, _)| chunk)).map(|chunk| chunk.place.file)
    }

    /// Makes chunks of the copy of the buffer, and of what is left of those of which some was deleted.
    pub(crate) fn encode(&mut self, files: &BTreeMap<u32, Arc<MappedFile>>) -> Result<(), SelectError> {
        for (chunk, deleted) in std::mem::take(&mut self.partial) {
            let (encoding, bytes) = bytes_of(files, chunk.place)?;
            let left =
                without(encoding, bytes, &deleted).map_err(|e| corrupt(chunk.place, &e.to_string()))?;
            self.encoded.extend(left.into_iter().map(|rest| Encoded {
                encoding: rest.encoding,
                min_time: rest.min_time,
                max_time: rest.max_time,
                samples: chunk::sample_count(rest.encoding, &rest.bytes),
                bytes: rest.bytes,
            }));
        }
        let open = std::mem::take(&mut self.open);
        encode::encode(&open, encode::lossless(&open), usize::MAX, &mut self.encoded);
        Ok(())
    }

    /// All chunks of the series.
    pub(crate) fn sources<'a>(
        &'a self,
        in_order: &[ChunkView<'a>],
        files: &'a BTreeMap<u32, Arc<MappedFile>>,
    ) -> Result<Vec<Source<'a>>, SelectError> {
        let mut sources = Vec::with_capacity(in_order.len() + self.mapped.len() + self.encoded.len());
        for view in in_order {
            if let ChunkView::Encoded { encoding, min_time, max_time, bytes, .. } = *view {
                sources.push(Source { min_time, max_time, encoding, bytes });
            }
        }
        for &Mapped { min_time, max_time, place } in &self.mapped {
            let (encoding, bytes) = bytes_of(files, place)?;
            sources.push(Source { min_time, max_time, encoding, bytes });
        }
        for &Encoded { encoding, min_time, max_time, ref bytes, .. } in &self.encoded {
            sources.push(Source { min_time, max_time, encoding, bytes });
        }
        Ok(sources)
    }
}

fn corrupt(Place { file, offset }: Place, why: &str) -> SelectError {
    SelectError::Corrupt(format!("chunks_head/{file:06} at offset {offset}: {why}"))
}

fn bytes_of(
    files: &BTreeMap<u32, Arc<MappedFile>>,
    place: Place,
) -> Result<(chunk::Encoding, &[u8]), SelectError> {
    let file = files.get(&place.file).ok_or_else(|| corrupt(place, "the file is missing"))?;
    chunk_at(file, place.offset).map_err(|why| corrupt(place, why))
}

/// Puts the chunks of a series in order and makes one of those that overlap.
pub(crate) fn deliver(sources: &[Source<'_>]) -> Result<Delivered, SelectError> {
    merge::merge(sources).map_err(|(i, error)| {
        let from = sources.get(i).map_or(0, |source| source.min_time);
        SelectError::Corrupt(format!("a head chunk that begins at {from} does not decode: {error}"))
    })
}

/// What is delivered, as readers want it.
pub(crate) fn views<'a>(delivered: &'a Delivered, sources: &[Source<'a>]) -> Vec<ChunkView<'a>> {
    let view = |merged: &'a Merged| match merged {
        Merged::New(chunk) => Some(ChunkView::Encoded {
            encoding: chunk.encoding,
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            samples: chunk.samples,
            bytes: &chunk.bytes,
        }),
        Merged::AsIs(i) => {
            let &Source { min_time, max_time, encoding, bytes } = sources.get(*i)?;
            let samples = chunk::sample_count(encoding, bytes);
            Some(ChunkView::Encoded { encoding, min_time, max_time, samples, bytes })
        }
    };
    delivered.iter().filter_map(view).collect()
}
