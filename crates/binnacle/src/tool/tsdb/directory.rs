//! A data directory and its blocks.

use std::fs;
use std::path::{Path, PathBuf};

use block::{Block, BlockError, Meta, is_ulid};
use exposition::Registry;

use crate::tool::Failure;
use crate::tool::failure::in_gos_words;

/// A directory that exists.
pub(super) fn check(dir: &Path) -> Result<(), Failure> {
    let opening = "opening the db dir";
    let meta = fs::metadata(dir).map_err(|e| Failure::during(opening, in_gos_words("stat", dir, &e)))?;
    if !meta.is_dir() {
        return Err(Failure::during(opening, format!("open {}: not a directory", dir.display())));
    }
    Ok(())
}

/// Names of the directories that are called as blocks are, in order.
pub(super) fn block_names(dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = fs::read_dir(dir).map_err(|e| Failure::call("open", dir, &e))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Failure::call("readdirent", dir, &e))?;
        names.extend(entry.file_name().into_string().ok().filter(|name| is_ulid(name)));
    }
    names.sort_unstable();
    Ok(names)
}

/// The blocks of a directory.
pub(super) struct Blocks {
    /// In order of their oldest time.
    pub(super) sound: Vec<Block>,
    /// A line about each that cannot be opened.
    pub(super) damaged: Vec<String>,
}

/// Opens all blocks. Those without a readable `meta.json` are passed over: they were never finished. Damaged ones do not
/// matter when a block that was made of them is there.
pub(super) fn blocks(dir: &Path) -> Result<Blocks, Failure> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut damaged = Vec::new();
    for name in block_names(dir)? {
        let path = dir.join(&name);
        let Ok(meta) = Meta::read(&path) else { continue };
        match open(&path) {
            Ok(block) => blocks.push(block),
            Err(why) => damaged.push((meta.ulid, why)),
        }
    }
    let replaced = |ulid: &str| {
        let parents = blocks.iter().flat_map(|block| &block.meta().compaction.parents);
        parents.into_iter().any(|parent| parent.ulid == ulid)
    };
    damaged.retain(|(ulid, _)| !replaced(ulid));
    blocks.sort_by_key(|block| block.meta().min_time);
    let damaged = damaged.iter().map(|(ulid, why)| format!("corrupted block {ulid}: {why}"));
    Ok(Blocks { damaged: damaged.collect(), sound: blocks })
}

/// One block: that of this name, or the one that was made last.
pub(super) fn block(dir: &Path, name: Option<&str>) -> Result<Block, Failure> {
    let path: PathBuf = match name {
        Some(name) => dir.join(name),
        None => dir.join(last_made(dir)?),
    };
    if !path.exists() {
        return Err(Failure::Told(format!("invalid block ID {}", name.unwrap_or_default())));
    }
    open(&path).map_err(Failure::Told)
}

fn open(path: &Path) -> Result<Block, String> {
    Block::open(path, &block::Metrics::register(&Registry::new())).map_err(|e| match e {
        BlockError::Io { path, source } => in_gos_words("open", &path, &source),
        e => e.to_string(),
    })
}

/// The first ten characters of a ULID are its time.
fn last_made(dir: &Path) -> Result<String, Failure> {
    let mut last: Option<String> = None;
    for name in block_names(dir)? {
        let time = |name: &str| name.get(..10).unwrap_or_default().to_ascii_uppercase();
        if last.as_deref().is_none_or(|last| time(&name) > time(last)) {
            last = Some(name);
        }
    }
    last.ok_or_else(|| Failure::Told("no blocks found".to_owned()))
}
