//! `create-blocks-from`: blocks of samples from elsewhere. Here is how they are made of a file of samples.
//!
//! promtool reads the whole file once for every two hours in it. We gather the samples of as many ranges as fit into
//! [`MEMORY`], encoded, and read the file again only for what is left. The blocks are the same: of a series only
//! samples count that are newer than all before, and those that were certain to be refused when promtool commits (after
//! every 5000 samples of a block) end the import.

mod input;
mod ranges;
mod recorded;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use block::{Block, BlockWriter, Compaction, Meta, NewChunk, Stats, Ulid, WriteOptions};
use chunk::Encoding;
use exposition::{Entry, MetricKind, PageFormat, PageParser, Registry, SeriesLine, labels_of};
use model::{Labels, LabelsBuilder};

use self::input::Input;
use self::ranges::{Range, Ranges};
use super::list;
use crate::tool::Failure;
use crate::tool::command_line::{BlockOutput, ImportArgs};
use crate::tool::failure::in_gos_words;

/// Encoded samples that are held at once, in bytes.
const MEMORY: usize = 512 << 20;
/// What promtool makes blocks of, in milliseconds.
const SHORTEST_BLOCK: i64 = 2 * 3600 * 1000;
/// Blocks grow by this factor from level to level, over so many levels.
const LEVEL_FACTOR: i64 = 3;
const LEVELS: u32 = 10;

pub(super) use recorded::run as rules;

pub(super) fn run(args: &ImportArgs, output: &BlockOutput) -> Result<(), Failure> {
    let mut input = Input::open(&args.input)?;
    let target = args.output.as_path();
    fs::create_dir_all(target)
        .map_err(|e| Failure::during("create output dir", in_gos_words("mkdir", target, &e)))?;
    let (oldest, newest) =
        time_range(&mut input).map_err(|text| Failure::during("getting min and max timestamp", text))?;
    let length = block_length(output.max_block_duration / 1_000_000);
    // As in Go, towards zero: times before 1970 are not imported.
    let first = length * (oldest / length);
    let mut labels = SeriesNames::new(&args.labels);
    let mut printed = Printed { head: true, output };
    let mut from = first;
    while from <= newest {
        let mut ranges = Ranges::new(from, length, MEMORY);
        read(&mut input, |series, kind, line| {
            let t = line.timestamp_ms.unwrap_or_default();
            if let Some(range) = ranges.of(t) {
                match labels.number(series, kind) {
                    Ok(number) => ranges.add(range, number, t, line.value),
                    Err(why) => ranges.fail(range, why),
                }
            }
            Ok(())
        })
        .map_err(|text| Failure::during("block creation", text))?;
        for range in ranges.gathered.values() {
            if let Some(why) = &range.failed {
                return Err(Failure::Told(format!("block creation: process blocks: add sample: {why}")));
            }
            let block = write_block(target, &labels.sets, range)
                .map_err(|e| Failure::during("block creation: process blocks: flush", e))?;
            printed.block(&block)?;
        }
        from = ranges.end;
    }
    Ok(())
}

/// Calls `each` with every sample of the input: its series as it is written, the type that goes with it, the line.
fn read(
    input: &mut Input,
    mut each: impl FnMut(&[u8], MetricKind, &SeriesLine<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let unreadable = |e: io::Error| e.to_string();
    let mut kind = MetricKind::Untyped;
    input.rewind().map_err(unreadable)?;
    while let Some(window) = input.next().map_err(unreadable)? {
        let mut parser = PageParser::new(PageFormat::OpenMetrics, window);
        loop {
            match parser.next().map_err(|e| format!("next: {e}"))? {
                Entry::Series(line) => each(line.series, kind, &line)?,
                // A window may begin behind the line that tells the type.
                Entry::Type { .. } => kind = parser.kind(),
                Entry::Eof => break,
                _ => {}
            }
        }
    }
    Ok(())
}

/// Times of the oldest and newest sample; 0 when there is none.
fn time_range(input: &mut Input) -> Result<(i64, i64), String> {
    let mut range: Option<(i64, i64)> = None;
    read(input, |_, _, line| {
        let t = line.timestamp_ms.ok_or("expected timestamp for series got none")?;
        let (oldest, newest) = range.unwrap_or((t, t));
        range = Some((oldest.min(t), newest.max(t)));
        Ok(())
    })?;
    Ok(range.unwrap_or_default())
}

/// The longest length of a level that is not above `most`, in milliseconds.
fn block_length(most: i64) -> i64 {
    let levels = (0..LEVELS).map(|level| SHORTEST_BLOCK * LEVEL_FACTOR.pow(level));
    levels.take_while(|length| *length <= most).last().unwrap_or(SHORTEST_BLOCK)
}

/// The series that were met, by number.
struct SeriesNames<'a> {
    added: &'a [(String, String)],
    /// By the type that was told, which may change how bounds are written, and by what stands on the line.
    known: HashMap<MetricKind, HashMap<Box<[u8]>, u32>>,
    numbers: HashMap<Labels, u32>,
    sets: Vec<Labels>,
    /// Neighbouring lines are often of one series.
    last: (MetricKind, Vec<u8>),
    last_number: Option<u32>,
}

