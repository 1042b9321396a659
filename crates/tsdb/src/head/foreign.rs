//! References of the log that are not the head's own, and which series they stand for.
//!
//! They come from a start that took samples while it replayed ([`super::young`]), or from Prometheus, which goes on
//! counting from the highest reference that it finds. Each stands for the series with its labels. If the log has not
//! named that series under a reference of the head's own yet, one is made with a *provisional* id, from the top of
//! the ids of its shard: which ids are free is only known at the end of the old log. Should the log then name the
//! series after all, its samples move there; what is left at the end gets an id, and a record in the new log.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use chunk::Encoding;
use model::Labels;

use super::Head;
use super::replay::{MAX_ID, Own, Replay, hash};
use crate::chunk_files::FoundChunk;
use crate::closed::{self, ClosedChunk, Place};
use crate::lookup::Location;
use crate::shard::{RefMap, ShardData};

/// References whose translation is kept together: those of a start follow each other.
const EXTENT_BITS: u32 = 10;
const EXTENT: usize = 1 << EXTENT_BITS;

/// How far the replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The log that the last process left. New series get provisional ids.
    OldLog,
    /// The log of this process, which has no references of the head's own but what the replay itself put there. Series
    /// are in the index, and new ones enter it at once.
    OwnLog,
}

/// See the module.
pub(super) struct Foreign {
    stage: Stage,
    refs: RefMap,
    /// The first reference that is not the head's own.
    limit: u64,
    /// The head's own reference by foreign reference; 0 where there is none.
    known: HashMap<u64, Box<[u64; EXTENT]>>,
    /// Chunks of files that name a foreign reference.
    found: HashMap<u64, Vec<FoundChunk>>,
    /// Series of the record that is being read, with their labels.
    unsettled: Vec<(u64, Labels)>,
    /// Series with provisional ids, by the hash of their labels.
    provisional: HashMap<u64, Vec<Location>>,
    /// Provisional ids given out, by shard.
    given: Vec<u32>,
    /// References made of provisional ids, with what became of them.
    settled: HashMap<u64, u64>,
    /// References that chunk files need, with the head's own: the log must go on naming them.
    pub(super) aliases: HashMap<u64, u64>,
    /// Series that were made.
    pub(super) created: usize,
}

impl Foreign {
    pub(super) fn new(refs: RefMap, shards: usize) -> Self {
        Foreign {
            stage: Stage::OldLog,
            refs,
            limit: refs.reference(0, MAX_ID),
            known: HashMap::new(),
            found: HashMap::new(),
            unsettled: Vec::new(),
            provisional: HashMap::new(),
            given: vec![0; shards],
            settled: HashMap::new(),
            aliases: HashMap::new(),
            created: 0,
        }
    }

    /// Whether the chunk is of a foreign reference; it is kept until the series is known.
    pub(super) fn keep_chunk(&mut self, chunk: FoundChunk) -> bool {
        let foreign = chunk.series >= self.limit;
        if foreign {
            self.found.entry(chunk.series).or_default().push(chunk);
        }
        foreign
    }

    /// Whether [`settle`](Self::settle) must be called before anything else is read.
    pub(super) fn take_in(&mut self, reference: u64, labels: &Labels, replay: &Replay<'_>) -> bool {
        let mine = reference >= self.limit
            || !self.provisional.is_empty() && self.provisional.contains_key(&hash(replay.hasher, labels));
        if mine {
            self.unsettled.push((reference, labels.clone()));
        }
        // Of its own references this process' log names none that are not known.
        mine || self.stage == Stage::OwnLog
    }

    pub(super) fn is_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// The head's own reference of the series that `reference` stands for.
    #[inline]
    pub(super) fn own(&self, reference: u64) -> u64 {
        if reference < self.limit { reference } else { self.translate(reference) }
    }

