//! The write-ahead log with its checkpoints, the log of samples out of order, and chunk snapshots: all are segments of
//! records.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use block::Inspector;

use crate::wal::frame::Segment;
use crate::wal::{record, segments};

/// The references that a log has labels for.
#[derive(Debug, Default)]
pub struct KnownSeries(HashSet<u64>);

/// What an inspection found in a log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct InspectedLog {
    /// Files that were read.
    pub segments: u64,
    /// Records that could be read.
    pub records: u64,
    /// Series that it names.
    pub series: u64,
    /// Floats and native histograms in it.
    pub samples: u64,
    /// Samples of series that it does not name.
    pub lost: u64,
}

/// Checks `wal/` of a data directory, the newest checkpoint included, and adds the series that it names to `known`.
///
/// # Errors
/// When files cannot be read.
pub fn inspect_log(
    data: &Path,
    known: &mut KnownSeries,
    inspector: &mut dyn Inspector,
) -> io::Result<InspectedLog> {
    let dir = data.join("wal");
    let mut log = Log::new(inspector, known);
    log.notice_strangers(&dir)?;
    let mut checkpoints = segments::checkpoints(&dir)?;
    let checkpoint = checkpoints.pop();
    for (_, path) in &checkpoints {
        log.inspector.noticed(path, "a newer checkpoint stands in its place");
    }
    let all = segments::list(&dir)?;
    let live = all.iter().position(|(n, _)| checkpoint.as_ref().is_none_or(|(covered, _)| n > covered));
    let live = live.and_then(|first| all.get(first..)).unwrap_or_default();
    let first = checkpoint.as_ref().map_or(0, |(covered, _)| covered + 1);
    if let Some((n, path)) = live.first().filter(|(n, _)| *n > first) {
        let what = match &checkpoint {
            Some(_) => format!("segments {first} to {} are missing", n - 1),
            None => format!("segments {first} to {} are missing, and no checkpoint stands for them", n - 1),
        };
        log.inspector.damaged(path, None, &what);
    }
    let mut empty_checkpoint = None;
    if let Some((_, path)) = &checkpoint {
        let parts = segments::list(path)?;
        if parts.is_empty() {
            log.inspector.damaged(path, None, "the checkpoint is empty");
        }
        log.in_sequence(&parts);
        for (_, path) in &parts {
            log.segment(path, false)?;
        }
        empty_checkpoint = (log.found.records == 0).then_some(path);
    }
    log.in_sequence(live);
    for (i, (_, path)) in live.iter().enumerate() {
        log.segment(path, i + 1 == live.len())?;
    }
    let lost = log.found.lost;
    if lost > 0 {
        let what = format!("{lost} samples are of series that the log does not name; no start can read them");
        match empty_checkpoint {
            // It would name them: every checkpoint names the series that later segments have samples of.
            Some(path) => {
                log.inspector.damaged(path, None, &format!("the checkpoint has no content, and {what}"));
            }
            None => log.inspector.noticed(&dir, &what),
        }
    }
    Ok(log.found)
}

/// Checks `wbl/` of a data directory, whose log names the series `known`.
///
/// # Errors
/// When files cannot be read.
pub fn inspect_out_of_order_log(
    data: &Path,
    known: &mut KnownSeries,
    inspector: &mut dyn Inspector,
) -> io::Result<InspectedLog> {
    let dir = data.join("wbl");
    let mut log = Log::new(inspector, known);
    log.notice_strangers(&dir)?;
    let all = segments::list(&dir)?;
    log.in_sequence(&all);
    for (i, (_, path)) in all.iter().enumerate() {
        log.segment(path, i + 1 == all.len())?;
    }
    let lost = log.found.lost;
    if lost > 0 {
        let what = format!("{lost} samples are of series that the write-ahead log does not name");
        log.inspector.damaged(&dir, None, &what);
    }
    Ok(log.found)
}

/// Checks a directory `chunk_snapshot.…`, and adds the series that it names to `known`.
///
/// # Errors
/// When files cannot be read.
pub fn inspect_snapshot(
    dir: &Path,
    known: &mut KnownSeries,
    inspector: &mut dyn Inspector,
) -> io::Result<InspectedLog> {
    let mut log = Log::new(inspector, known);
    log.snapshot = true;
    let all = segments::list(dir)?;
    if all.is_empty() {
        log.inspector.damaged(dir, None, "the snapshot is empty");
    }
    log.in_sequence(&all);
    for (_, path) in &all {
        log.segment(path, false)?;
    }
    Ok(log.found)
}

