//! A disk that can be stopped, torn, filled and flipped at any point.
//!
//! [`Recorder`] notes what a store does to its directory while the real files are written as always. [`Image`] takes the
//! operations one by one, and [`Image::write_to`] lays out the directory as it was at that point: what a process that is
//! killed there leaves behind, or ([`Image::after_power_loss`]) a machine that loses power. [`Full`] is a disk with little
//! room left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ::disk::simulate::{Allowed, Op, Watch};
use parking_lot::Mutex;

/// An operation, with paths relative to the recorded directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Operation {
    Create(PathBuf),
    Write { path: PathBuf, at: u64, bytes: Vec<u8> },
    SetLen { path: PathBuf, len: u64 },
    SyncFile(PathBuf),
    SyncDir(PathBuf),
    CreateDir(PathBuf),
    Rename { from: PathBuf, to: PathBuf },
    Link { original: PathBuf, link: PathBuf },
    RemoveFile(PathBuf),
    RemoveDirAll(PathBuf),
}

/// Notes all operations and lets them happen.
#[derive(Debug)]
pub struct Recorder {
    root: PathBuf,
    operations: Mutex<Vec<Operation>>,
}

impl Recorder {
    /// For the directory `root`, to be given to [`disk::simulate::watch`].
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Recorder { root: root.to_owned(), operations: Mutex::default() }
    }

    /// How many operations there were so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.lock().len()
    }

    /// Whether nothing happened yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All operations so far.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().clone()
    }
}

impl Watch for Recorder {
    fn before(&self, op: &Op<'_>) -> Allowed {
        let relative = |path: &Path| path.strip_prefix(&self.root).unwrap_or(path).to_owned();
        let (operation, bytes) = match *op {
            Op::Create { path } => (Operation::Create(relative(path)), 0),
            Op::Write { path, at, bytes } => {
                (Operation::Write { path: relative(path), at, bytes: bytes.to_vec() }, bytes.len())
            }
            Op::SetLen { path, len } => (Operation::SetLen { path: relative(path), len }, 0),
            Op::SyncFile { path } => (Operation::SyncFile(relative(path)), 0),
            Op::SyncDir { path } => (Operation::SyncDir(relative(path)), 0),
            Op::CreateDir { path } => (Operation::CreateDir(relative(path)), 0),
            Op::Rename { from, to } => (Operation::Rename { from: relative(from), to: relative(to) }, 0),
            Op::Link { original, link } => {
                (Operation::Link { original: relative(original), link: relative(link) }, 0)
            }
            Op::RemoveFile { path } => (Operation::RemoveFile(relative(path)), 0),
            Op::RemoveDirAll { path } => (Operation::RemoveDirAll(relative(path)), 0),
        };
        self.operations.lock().push(operation);
        Allowed { bytes, outcome: Ok(()) }
    }
}

/// A disk with room for so many more bytes; more can be given later.
#[derive(Debug)]
pub struct Full {
    room: AtomicU64,
}

impl Full {
    /// With room for `bytes`.
    #[must_use]
    pub fn after(bytes: u64) -> Self {
        Full { room: AtomicU64::new(bytes) }
    }

    /// Somebody made room.
    pub fn free(&self, bytes: u64) {
        self.room.fetch_add(bytes, Ordering::SeqCst);
    }
}

impl Watch for Full {
    fn before(&self, op: &Op<'_>) -> Allowed {
        let no_room = || Err(io::Error::from(ErrorKind::StorageFull));
        match op {
            Op::Write { bytes, .. } => {
                let wanted = bytes.len() as u64;
                let take = |room: u64| Some(room - room.min(wanted));
                let room = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or(0);
                let outcome = if room < wanted { no_room() } else { Ok(()) };
                Allowed { bytes: room.min(wanted) as usize, outcome }
            }
            Op::Create { .. } | Op::CreateDir { .. } | Op::Link { .. }
                if self.room.load(Ordering::SeqCst) == 0 =>
            {
                Allowed { bytes: 0, outcome: no_room() }
            }
            _ => Allowed { bytes: 0, outcome: Ok(()) },
        }
    }
}

/// Content of a file; beyond `bytes` it is zeros up to `len`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Content {
    bytes: Vec<u8>,
    len: u64,
}