    fn translate(&self, reference: u64) -> u64 {
        let extent = self.known.get(&(reference >> EXTENT_BITS));
        match extent.map_or(0, |extent| extent[reference as usize % EXTENT]) {
            0 => reference,
            own => self.settled.get(&own).copied().unwrap_or(own),
        }
    }

    fn set(&mut self, reference: u64, own: u64) {
        let extent = self.known.entry(reference >> EXTENT_BITS).or_insert_with(|| Box::new([0; EXTENT]));
        extent[reference as usize % EXTENT] = own;
    }

    /// Finds the series of the references that were taken in. Nobody else works on the shards.
    pub(super) fn settle(&mut self, shards: &mut Shards<'_, '_, '_>, replay: &Replay<'_>) {
        for (reference, labels) in std::mem::take(&mut self.unsettled) {
            if reference < self.limit {
                self.name(shards, replay, reference, &labels);
                continue;
            }
            let Some(at) = newest(shards, replay, &labels).or_else(|| self.create(shards, replay, &labels))
            else {
                continue;
            };
            let own = shards.of(at.shard());
            let current = self.refs.reference(at.shard(), own.data.series(at.slot()).id);
            self.set(reference, current);
            if let Some(mut chunks) = self.found.remove(&reference) {
                chunks.sort_by_key(|c| c.min_time);
                attach(own.data, at.slot(), &chunks);
                self.aliases.insert(reference, current);
            }
        }
    }

    fn create(
        &mut self,
        shards: &mut Shards<'_, '_, '_>,
        replay: &Replay<'_>,
        labels: &Labels,
    ) -> Option<Location> {
        let shard = spread(labels) as usize & (self.given.len() - 1);
        let data = &mut *shards.of(shard).data;
        let provisional = self.stage == Stage::OldLog;
        let id = if provisional {
            let id = MAX_ID.checked_add(self.given[shard])?;
            self.given[shard] += 1;
            id
        } else {
            data.next_id
        };
        let slot = data.create(id, labels)?;
        let at = Location::new(shard, slot);
        let hash = hash(replay.hasher, labels);
        replay.lookup.lock(hash).insert(at);
        if provisional {
            self.provisional.entry(hash).or_default().push(at);
        } else {
            data.next_id += 1;
            data.index(slot);
            replay.note_series(self.refs.reference(shard, id), labels);
        }
        self.created += 1;
        Some(at)
    }

    /// The old log names a series under a reference of the head's own that may have a provisional one.
    fn name(
        &mut self,
        shards: &mut Shards<'_, '_, '_>,
        replay: &Replay<'_>,
        reference: u64,
        labels: &Labels,
    ) {
        let hash = hash(replay.hasher, labels);
        let alike = self.provisional.get_mut(&hash);
        let found = alike.and_then(|alike| {
            let i = alike.iter().position(|at| shards.of(at.shard()).data.has_labels(at.slot(), labels))?;
            Some(alike.swap_remove(i))
        });
        let shard = self.refs.shard_of(reference);
        let Some(at) = found else {
            shards.create(shard, reference, labels);
            return;
        };
        if self.provisional.get(&hash).is_some_and(Vec::is_empty) {
            self.provisional.remove(&hash);
        }
        let old = &mut *shards.of(at.shard()).data;
        let (mapped, open) = take_chunks(old, at.slot());
        self.settled.insert(self.refs.reference(at.shard(), old.series(at.slot()).id), reference);
        replay.lookup.lock(hash).remove(at);
        old.remove(&[at.slot()], 0);
        old.bury(u64::MAX);
        self.created -= 1;
        let Some(slot) = shards.create_bare(shard, reference, labels) else { return };
        let own = shards.of(shard);
        attach(own.data, slot, &mapped);
        own.attach_found(slot, reference);
        for (encoding, bytes) in open {
            // What the series' mapped chunks have already is refused.
            append_chunk(own.data, slot, replay, encoding, &bytes);
        }
    }

