//! A disk that can be stopped, torn, filled and flipped at any point.
//!
//! [`Recorder`] notes what a store does to its directory while the real files are written as always. [`Image`] takes the
//! operations one by one, and [`Image::write_to`] lays out the directory as it was at that point: what a process that is
//! killed there leaves behind, or ([`Image::after_power_loss`]) a machine that loses power. [`Full`] is a disk with no room
//! left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// A disk that is full, or fails, from one point on until somebody makes room, or mends it.
#[derive(Debug)]
pub struct Full {
    room: Room,
    /// Every operation fails, not only what needs room.
    broken: bool,
    /// Set when somebody made room.
    free: AtomicBool,
    refused: AtomicU64,
    /// After so many refusals there is room again by itself.
    mends_after: u64,
}

#[derive(Debug)]
enum Room {
    /// For so many more bytes.
    Bytes(AtomicU64),
    /// For so many more operations that need any.
    Operations(AtomicU64),
}

impl Full {
    /// With room for `bytes`.
    #[must_use]
    pub fn after(bytes: u64) -> Self {
        Self::with(Room::Bytes(AtomicU64::new(bytes)))
    }

    /// With room for so many operations that need any: files, directories, links, writes, and new names for them.
    #[must_use]
    pub fn after_operations(count: u64) -> Self {
        Self::with(Room::Operations(AtomicU64::new(count)))
    }

    /// Every operation after so many fails, as a disk does that is broken; a half of a write gets through.
    #[must_use]
    pub fn broken_after_operations(count: u64) -> Self {
        Full { broken: true, ..Self::after_operations(count) }
    }

    fn with(room: Room) -> Self {
        Full {
            room,
            broken: false,
            free: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            mends_after: u64::MAX,
        }
    }

    /// The same, but only so many operations are refused.
    #[must_use]
    pub fn mending_after(self, refusals: u64) -> Self {
        Full { mends_after: refusals, ..self }
    }

    /// Somebody made room: nothing is refused any more.
    pub fn free(&self) {
        self.free.store(true, Ordering::SeqCst);
    }

    /// How many operations were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::SeqCst)
    }

    /// How much of what is wanted there is room for. A write that has room for a part of it gets through that far.
    fn take(&self, wanted: u64) -> u64 {
        let take = |room: &AtomicU64, wanted: u64| {
            let rest = |room: u64| Some(room - room.min(wanted));
            room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, rest).unwrap_or(0).min(wanted)
        };
        match &self.room {
            Room::Bytes(room) if wanted == 0 => room.load(Ordering::SeqCst).min(1),
            Room::Bytes(room) => take(room, wanted),
            Room::Operations(room) if take(room, 1) == 1 => wanted.max(1),
            Room::Operations(_) => wanted / 2,
        }
    }
}