impl Content {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let (at, end) = (at as usize, at as usize + bytes.len());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[at..end].copy_from_slice(bytes);
        self.len = self.len.max(end as u64);
    }

    fn set_len(&mut self, len: u64) {
        self.bytes.truncate(len as usize);
        self.len = len;
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    now: Content,
    /// As it was when it was last forced to the disk.
    durable: Content,
}

/// A directory at one point of its life.
#[derive(Debug, Clone, Default)]
pub struct Image {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Node>,
}

impl Image {
    /// Does what `operation` did.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(path) => drop(self.files.insert(path.clone(), Node::default())),
            Operation::Write { path, at, bytes } => {
                self.files.entry(path.clone()).or_default().now.write(*at, bytes);
            }
            Operation::SetLen { path, len } => self.files.entry(path.clone()).or_default().now.set_len(*len),
            Operation::SyncFile(path) => {
                if let Some(node) = self.files.get_mut(path) {
                    node.durable = node.now.clone();
                }
            }
            Operation::SyncDir(_) => {}
            Operation::CreateDir(path) => drop(self.dirs.insert(path.clone())),
            Operation::Rename { from, to } => self.rename(from, to),
            Operation::Link { original, link } => {
                if let Some(node) = self.files.get(original).cloned() {
                    self.files.insert(link.clone(), node);
                }
            }
            Operation::RemoveFile(path) => drop(self.files.remove(path)),
            Operation::RemoveDirAll(path) => {
                self.dirs.retain(|dir| !dir.starts_with(path));
                self.files.retain(|file, _| !file.starts_with(path));
            }
        }
    }

    /// Does the first `bytes` bytes of a write; nothing of any other operation.
    pub fn apply_torn(&mut self, operation: &Operation, bytes: usize) {
        if let Operation::Write { path, at, bytes: all } = operation {
            let part = all.get(..bytes).unwrap_or(all);
            self.files.entry(path.clone()).or_default().now.write(*at, part);
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved = |path: &Path| {
            path.strip_prefix(from)
                .ok()
                .map(|rest| if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
        };
        let files = std::mem::take(&mut self.files);
        let (going, staying): (BTreeMap<_, _>, BTreeMap<_, _>) =
            files.into_iter().partition(|(path, _)| path.starts_with(from));
        self.files = staying;
        self.files.extend(going.into_iter().filter_map(|(path, node)| Some((moved(&path)?, node))));
        self.dirs =
            std::mem::take(&mut self.dirs).into_iter().map(|dir| moved(&dir).unwrap_or(dir)).collect();
    }

    /// The same with only what was forced to the disk in its files. Names are kept as they are: journalling file systems
    /// keep them in order.
    #[must_use]
    pub fn after_power_loss(&self) -> Image {
        let mut lost = self.clone();
        lost.files.values_mut().for_each(|node| node.now = node.durable.clone());
        lost
    }

    /// Files, each with its length without the zeros that nobody wrote.
    pub fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.files.iter().map(|(path, node)| (path.as_path(), node.now.bytes.len()))
    }

    /// Flips bits of one byte.
    pub fn flip(&mut self, path: &Path, at: usize, bits: u8) {
        if let Some(byte) = self.files.get_mut(path).and_then(|node| node.now.bytes.get_mut(at)) {
            *byte ^= bits;
        }
    }

    /// Cuts a file off.
    pub fn cut(&mut self, path: &Path, len: usize) {
        if let Some(node) = self.files.get_mut(path) {
            node.now.set_len(len as u64);
        }
    }

    /// Lays the directory out at an empty place.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write_to(&self, root: &Path) -> io::Result<()> {
        for dir in &self.dirs {
            fs::create_dir_all(root.join(dir))?;
        }
        for (path, node) in &self.files {
            let path = root.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let file = fs::File::create(&path)?;
            file.write_all_at(&node.now.bytes, 0)?;
            file.set_len(node.now.len)?;
        }
        Ok(())
    }

    /// What lies in a directory now, all of it as if forced to the disk.
    ///
    /// # Errors
    /// As the file system says.
    pub fn read_from(root: &Path) -> io::Result<Image> {
        let mut image = Image::default();
        let mut pending = vec![root.to_owned()];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
                if path.is_dir() {
                    image.dirs.insert(relative);
                    pending.push(path);
                    continue;
                }
                let mut bytes = fs::read(&path)?;
                let len = bytes.len() as u64;
                let written = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                bytes.truncate(written);
                let content = Content { bytes, len };
                image.files.insert(relative, Node { now: content.clone(), durable: content });
            }
        }
        Ok(image)
    }
}