struct Log<'a> {
    inspector: &'a mut dyn Inspector,
    found: InspectedLog,
    known: &'a mut KnownSeries,
    /// Whether records are those of a snapshot.
    snapshot: bool,
}

impl<'a> Log<'a> {
    fn new(inspector: &'a mut dyn Inspector, known: &'a mut KnownSeries) -> Self {
        Log { inspector, found: InspectedLog::default(), known, snapshot: false }
    }

    /// What does not belong to a log, or was left by a process that died.
    fn notice_strangers(&mut self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("checkpoint.").unwrap_or(name);
            if number.parse::<u32>().is_err() {
                self.inspector.noticed(&path, "it is not part of the log");
            }
        }
        Ok(())
    }

    fn in_sequence(&mut self, segments: &[(u32, std::path::PathBuf)]) {
        for pair in segments.windows(2) {
            if let [(a, _), (b, path)] = pair
                && a + 1 != *b
            {
                let what = format!("the segment before it is missing: {a} is followed by {b}");
                self.inspector.damaged(path, None, &what);
            }
        }
    }

    fn segment(&mut self, path: &Path, last: bool) -> io::Result<()> {
        let file = File::open(path)?;
        self.inspector.advanced(file.metadata()?.len());
        self.found.segments += 1;
        let mut segment = Segment::new(BufReader::with_capacity(1 << 20, file));
        let mut content = Vec::new();
        let mut bad = Vec::new();
        while let Some((packed, compression)) = segment.next_packed()? {
            let outcome = compression.unpack(packed, &mut content).and_then(|()| {
                if self.snapshot { self.snapshot_record(&content) } else { self.record(&content) }
            });
            match outcome {
                Ok(()) => self.found.records += 1,
                Err(reason) => bad.push((segment.record_start, reason)),
            }
        }
        for damage in &segment.damage {
            let torn = last && damage.offset >= segment.good_end;
            let what = if torn {
                format!("{} (the log was being written: a start cuts it off here)", damage.reason)
            } else {
                damage.reason.to_owned()
            };
            self.inspector.damaged(path, Some(damage.offset), &what);
        }
        for (offset, reason) in bad {
            self.inspector.damaged(path, Some(offset), reason);
        }
        Ok(())
    }

    /// Only the front of a series' record is looked at: type and reference.
    fn snapshot_record(&mut self, content: &[u8]) -> Result<(), &'static str> {
        match content.split_first() {
            Some((&record::SNAPSHOT_SERIES, rest)) => {
                let reference = rest.first_chunk().ok_or("a record whose content cannot be read")?;
                self.found.series += u64::from(self.known.0.insert(u64::from_be_bytes(*reference)));
                Ok(())
            }
            Some((&(record::SNAPSHOT_TOMBSTONES | record::SNAPSHOT_EXEMPLARS), _)) => Ok(()),
            _ => Err("a record of an unknown kind"),
        }
    }

    /// Reads a record to its end.
    fn record(&mut self, content: &[u8]) -> Result<(), &'static str> {
        let (known, found) = (&mut self.known.0, &mut self.found);
        let mut sample = |reference: u64| {
            found.samples += 1;
            found.lost += u64::from(!known.contains(&reference));
        };
        let outcome = match content.first().copied().unwrap_or_default() {
            record::SAMPLES | record::SAMPLES_V2 => {
                record::read_samples(content, |reference, _, _, _| sample(reference))
            }
            kind if record::is_histograms(kind) => {
                record::read_histograms(content, |entry| sample(entry.reference))
            }
            record::SERIES => record::split_series(content, |reference, _| {
                found.series += u64::from(known.insert(reference));
            }),
            record::TOMBSTONES => record::read_tombstones(content, |_, _, _| {}),
            record::EXEMPLARS => record::read_exemplars(content, |_, _, _, _| {}),
            record::MMAP_MARKERS => record::read_mmap_markers(content, |_, _| {}),
            record::METADATA => record::read_metadata(content, |_, _| {}),
            _ => return Err("a record of an unknown kind"),
        };
        outcome.map_err(|_| "a record whose content cannot be read")
    }
}