impl Watch for Full {
    fn before(&self, op: &Op<'_>) -> Allowed {
        let wanted = match op {
            Op::Write { bytes, .. } => bytes.len() as u64,
            Op::Create { .. } | Op::CreateDir { .. } | Op::Link { .. } => 0,
            // A directory may need a block more for a new name.
            Op::Rename { .. } if matches!(self.room, Room::Operations(_)) => 0,
            _ if self.broken => 0,
            _ => return Allowed { bytes: 0, outcome: Ok(()) },
        };
        let free = self.free.load(Ordering::SeqCst) || self.refused() >= self.mends_after;
        let taken = if free { wanted.max(1) } else { self.take(wanted) };
        let outcome = if taken >= wanted.max(1) {
            Ok(())
        } else {
            self.refused.fetch_add(1, Ordering::SeqCst);
            Err(if self.broken { io::Error::other("broken") } else { ErrorKind::StorageFull.into() })
        };
        Allowed { bytes: taken as usize, outcome }
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

/// What was done to a file and not forced to the disk yet.
#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl Change {
    fn apply(&self, to: &mut Content) {
        match self {
            Change::Write { at, bytes } => to.write(*at, bytes),
            Change::SetLen(len) => to.set_len(*len),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Node {
    now: Content,
    /// As it was when it was last forced to the disk.
    durable: Content,
    since: Vec<Change>,
}

impl Node {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.since.push(change);
    }

    /// What of it a loss of power leaves: of what was not forced to the disk each change is there, or not, or in part.
    fn survive(&mut self, random: &mut Random) {
        let mut left = self.durable.clone();
        for change in &self.since {
            match (random.below(4), change) {
                (0, _) => {}
                // Disks write sectors.
                (1, Change::Write { at, bytes }) => {
                    let sectors = random.below(bytes.len() as u64 / 512 + 1) as usize;
                    left.write(*at, &bytes[..sectors * 512]);
                }
                _ => change.apply(&mut left),
            }
        }
        self.now = left;
    }
}

/// A file whatever its names are.
type Id = usize;

#[derive(Debug, Clone, Default)]
struct Names {
    dirs: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Id>,
}

impl Names {
    /// `id` is that of a file that is created.
    fn apply(&mut self, operation: &Operation, id: Id) {
        match operation {
            Operation::Create(path) => drop(self.files.insert(path.clone(), id)),
            Operation::CreateDir(path) => drop(self.dirs.insert(path.clone())),
            Operation::Rename { from, to } => self.rename(from, to),
            Operation::Link { original, link } => {
                if let Some(&id) = self.files.get(original) {
                    self.files.insert(link.clone(), id);
                }
            }
            Operation::RemoveFile(path) => drop(self.files.remove(path)),
            Operation::RemoveDirAll(path) => {
                self.dirs.retain(|dir| !dir.starts_with(path));
                self.files.retain(|file, _| !file.starts_with(path));
            }
            _ => {}
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
        self.files.extend(going.into_iter().filter_map(|(path, id)| Some((moved(&path)?, id))));
        self.dirs =
            std::mem::take(&mut self.dirs).into_iter().map(|dir| moved(&dir).unwrap_or(dir)).collect();
    }
}

/// The directories whose names an operation changes.
fn parents(operation: &Operation) -> Vec<&Path> {
    let paths: &[&PathBuf] = match operation {
        Operation::Create(path)
        | Operation::CreateDir(path)
        | Operation::RemoveFile(path)
        | Operation::RemoveDirAll(path) => &[path],
        Operation::Rename { from, to } => &[from, to],
        Operation::Link { link, .. } => &[link],
        _ => &[],
    };
    paths.iter().filter_map(|path| path.parent()).collect()
}

/// A directory at one point of its life.
#[derive(Debug, Clone, Default)]
pub struct Image {
    names: Names,
    /// As they were when they were last forced to the disk, and what was done since.
    durable: Names,
    since: Vec<(Operation, Id)>,
    nodes: Vec<Node>,
}

impl Image {
    /// Does what `operation` did.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Write { path, at, bytes } => {
                let change = Change::Write { at: *at, bytes: bytes.clone() };
                self.change(path, change);
            }
            Operation::SetLen { path, len } => self.change(path, Change::SetLen(*len)),
            Operation::SyncFile(path) => {
                if let Some(node) = self.names.files.get(path).and_then(|&id| self.nodes.get_mut(id)) {
                    node.durable = node.now.clone();
                    node.since.clear();
                }
            }
            Operation::SyncDir(path) => self.sync_dir(path),
            _ => {
                let id = self.nodes.len();
                if matches!(operation, Operation::Create(_)) {
                    self.nodes.push(Node::default());
                }
                self.names.apply(operation, id);
                self.since.push((operation.clone(), id));
            }
        }
    }

    fn change(&mut self, path: &Path, change: Change) {
        if let Some(node) = self.names.files.get(path).and_then(|&id| self.nodes.get_mut(id)) {
            node.change(change);
        }
    }

    /// Journalling file systems keep names in order, so what was done to others before is durable too.
    fn sync_dir(&mut self, dir: &Path) {
        let last = self.since.iter().rposition(|(operation, _)| parents(operation).contains(&dir));
        for (operation, id) in self.since.drain(..last.map_or(0, |last| last + 1)) {
            self.durable.apply(&operation, id);
        }
    }

    /// Does a part of an operation: the first `amount` bytes of a write, the removal of so many files of a directory;
    /// nothing of any other.
    pub fn apply_torn(&mut self, operation: &Operation, amount: usize) {
        match operation {
            Operation::Write { path, at, bytes } => {
                let part = bytes.get(..amount).unwrap_or(bytes);
                self.change(path, Change::Write { at: *at, bytes: part.to_vec() });
            }
            Operation::RemoveDirAll(path) => {
                let mut doomed: Vec<PathBuf> =
                    self.names.files.keys().filter(|file| file.starts_with(path)).cloned().collect();
                // In no order that means anything.
                doomed.sort_by_key(|file| Random::new(file.as_os_str().len() as u64 + amount as u64).next());
                doomed.truncate(amount);
                doomed.into_iter().for_each(|file| self.apply(&Operation::RemoveFile(file)));
            }
            _ => {}
        }
    }

    /// How many parts an operation has, for [`apply_torn`](Self::apply_torn).
    #[must_use]
    pub fn parts(&self, operation: &Operation) -> usize {
        match operation {
            Operation::Write { bytes, .. } => bytes.len(),
            Operation::RemoveDirAll(path) => {
                self.names.files.keys().filter(|file| file.starts_with(path)).count()
            }
            _ => 1,
        }
    }

    /// What a loss of power leaves. What was forced to the disk is there. Of the rest, with a `seed` of 0, nothing is;
    /// any other seed chooses: of names up to which operation, of each file which writes, or parts of them.
    #[must_use]
    pub fn after_power_loss(&self, seed: u64) -> Image {
        let mut random = Random::new(seed);
        let mut names = self.durable.clone();
        let kept = if seed == 0 { 0 } else { random.below(self.since.len() as u64 + 1) as usize };
        self.since[..kept].iter().for_each(|(operation, id)| names.apply(operation, *id));
        let mut nodes = self.nodes.clone();
        for node in &mut nodes {
            if seed == 0 {
                node.now = node.durable.clone();
            } else {
                node.survive(&mut random);
            }
            node.durable = node.now.clone();
            node.since.clear();
        }
        Image { durable: names.clone(), names, since: Vec::new(), nodes }
    }

    /// Files, each with its length without the zeros that nobody wrote.
    pub fn files(&self) -> impl Iterator<Item = (&Path, usize)> {
        let files = self.names.files.iter();
        files.filter_map(|(path, &id)| Some((path.as_path(), self.nodes.get(id)?.now.bytes.len())))
    }

    fn content(&mut self, path: &Path) -> Option<&mut Content> {
        let id = *self.names.files.get(path)?;
        self.nodes.get_mut(id).map(|node| &mut node.now)
    }

    /// Flips bits of one byte.
    pub fn flip(&mut self, path: &Path, at: usize, bits: u8) {
        if let Some(byte) = self.content(path).and_then(|content| content.bytes.get_mut(at)) {
            *byte ^= bits;
        }
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &Path) {
        self.names.files.remove(path);
    }

    /// Lays the directory out at an empty place.
    ///
    /// # Errors
    /// As the file system says.
    pub fn write_to(&self, root: &Path) -> io::Result<()> {
        for dir in &self.names.dirs {
            fs::create_dir_all(root.join(dir))?;
        }
        for (path, &id) in &self.names.files {
            let Some(node) = self.nodes.get(id) else { continue };
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
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The step of SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}