    /// The old log was read: gives the series with provisional ids their own, and tells the new log.
    pub(super) fn name_the_rest(&mut self, shards: &mut Shards<'_, '_, '_>, replay: &Replay<'_>) {
        self.stage = Stage::OwnLog;
        let mut rest: Vec<Location> = self.provisional.drain().flat_map(|(_, at)| at).collect();
        // In the order in which they came: series of a target stay together.
        rest.sort_unstable_by_key(|at| (at.shard(), shards.of(at.shard()).data.series(at.slot()).id));
        for at in rest {
            let data = &mut *shards.of(at.shard()).data;
            let provisional = data.series(at.slot()).id;
            let id = data.next_id;
            data.next_id += 1;
            data.rename(at.slot(), id);
            let reference = self.refs.reference(at.shard(), id);
            self.settled.insert(self.refs.reference(at.shard(), provisional), reference);
            if !data.series(at.slot()).closed.is_none() {
                data.unwritten.push(at.slot());
            }
            replay.note_series(reference, &data.labels(at.slot()));
        }
        for current in self.aliases.values_mut() {
            *current = self.settled.get(current).copied().unwrap_or(*current);
        }
    }

    /// After the series were joined: what stands for a series that was taken into another stands for that.
    pub(super) fn follow_joins(&mut self, joined: &HashMap<u64, u64>) {
        if joined.is_empty() {
            return;
        }
        let known = self.known.values_mut().flat_map(|extent| extent.iter_mut());
        for own in known.chain(self.settled.values_mut()).chain(self.aliases.values_mut()) {
            *own = joined.get(own).copied().unwrap_or(*own);
        }
    }
}

/// What a checkpoint calls the series of foreign references: once all records under those are behind it, the head's own
/// reference takes their place, so that the log does not fill with names of one series.
pub(super) struct Renaming<'h> {
    head: &'h Head,
    limit: u64,
    /// Later segments may still have samples under foreign references.
    keep: bool,
    /// The head's own reference by foreign reference.
    known: HashMap<u64, u64>,
    /// Series that the checkpoint names.
    named: HashSet<u64>,
}

impl<'h> Renaming<'h> {
    pub(super) fn new(head: &'h Head, upto: u32) -> Self {
        Renaming {
            head,
            limit: head.refs.reference(0, MAX_ID),
            keep: upto < head.last_young_segment.load(Ordering::Relaxed),
            known: HashMap::new(),
            named: HashSet::new(),
        }
    }

    /// Notes what the log says of a series. Answers the reference to name it by; `None` when that was done already.
    pub(super) fn series(&mut self, reference: u64, labels: &Labels) -> Option<u64> {
        if reference >= self.limit
            && let Some(own) = self.head.reference_of(labels)
        {
            self.known.insert(reference, own);
        }
        let name = self.name(reference);
        self.named.insert(name).then_some(name)
    }

    /// The reference to write instead of `reference`.
    pub(super) fn name(&self, reference: u64) -> u64 {
        if reference < self.limit || self.keep || self.head.alias(reference).is_some() {
            return reference;
        }
        self.own(reference)
    }

    /// The head's own reference.
    pub(super) fn own(&self, reference: u64) -> u64 {
        if reference < self.limit {
            return reference;
        }
        self.known.get(&reference).copied().unwrap_or(reference)
    }
}

impl Head {
    /// The series that has taken the place of `reference`.
    pub(super) fn alias(&self, reference: u64) -> Option<u64> {
        self.aliases.get()?.get(&reference).copied()
    }

    fn reference_of(&self, labels: &Labels) -> Option<u64> {
        let mut reference = None;
        self.lookup.find(self.hash(labels), |at| {
            let data = self.shards[at.shard()].data.read();
            let found = data.has_labels(at.slot(), labels);
            if found {
                reference = Some(self.refs.reference(at.shard(), data.series(at.slot()).id));
            }
            found
        });
        reference
    }
}

