//! Which series of a shard have samples that came out of order, and where those are.

use std::collections::HashMap;

use super::buffer::Buffer;

/// A chunk in `chunks_head`. Those of a series overlap in any way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mapped {
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) place: Place,
}

/// File and offset: later chunks have greater places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) offset: u32,
}

impl Place {
    /// As the log's markers hold it.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.file) << 32 | u64::from(self.offset)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Place { file: (bits >> 32) as u32, offset: bits as u32 }
    }
}

/// What a series has.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// In order of place.
    pub(crate) mapped: Vec<Mapped>,
    pub(crate) open: Buffer,
}

impl Series {
    /// Times of the oldest and newest sample.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        let mapped = self.mapped.iter().map(|chunk| (chunk.min_time, chunk.max_time));
        mapped.chain(self.open.bounds()).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Whether a chunk reaches into the time range.
    pub(crate) fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        let mapped = self.mapped.iter().map(|chunk| (chunk.min_time, chunk.max_time));
        mapped.chain(self.open.bounds()).any(|(min, max)| min <= max_time && max >= min_time)
    }

    /// Number of chunks, the open one included.
    pub(crate) fn chunks(&self) -> usize {
        self.mapped.len() + usize::from(!self.open.is_empty())
    }
}

/// By slot. Series without such samples cost nothing here.
#[derive(Debug, Default)]
pub(crate) struct Table {
    series: HashMap<u32, Series, foldhash::fast::RandomState>,
}

impl Table {
    pub(crate) fn get(&self, slot: u32) -> Option<&Series> {
        // Asked for every series of an answer, and nearly always empty.
        if self.series.is_empty() { None } else { self.series.get(&slot) }
    }

    pub(crate) fn entry(&mut self, slot: u32) -> &mut Series {
        self.series.entry(slot).or_default()
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.series.remove(&slot);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Series)> {
        self.series.iter().map(|(&slot, series)| (slot, series))
    }

    /// Drops the chunks up to a place, and series that have nothing left; says how many chunks.
    pub(crate) fn drop_upto(&mut self, upto: Place) -> usize {
        let mut dropped = 0;
        self.series.retain(|_, series| {
            let before = series.mapped.len();
            series.mapped.retain(|chunk| chunk.place > upto);
            dropped += before - series.mapped.len();
            series.chunks() > 0
        });
        self.series.shrink_to_fit();
        dropped
    }

    /// The first chunk file that is needed.
    pub(crate) fn first_file(&self) -> Option<u32> {
        self.series.values().flat_map(|series| series.mapped.iter().map(|chunk| chunk.place.file)).min()
    }

    /// Times of the oldest and newest sample.
    pub(crate) fn bounds(&self) -> Option<(i64, i64)> {
        self.series.values().filter_map(Series::bounds).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Bytes held, without those of histograms.
    pub(crate) fn held(&self) -> usize {
        let of = |series: &Series| series.mapped.capacity() * size_of::<Mapped>() + series.open.held();
        self.series.capacity() * (size_of::<(u32, Series)>() + 1)
            + self.series.values().map(of).sum::<usize>()
    }
}
