//! `verify`: every checksum, list, record and sample of a data directory; what is damaged, with file and offset.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use block::{Inspected, Inspector, is_ulid};
use tsdb::{InspectedLog, KnownSeries};

use super::directory;
use super::progress::Progress;
use crate::tool::Failure;
use crate::tool::command_line::VerifyArgs;

/// Findings shown of each part of the directory; the others are counted.
const SHOWN: usize = 100;

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    directory::check(&args.path)?;
    let dir = &args.path;
    let mut report = Report::new(dir);
    if dir.join("index").is_file() {
        // A block rather than a directory of them.
        let found = block::inspect(dir, &mut report);
        let name = fs::canonicalize(dir).ok().and_then(|path| Some(path.file_name()?.display().to_string()));
        report.end_part(&name.unwrap_or_default(), &of_block(found))?;
        return report.end();
    }
    let parts = Parts::of(dir)?;
    for name in &parts.blocks {
        let found = block::inspect(&dir.join(name), &mut report);
        report.end_part(name, &of_block(found))?;
    }
    let mut known = KnownSeries::default();
    for name in &parts.snapshots {
        let path = dir.join(name);
        let found = report.io(&path, |report| tsdb::inspect_snapshot(&path, &mut known, report));
        let InspectedLog { segments, records, series, .. } = found.unwrap_or_default();
        report.end_part(name, &format!("{segments} segments, {records} records, {series} series"))?;
    }
    if parts.log {
        let found = report.io(&dir.join("wal"), |report| tsdb::inspect_log(dir, &mut known, report));
        report.end_part("wal", &of_log(found.unwrap_or_default()))?;
    }
    if parts.out_of_order_log {
        if !parts.log {
            report.noticed(&dir.join("wal"), "it is missing, but wbl, which goes with it, is there");
        }
        let found =
            report.io(&dir.join("wbl"), |report| tsdb::inspect_out_of_order_log(dir, &mut known, report));
        report.end_part("wbl", &of_log(found.unwrap_or_default()))?;
    }
    if parts.head_chunks {
        let found = report.io(&dir.join("chunks_head"), |report| tsdb::inspect_chunks_head(dir, report));
        let found = found.unwrap_or_default();
        let text = format!("{} files, {} chunks, {} samples", found.files, found.chunks, found.samples);
        report.end_part("chunks_head", &text)?;
    }
    for name in &parts.left_over {
        report.noticed(&dir.join(name), "it was left by a process that died; the next start removes it");
    }
    report.end()
}

fn of_block(found: Inspected) -> String {
    let samples = found.floats + found.histograms;
    format!("{} series, {} chunks, {samples} samples", found.series, found.chunks)
}

fn of_log(found: InspectedLog) -> String {
    let InspectedLog { segments, records, series, samples, .. } = found;
    format!("{segments} segments, {records} records, {series} series, {samples} samples")
}

/// What there is in a data directory.
#[derive(Default)]
struct Parts {
    blocks: Vec<String>,
    log: bool,
    out_of_order_log: bool,
    head_chunks: bool,
    snapshots: Vec<String>,
    left_over: Vec<String>,
}

impl Parts {
    fn of(dir: &Path) -> Result<Parts, Failure> {
        let mut parts = Parts::default();
        let entries = fs::read_dir(dir).map_err(|e| Failure::call("open", dir, &e))?;
        for entry in entries {
            let entry = entry.map_err(|e| Failure::call("readdirent", dir, &e))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !entry.path().is_dir() {
                continue;
            }
            let temporary = [".tmp-for-creation", ".tmp-for-deletion", ".tmp"];
            match name.as_str() {
                "wal" => parts.log = true,
                "wbl" => parts.out_of_order_log = true,
                "chunks_head" => parts.head_chunks = true,
                name if temporary.iter().any(|suffix| name.ends_with(suffix)) => {
                    parts.left_over.push(name.to_owned());
                }
                name if name.starts_with("chunk_snapshot.") => parts.snapshots.push(name.to_owned()),
                name if is_ulid(name) => parts.blocks.push(name.to_owned()),
                _ => {}
            }
        }
        parts.blocks.sort_unstable();
        parts.snapshots.sort_unstable();
        parts.left_over.sort_unstable();
        Ok(parts)
    }
}

/// Total length of the files that are looked at.
fn total_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => total_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

/// Tells findings part by part, and on a terminal how far the work is.
struct Report {
    root: PathBuf,
    progress: Progress,
    lines: Vec<String>,
    /// Of this part.
    damaged: usize,
    /// Findings of this part that are not among `lines`.
    more: usize,
    /// Of all parts that are over.
    total_damaged: usize,
}

impl Report {
    fn new(root: &Path) -> Self {
        let progress = Progress::new("Checking", || total_bytes(root));
        Report { root: root.to_owned(), progress, lines: Vec::new(), damaged: 0, more: 0, total_damaged: 0 }
    }

    /// Does a part of the work; files that cannot be read are damage.
    fn io<T>(&mut self, path: &Path, work: impl FnOnce(&mut Report) -> io::Result<T>) -> Option<T> {
        work(self).map_err(|e| self.damaged(path, None, &e.to_string())).ok()
    }

    fn add(&mut self, kind: &str, file: &Path, what: &str) {
        if self.lines.len() >= SHOWN {
            self.more += 1;
            return;
        }
        let file = file.strip_prefix(&self.root).unwrap_or(file).display();
        self.lines.push(format!("  {kind:7}  {file}{what}"));
    }

    fn end_part(&mut self, name: &str, found: &str) -> Result<(), Failure> {
        let verdict = if self.damaged > 0 { "DAMAGED" } else { "sound" };
        self.print(&format!("{name:26}  {verdict:7}  {found}\n"))?;
        self.end_findings()
    }

    fn end_findings(&mut self) -> Result<(), Failure> {
        let mut lines: String = self.lines.drain(..).map(|line| line + "\n").collect();
        if self.more > 0 {
            lines.push_str(&format!("  … and {} more\n", self.more));
        }
        self.total_damaged += self.damaged;
        (self.damaged, self.more) = (0, 0);
        self.print(&lines)
    }

    fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.progress.clear();
        io::stdout().write_all(text.as_bytes()).map_err(|e| Failure::output(&e))
    }

    fn end(mut self) -> Result<ExitCode, Failure> {
        self.end_findings()?;
        match self.total_damaged {
            0 => {
                self.print("Nothing is damaged.\n")?;
                Ok(ExitCode::SUCCESS)
            }
            n => {
                let places = if n == 1 { "place is" } else { "places are" };
                self.print(&format!("{n} {places} damaged.\n"))?;
                Ok(ExitCode::from(1))
            }
        }
    }
}

impl Inspector for Report {
    fn damaged(&mut self, file: &Path, offset: Option<u64>, what: &str) {
        self.damaged += 1;
        let place = offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
        self.add("damaged", file, &format!("{place}: {what}"));
    }

    fn noticed(&mut self, file: &Path, what: &str) {
        self.add("note", file, &format!(": {what}"));
    }

    fn advanced(&mut self, bytes: u64) {
        self.progress.advance(bytes);
    }
}