/// All shards, while their workers wait.
pub(super) struct Shards<'w, 'r, 's> {
    pub(super) workers: Vec<parking_lot::MutexGuard<'w, super::replay::Worker<'r, 's>>>,
}

impl<'s> Shards<'_, '_, 's> {
    fn of(&mut self, shard: usize) -> &mut Own<'s> {
        let count = self.workers.len();
        self.workers[shard % count].own(shard)
    }

    fn create(&mut self, shard: usize, reference: u64, labels: &Labels) {
        let count = self.workers.len();
        self.workers[shard % count].create(reference, labels);
    }

    fn create_bare(&mut self, shard: usize, reference: u64, labels: &Labels) -> Option<u32> {
        let count = self.workers.len();
        self.workers[shard % count].create_bare(reference, labels)
    }
}

/// The series with these labels; of several, which a later step of the replay joins, the one with the newest samples.
fn newest(shards: &mut Shards<'_, '_, '_>, replay: &Replay<'_>, labels: &Labels) -> Option<Location> {
    let mut best: Option<(Option<i64>, u64, Location)> = None;
    replay.lookup.find(hash(replay.hasher, labels), |at| {
        let data = &*shards.of(at.shard()).data;
        if data.has_labels(at.slot(), labels) {
            let series = data.series(at.slot());
            let rank = (series.last_time(&data.slab), replay.refs.reference(at.shard(), series.id), at);
            if best.is_none_or(|(time, reference, _)| (time, reference) < (rank.0, rank.1)) {
                best = Some(rank);
            }
        }
        false
    });
    best.map(|(.., at)| at)
}

/// Series of a target belong into one shard, and the log does not say which are: these two labels are a good guess.
fn spread(labels: &Labels) -> u64 {
    let bytes = labels.value("job").bytes().chain(labels.value("instance").bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    hash >> 32
}

/// Lets a series refer to chunks of files that are newer than what it has.
pub(super) fn attach(data: &mut ShardData, slot: u32, chunks: &[FoundChunk]) {
    let (series, slab) = data.series_and_slab(slot);
    let mut last = series.last_time(slab);
    for chunk in chunks {
        if last.is_some_and(|last| chunk.min_time <= last) {
            continue;
        }
        let entry = ClosedChunk::in_file(chunk.min_time, chunk.max_time, chunk.file, chunk.offset);
        if closed::push(slab, &mut series.closed, entry).is_some() {
            last = Some(chunk.max_time);
        }
    }
}

type Taken = (Vec<FoundChunk>, Vec<(Encoding, Vec<u8>)>);

/// The chunks of a series in order of time: those in files, and copies of those in memory.
fn take_chunks(data: &mut ShardData, slot: u32) -> Taken {
    let (series, slab) = data.series_and_slab(slot);
    if series.close_open(slab).is_none() {
        return Taken::default();
    }
    let (mut mapped, mut copies) = Taken::default();
    let mut chunks: Vec<ClosedChunk> = closed::newest_first(slab, series.closed).collect();
    chunks.reverse();
    for chunk in chunks {
        match chunk.place() {
            Place::Memory(addr, len) => copies.push((Encoding::Xor, slab.bytes(addr)[..len].to_vec())),
            Place::File(file, offset) => mapped.push(FoundChunk {
                series: 0,
                min_time: chunk.min_time,
                max_time: chunk.max_time(),
                file,
                offset,
            }),
        }
    }
    (mapped, copies)
}

fn append_chunk(data: &mut ShardData, slot: u32, replay: &Replay<'_>, encoding: Encoding, bytes: &[u8]) {
    let mut samples = chunk::Columns::default();
    if chunk::decode(encoding, bytes, chunk::sample_count(encoding, bytes), &mut samples).is_err() {
        return;
    }
    for (&t, &v) in samples.times.iter().zip(&samples.values) {
        super::replay::append_sample(data, slot, replay.rules, t, v);
    }
}
