//! Opening the head of a directory without changing it.
//!
//! Replay repairs what it finds damaged, writes the chunks that it fills and begins a new segment. So it is given a
//! directory of its own with links to the files of the real one; the last segment of each log, the only kind of file
//! that a repair cuts in place, is copied. A server may go on writing to the directory meanwhile.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use block::Block;
use exposition::Registry;
use tsdb::{Head, HeadOptions};

use crate::tool::Failure;
use crate::tool::failure::in_gos_words;

/// How often linking begins anew when a server removes files meanwhile.
const ATTEMPTS: usize = 5;

/// The head of a directory, opened in a sandbox that goes when this does.
pub(super) struct Sandbox {
    pub(super) head: Head,
    // After the head, which writes to it until it is dropped.
    _dir: OwnDirectory,
}

impl Sandbox {
    /// `None` when the directory has no log and no chunks of a head. `blocks` are those of the directory.
    pub(super) fn open(
        data: &Path,
        root: Option<&Path>,
        blocks: &[Block],
    ) -> Result<Option<Sandbox>, Failure> {
        let dir = OwnDirectory::create(data, root)?;
        if !link_head(data, &dir.0)? {
            return Ok(None);
        }
        let options = HeadOptions { lock_file: false, ..HeadOptions::default() };
        let head = Head::open_replaying(&dir.0, options, &Registry::new())?;
        if let Some(end) = tsdb::cut_up_to(blocks) {
            head.begin_at(end);
        }
        head.replay()?;
        Ok(Some(Sandbox { head, _dir: dir }))
    }
}

/// A directory that is removed when this is dropped.
struct OwnDirectory(PathBuf);

impl OwnDirectory {
    /// In `root`, or where temporary files belong, or if that is not to be written to in `data`.
    fn create(data: &Path, root: Option<&Path>) -> Result<Self, Failure> {
        let setting_up = |text: String| Failure::during("setting up sandbox dir", text);
        let create = |root: &Path| {
            let path = root.join(format!("tmp_dbro_sandbox{}", random()));
            fs::DirBuilder::new().mode(0o700).create(&path).map(|()| OwnDirectory(path))
        };
        match root {
            Some(root) => {
                fs::metadata(root).map_err(|e| setting_up(in_gos_words("stat", root, &e)))?;
                create(root).map_err(|e| setting_up(in_gos_words("mkdir", root, &e)))
            }
            None => create(&std::env::temp_dir())
                .or_else(|_| create(data))
                .map_err(|e| setting_up(in_gos_words("mkdir", data, &e))),
        }
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        // What cannot be removed is a directory that its name explains.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn random() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8) as u32
}

/// Links what the head has in `data` into `sandbox`; `false` when there is nothing.
fn link_head(data: &Path, sandbox: &Path) -> Result<bool, Failure> {
    let data = fs::canonicalize(data).map_err(|e| Failure::call("lstat", data, &e))?;
    for attempt in 1.. {
        match link_all(&data, sandbox) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => clear(sandbox),
            outcome => return outcome.map_err(|e| Failure::call("link", &data, &e)),
        }
    }
    Ok(false)
}

fn clear(sandbox: &Path) {
    for entry in fs::read_dir(sandbox).into_iter().flatten().flatten() {
        let _ = fs::remove_dir_all(entry.path());
    }
}

fn link_all(data: &Path, sandbox: &Path) -> io::Result<bool> {
    let mut any = false;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(text) = name.to_str() else { continue };
        let log = matches!(text, "wal" | "wbl");
        if (log || text == "chunks_head" || text.starts_with("chunk_snapshot.")) && entry.path().is_dir() {
            link_tree(&entry.path(), &sandbox.join(&name), log)?;
            any = true;
        }
    }
    Ok(any)
}

/// A directory like `from`, with links for files; of a log, the last segment is copied.
fn link_tree(from: &Path, to: &Path, log: bool) -> io::Result<()> {
    fs::create_dir(to)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().is_dir() {
            link_tree(&entry.path(), &to.join(entry.file_name()), false)?;
        } else {
            files.push(entry.file_name());
        }
    }
    let number = |name: &std::ffi::OsStr| name.to_str().and_then(|text| text.parse::<u64>().ok());
    let last = files.iter().filter(|name| log && number(name).is_some()).max_by_key(|name| number(name));
    for name in &files {
        let (original, own) = (from.join(name), to.join(name));
        if Some(name) == last {
            fs::copy(&original, &own)?;
        } else if let Err(error) = fs::hard_link(&original, &own) {
            // Another file system, or a file of another user; a file that is gone must be noticed.
            if error.kind() == io::ErrorKind::NotFound {
                return Err(error);
            }
            symlink(&original, &own)?;
        }
    }
    Ok(())
}
