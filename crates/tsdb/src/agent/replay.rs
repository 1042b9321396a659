//! Reading the log at the start: which series there are, and when each had its newest sample.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::FixedState;
use model::Labels;

use super::{Agent, Gone};
use crate::lookup::Location;
use crate::wal::frame::Segment;
use crate::wal::read::each_record;
use crate::wal::record::{self, BadRecord};
use crate::wal::{repair, segments};

/// What is known while the log is read.
#[derive(Default)]
struct Progress {
    /// The segment that is being read, or that the checkpoint stands for.
    segment: u32,
    /// References of labels that another reference had before.
    aliases: HashMap<u64, u64, FixedState>,
    /// The greatest reference that was met.
    greatest: u64,
    /// Samples of series that the log does not name.
    unknown: u64,
}

impl Agent {
    /// Reads checkpoint and segments before `end`.
    pub(super) fn replay(&mut self, end: u32) -> io::Result<()> {
        let mut progress = Progress::default();
        let checkpoint = segments::checkpoints(&self.wal_dir)?.pop();
        let mut covered = None;
        if let Some((number, dir)) = checkpoint {
            progress.segment = number;
            covered = Some(number);
            for (_, path) in segments::list(&dir)? {
                let damaged = self.read_segment(&path, &mut progress)?;
                if let Some((damage, _)) = damaged {
                    repair::repair_checkpoint(&path, &damage)?;
                }
            }
        }
        let behind = segments::list(&self.wal_dir)?.into_iter();
        let behind: Vec<_> =
            behind.filter(|(n, _)| *n < end && covered.is_none_or(|covered| *n > covered)).collect();
        let last = behind.last().map(|(n, _)| *n);
        for (number, path) in &behind {
            progress.segment = *number;
            if let Some((damage, good_end)) = self.read_segment(path, &mut progress)? {
                repair::repair(path, Some(*number) == last, &damage, good_end)?;
            }
        }
        let first = covered.map_or(0, |covered| covered.saturating_add(1));
        // Of a log that begins later, what came before was truncated.
        let first = behind.first().map_or(end, |(n, _)| if covered.is_some() { first } else { *n });
        let gaps = segments::gaps(behind.iter().map(|(n, _)| *n), first, end);
        repair::report_missing(&self.wal_dir, &gaps, &self.metrics.corruptions);
        repair::fill_gaps(&self.wal_dir, &gaps)?;
        if progress.unknown > 0 {
            tracing::warn!(skipped_series = progress.unknown, "found sample referencing non-existing series");
        }
        for (index, shard) in self.shards.iter().enumerate() {
            let table = &mut shard.data.write().table;
            table.next_id = table.next_id.max(self.refs.first_free_after(index, progress.greatest));
        }
        self.metrics.active_series.set(self.series() as f64);
        self.metrics.deleted_series.set(self.gone.lock().len() as f64);
        Ok(())
    }

    /// Takes in a segment; what is wrong with it, and where its good part ends, if something is.
    fn read_segment(
        &self,
        path: &Path,
        progress: &mut Progress,
    ) -> io::Result<Option<(Vec<crate::wal::frame::Damage>, u64)>> {
        let segment = Segment::new(BufReader::with_capacity(1 << 20, File::open(path)?));
        let read =
            each_record(segment, &AtomicBool::new(false), |record, _| Ok(self.take_in(record, progress)))?;
        if read.damage.is_empty() {
            return Ok(None);
        }
        self.metrics.corruptions.inc();
        Ok(Some((read.damage, read.good_end)))
    }

    fn take_in(&self, record: &[u8], progress: &mut Progress) -> Result<(), BadRecord> {
        match record.first() {
            Some(&record::SERIES) => record::read_series(record, |reference, labels| {
                self.take_series(reference, &labels, progress);
            }),
            Some(&(record::SAMPLES | record::SAMPLES_V2)) => {
                let mut times = Times::new(self, progress);
                record::read_samples(record, |reference, _, t, _| times.take(reference, t))
            }
            Some(&kind) if record::is_histograms(kind) => {
                let mut times = Times::new(self, progress);
                record::read_histograms(record, |h| times.take(h.reference, h.t))
            }
            // Exemplars are news again after a start; the rest is of other programs.
            _ => Ok(()),
        }
    }

    fn take_series(&self, reference: u64, labels: &Labels, progress: &mut Progress) {
        progress.greatest = progress.greatest.max(reference);
        let hash = self.hash(labels);
        if let Some(known) = self.find(hash, labels) {
            if known != reference {
                // The first one holds; the log must name the other as long as it has samples under it.
                progress.aliases.insert(reference, known);
                let gone = Gone { segment: progress.segment, labels: labels.clone() };
                self.gone.lock().insert(reference, gone);
            }
            return;
        }
        let shard = self.refs.shard_of(reference);
        let Some(id) = self.refs.id_of(reference) else { return };
        let slot = {
            let mut data = self.shards[shard].data.write();
            match data.table.slot_of(id) {
                // Damage: two label sets under one reference.
                Some(_) => None,
                None => data.create(id, labels),
            }
        };
        if let Some(slot) = slot {
            self.lookup.lock(hash).insert(Location::new(shard, slot));
            self.series.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The times of the samples of one record.
struct Times<'a> {
    agent: &'a Agent,
    progress: &'a mut Progress,
    /// The shard that the sample before was of.
    shard: Option<(usize, parking_lot::RwLockWriteGuard<'a, super::series::Data>)>,
}

impl<'a> Times<'a> {
    fn new(agent: &'a Agent, progress: &'a mut Progress) -> Self {
        Times { agent, progress, shard: None }
    }

    fn take(&mut self, mut reference: u64, t: i64) {
        let (agent, progress) = (self.agent, &mut *self.progress);
        progress.greatest = progress.greatest.max(reference);
        if let Some(&known) = progress.aliases.get(&reference) {
            if let Some(gone) = agent.gone.lock().get_mut(&reference) {
                gone.segment = gone.segment.max(progress.segment);
            }
            reference = known;
        }
        let shard = agent.refs.shard_of(reference);
        if self.shard.as_ref().is_none_or(|(held, _)| *held != shard) {
            self.shard = None;
            self.shard = Some((shard, agent.shards[shard].data.write()));
        }
        let Some((_, data)) = &mut self.shard else { return };
        let slot = agent.refs.id_of(reference).and_then(|id| data.table.slot_of(id));
        match slot {
            Some(slot) => {
                data.note(slot, t);
                agent.newest.fetch_max(t, Ordering::Relaxed);
            }
            None => progress.unknown += 1,
        }
    }
}
