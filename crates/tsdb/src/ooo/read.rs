//! Reading a series that has samples out of order.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::{ChunkView, SelectError};

use super::buffer::Late;
use super::encode::{self, Encoded};
use super::merge::{self, Merged, Source};
use super::table::{Mapped, Place, Series};
use crate::chunk_files::chunk_at;
use crate::mmap::MappedFile;

/// What a reader keeps of a series: the places of its chunks and a copy of its buffer.
#[derive(Debug)]
pub(crate) struct Copied {
    mapped: Vec<Mapped>,
    open: Vec<Late>,
    /// What was in `open`.
    encoded: Vec<Encoded>,
}

/// The chunks that are delivered of a series.
pub(crate) type Delivered = Vec<Merged>;

impl Series {
    /// What reaches into the time range; `None` when nothing does. With `upto`, only chunks up to that place.
    pub(crate) fn copy(&self, min_time: i64, max_time: i64, upto: Option<Place>) -> Option<Copied> {
        let inside = |min: i64, max: i64| min <= max_time && max >= min_time;
        let wanted = |chunk: &&Mapped| {
            inside(chunk.min_time, chunk.max_time) && upto.is_none_or(|upto| chunk.place <= upto)
        };
        let mapped: Vec<Mapped> = self.mapped.iter().filter(wanted).copied().collect();
        let open = self.open.bounds().filter(|&(min, max)| upto.is_none() && inside(min, max));
        let open = open.map_or(Vec::new(), |_| self.open.samples().to_vec());
        (!mapped.is_empty() || !open.is_empty()).then_some(Copied { mapped, open, encoded: Vec::new() })
    }
}

impl Copied {
    /// Bytes of memory held, without those of histograms.
    pub(crate) fn held(&self) -> usize {
        self.mapped.capacity() * size_of::<Mapped>() + self.open.capacity() * size_of::<Late>()
    }

    /// The files that its chunks are in.
    pub(crate) fn files(&self) -> impl Iterator<Item = u32> {
        self.mapped.iter().map(|chunk| chunk.place.file)
    }

    /// Makes chunks of the copy of the buffer.
    pub(crate) fn encode(&mut self) {
        let open = std::mem::take(&mut self.open);
        encode::encode(&open, encode::lossless(&open), usize::MAX, &mut self.encoded);
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
            let corrupt = |why: &str| {
                let Place { file, offset } = place;
                SelectError::Corrupt(format!("chunks_head/{file:06} at offset {offset}: {why}"))
            };
            let file = files.get(&place.file).ok_or_else(|| corrupt("the file is missing"))?;
            let (encoding, bytes) = chunk_at(file, place.offset).map_err(corrupt)?;
            sources.push(Source { min_time, max_time, encoding, bytes });
        }
        for &Encoded { encoding, min_time, max_time, ref bytes, .. } in &self.encoded {
            sources.push(Source { min_time, max_time, encoding, bytes });
        }
        Ok(sources)
    }
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
