//! `list`: the blocks of a directory as a table.

use std::io::{self, Write as _};

use block::Block;

use super::directory;
use crate::tool::Failure;
use crate::tool::command_line::ListArgs;

const HEAD: [&str; COLUMNS] =
    ["BLOCK ULID", "MIN TIME", "MAX TIME", "DURATION", "NUM SAMPLES", "NUM CHUNKS", "NUM SERIES", "SIZE"];
const COLUMNS: usize = 8;
/// Of all columns but the last, with the space behind them.
const MIN_WIDTH: usize = 13;
const SPACE: usize = 2;

pub(super) fn run(args: &ListArgs) -> Result<(), Failure> {
    directory::check(&args.path)?;
    let blocks = directory::blocks(&args.path)?;
    if !blocks.damaged.is_empty() {
        return Err(Failure::Told(blocks.damaged.join("\n")));
    }
    let text = table(&blocks.sound, true, args.human_readable);
    io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::output(&e))
}

/// The blocks as lines of a table.
pub(super) fn table(blocks: &[Block], head: bool, for_people: bool) -> String {
    let mut lines: Vec<[String; COLUMNS]> = Vec::new();
    if head {
        lines.push(HEAD.map(str::to_owned));
    }
    lines.extend(blocks.iter().map(|block| {
        let meta = block.meta();
        [
            meta.ulid.clone(),
            time(meta.min_time, for_people),
            time(meta.max_time, for_people),
            model::duration::format_go(meta.max_time.wrapping_sub(meta.min_time).wrapping_mul(1_000_000)),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            meta.stats.num_series.to_string(),
            size(block.bytes(), for_people),
        ]
    }));
    let mut widths = [MIN_WIDTH; COLUMNS];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.len() + SPACE);
        }
    }
    let mut out = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(widths).take(COLUMNS - 1) {
            out.push_str(&format!("{cell:width$}"));
        }
        out.extend(line.last().map(String::as_str));
        out.push('\n');
    }
    out
}

/// `2023-11-14 22:00:00 +0000 UTC`, in whole seconds
fn time(millis: i64, for_people: bool) -> String {
    if !for_people {
        return millis.to_string();
    }
    let text = model::timestamp::format_rfc3339(millis - millis % 1000);
    let seconds = text.get(..19).unwrap_or_default().replace('T', " ");
    format!("{seconds} +0000 UTC")
}

/// `16KiB453B`: all units that are not zero
fn size(bytes: u64, for_people: bool) -> String {
    if !for_people || bytes == 0 {
        return format!("{bytes}{}", if for_people { "B" } else { "" });
    }
    let units = ["EiB", "PiB", "TiB", "GiB", "MiB", "KiB", "B"];
    let mut out = String::new();
    for (unit, shift) in units.into_iter().zip((0..=60).rev().step_by(10)) {
        let n = bytes >> shift & 1023;
        if n > 0 {
            out.push_str(&format!("{n}{unit}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_for_people() {
        for (bytes, want) in [
            (0, "0B"),
            (468, "468B"),
            (1024, "1KiB"),
            (16837, "16KiB453B"),
            (5 << 30 | 3, "5GiB3B"),
            ((1 << 40) + (1 << 20), "1TiB1MiB"),
        ] {
            assert_eq!(size(bytes, true), want);
        }
        assert_eq!(time(1_795_249_555_494, true), "2026-11-21 08:25:55 +0000 UTC");
        assert_eq!(time(-1500, true), "1969-12-31 23:59:59 +0000 UTC");
    }
}