impl<'a> SeriesNames<'a> {
    fn new(added: &'a [(String, String)]) -> Self {
        SeriesNames {
            added,
            known: HashMap::new(),
            numbers: HashMap::new(),
            sets: Vec::new(),
            last: (MetricKind::Untyped, Vec::new()),
            last_number: None,
        }
    }

    fn number(&mut self, series: &[u8], kind: MetricKind) -> Result<u32, String> {
        if let Some(number) = self.last_number.filter(|_| self.last.0 == kind && self.last.1 == series) {
            return Ok(number);
        }
        let number = match self.known.get(&kind).and_then(|known| known.get(series)) {
            Some(&number) => number,
            None => self.read(series, kind)?,
        };
        self.last.0 = kind;
        self.last.1.clear();
        self.last.1.extend_from_slice(series);
        self.last_number = Some(number);
        Ok(number)
    }

    fn read(&mut self, series: &[u8], kind: MetricKind) -> Result<u32, String> {
        let mut labels = labels_of(PageFormat::OpenMetrics, series, kind).map_err(|e| e.to_string())?;
        if !self.added.is_empty() {
            let mut builder = LabelsBuilder::new(&labels);
            for (name, value) in self.added {
                builder.set(name, value);
            }
            labels = builder.build();
        }
        if labels.is_empty() {
            return Err("empty labelset: invalid sample".to_owned());
        }
        let next = u32::try_from(self.sets.len()).map_err(|_| "more than 4294967295 series")?;
        let sets = &mut self.sets;
        let number = *self.numbers.entry(labels).or_insert_with_key(|labels| {
            sets.push(labels.clone());
            next
        });
        self.known.entry(kind).or_default().insert(series.into(), number);
        Ok(number)
    }
}

fn write_block(target: &Path, sets: &[Labels], range: &Range) -> Result<Block, block::BlockError> {
    let labels_of = |number: u32| sets.get(number as usize).cloned().unwrap_or_default();
    let mut series: Vec<(Labels, u32)> = range.series().map(|number| (labels_of(number), number)).collect();
    // Exported series are in order already, which a stable sort is quick to see.
    series.sort_by(|a, b| a.0.cmp(&b.0));
    // Prometheus' head has the empty text among its symbols.
    let mut symbols = HashSet::from([""]);
    for (labels, _) in &series {
        symbols.extend(labels.iter().flat_map(|(name, value)| [name, value]));
    }
    let mut symbols: Vec<&str> = symbols.into_iter().collect();
    symbols.sort_unstable();
    let now = crate::runtime::now_millis();
    let ulid = Ulid::generate(now);
    let mut writer = BlockWriter::create(target, ulid, &WriteOptions::default(), symbols.into_iter())?;
    let (mut min_time, mut max_time) = (i64::MAX, i64::MIN);
    for (labels, number) in &series {
        let chunks: Vec<NewChunk<'_>> = range
            .chunks(*number)
            .map(|chunk| NewChunk {
                encoding: Encoding::Xor,
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                bytes: chunk.bytes,
            })
            .collect();
        min_time = min_time.min(chunks.first().map_or(min_time, |chunk| chunk.min_time));
        max_time = max_time.max(chunks.last().map_or(max_time, |chunk| chunk.max_time));
        writer.add_series(labels, &chunks)?;
    }
    let meta = Meta {
        ulid: ulid.to_string(),
        min_time,
        max_time: max_time.saturating_add(1),
        stats: Stats::default(),
        compaction: Compaction { level: 1, sources: vec![ulid.to_string()], ..Compaction::default() },
        version: 1,
    };
    writer.finish(meta)?;
    Block::open(&target.join(ulid.to_string()), &block::Metrics::register(&Registry::new()))
}

/// The table of blocks, line by line.
struct Printed<'a> {
    head: bool,
    output: &'a BlockOutput,
}

impl Printed<'_> {
    fn block(&mut self, block: &Block) -> Result<(), Failure> {
        if self.output.quiet {
            return Ok(());
        }
        let table = list::table(std::slice::from_ref(block), self.head, self.output.human_readable);
        self.head = false;
        io::stdout().write_all(table.as_bytes()).map_err(|e| Failure::output(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_long_as_a_level() {
        let hours = |n: i64| n * 3600 * 1000;
        for (most, want) in
            [(0, 2), (hours(2), 2), (hours(5), 2), (hours(6), 6), (hours(9), 6), (hours(18), 18)]
        {
            assert_eq!(block_length(most), hours(want));
        }
        assert_eq!(block_length(i64::MAX), hours(2 * 19683));
    }
}
