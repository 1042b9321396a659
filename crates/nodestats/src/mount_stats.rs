//! Asking mounted file systems for their size without ever waiting long for one that hangs.
//!
//! `statfs` on a dead network mount does not return. So it is called on threads of its own: a few that share the mounts that answer, and
//! for each mount that hangs the one thread that is caught in it. A mount is not asked again while a question to it is open.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// No more threads than this, whatever hangs.
const MOST_THREADS: usize = 64;

/// A thread without work ends after this long.
const IDLE: Duration = Duration::from_secs(60);

/// The size of a file system, in bytes and inodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MountStats {
    pub(crate) size: f64,
    pub(crate) free: f64,
    pub(crate) available: f64,
    pub(crate) files: f64,
    pub(crate) files_free: f64,
}

/// What is known of a mount.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// Its size; of an earlier time if it is slow to answer now.
    Stats(MountStats),
    /// The kernel's refusal, in its words.
    Refused(String),
    /// It does not answer.
    Hangs,
}

type Ask = dyn Fn(&Path) -> io::Result<MountStats> + Send + Sync;

/// Asks mounts, and remembers what they said.
pub(crate) struct MountAsker {
    shared: Arc<Shared>,
    workers: usize,
    patience: Duration,
    timeout: Duration,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    answered: Condvar,
    ask: Box<Ask>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<PathBuf>,
    mounts: HashMap<PathBuf, Mount>,
    threads: usize,
    closed: bool,
}

#[derive(Default)]
struct Mount {
    /// When the open question was asked, if there is one.
    asked: Option<Instant>,
    /// When a thread took the question up.
    taken: Option<Instant>,
    last: Option<Answer>,
}

impl MountAsker {
    pub(crate) fn new(workers: usize, patience: Duration, timeout: Duration, ask: Box<Ask>) -> Self {
        let shared = Shared { state: Mutex::default(), work: Condvar::new(), answered: Condvar::new(), ask };
        MountAsker { shared: Arc::new(shared), workers: workers.max(1), patience, timeout }
    }

    /// What is known of each of `paths`, in their order; takes no longer than the patience that was given.
    pub(crate) fn ask(&self, paths: &[PathBuf]) -> Vec<Answer> {
        let start = Instant::now();
        let mut state = self.shared.state.lock();
        state.mounts.retain(|path, mount| mount.asked.is_some() || paths.contains(path));
        for path in paths {
            let mount = state.mounts.entry(path.clone()).or_default();
            if mount.asked.is_none() {
                mount.asked = Some(start);
                state.queue.push_back(path.clone());
            }
        }
        self.start_threads(&mut state);
        self.shared.work.notify_all();

        let may_answer = |mount: &Mount| mount.asked.is_some() && !self.is_caught(mount);
        while paths.iter().any(|path| state.mounts.get(path).is_some_and(may_answer)) {
            if self.shared.answered.wait_until(&mut state, start + self.patience).timed_out() {
                break;
            }
        }
        let now = Instant::now();
        paths.iter().map(|path| self.answer(state.mounts.get(path), now)).collect()
    }

    fn answer(&self, mount: Option<&Mount>, now: Instant) -> Answer {
        let open_for = mount.and_then(|m| m.asked).map(|asked| now.duration_since(asked));
        match mount.and_then(|m| m.last.clone()) {
            Some(last) if open_for.is_none_or(|open| open < self.timeout) => last,
            _ => Answer::Hangs,
        }
    }

    /// Whether a thread has been in it for longer than anybody waits.
    fn is_caught(&self, mount: &Mount) -> bool {
        mount.taken.is_some_and(|taken| taken.elapsed() >= self.patience)
    }

    /// Sees to it that as many threads as wanted are free of mounts that hang.
    fn start_threads(&self, state: &mut State) {
        let caught = state.mounts.values().filter(|mount| self.is_caught(mount)).count();
        let wanted = (caught + self.workers.min(state.queue.len())).min(MOST_THREADS);
        while state.threads < wanted {
            let shared = Arc::clone(&self.shared);
            let spawned = thread::Builder::new()
                .name("mount-stats".to_owned())
                .stack_size(128 << 10)
                .spawn(move || shared.serve());
            if spawned.is_err() {
                break; // the questions stay in the queue for the threads that there are
            }
            state.threads += 1;
        }
    }
}

impl Drop for MountAsker {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    /// A thread's life: takes up questions until there were none for a while.
    fn serve(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            let Some(path) = state.queue.pop_front() else {
                if self.work.wait_for(&mut state, IDLE).timed_out() && state.queue.is_empty() {
                    break;
                }
                continue;
            };
            if let Some(mount) = state.mounts.get_mut(&path) {
                mount.taken = Some(Instant::now());
            }
            drop(state);
            let answer = match (self.ask)(&path) {
                Ok(stats) => Answer::Stats(stats),
                Err(error) => Answer::Refused(go_error_text(&error)),
            };
            state = self.state.lock();
            if let Some(mount) = state.mounts.get_mut(&path) {
                *mount = Mount { asked: None, taken: None, last: Some(answer) };
            }
            self.answered.notify_all();
        }
        state.threads -= 1;
    }
}

/// Asks the kernel.
pub(crate) fn statfs(path: &Path) -> io::Result<MountStats> {
    let stats = rustix::fs::statfs(path)?;
    let bytes = |blocks| blocks as f64 * stats.f_bsize as f64;
    Ok(MountStats {
        size: bytes(stats.f_blocks),
        free: bytes(stats.f_bfree),
        available: bytes(stats.f_bavail),
        files: stats.f_files as f64,
        files_free: stats.f_ffree as f64,
    })
}

/// The system's text as Go writes it: lower case, without the number.
fn go_error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn stats(size: f64) -> MountStats {
        MountStats { size, free: 0.0, available: 0.0, files: 0.0, files_free: 0.0 }
    }

    /// Mounts called `/hangs…` answer when a permit is sent; `/refuses` refuses; others answer at once.
    fn asker(patience: Duration, timeout: Duration) -> (MountAsker, mpsc::Sender<()>) {
        let (permit, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let ask = move |path: &Path| match path.to_str() {
            Some("/refuses") => Err(io::Error::from_raw_os_error(13)),
            Some(name) if name.starts_with("/hangs") => {
                let _ = gate.lock().recv();
                Ok(stats(2.0))
            }
            _ => Ok(stats(1.0)),
        };
        (MountAsker::new(2, patience, timeout, Box::new(ask)), permit)
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn each_mount_has_its_own_answer() {
        let (asker, _permit) = asker(LONG, LONG);
        let answers = asker.ask(&paths(&["/a", "/refuses", "/b"]));
        let refused = Answer::Refused("permission denied".to_owned());
        assert_eq!(answers, [Answer::Stats(stats(1.0)), refused, Answer::Stats(stats(1.0))]);
    }

    #[test]
    fn mounts_that_hang_delay_nobody_and_come_back() {
        let (asker, permit) = asker(Duration::from_millis(50), LONG);
        let all = paths(&["/hangs1", "/hangs2", "/hangs3", "/a"]);
        // More mounts hang than there are workers: threads are added until the one that answers has its turn.
        let expected = [Answer::Hangs, Answer::Hangs, Answer::Hangs, Answer::Stats(stats(1.0))];
        while asker.ask(&all) != expected {}

        drop(permit);
        let answered = [stats(2.0), stats(2.0), stats(2.0), stats(1.0)].map(Answer::Stats);
        while asker.ask(&all) != answered {}
    }

    #[test]
    fn a_slow_mount_is_answered_for_with_its_last_word_until_the_timeout() {
        let (mut asker, permit) = asker(Duration::from_millis(20), LONG);
        permit.send(()).unwrap();
        let slow = paths(&["/hangs"]);
        while asker.ask(&slow) != [Answer::Stats(stats(2.0))] {}
        assert_eq!(asker.ask(&slow), [Answer::Stats(stats(2.0))], "its last word");

        asker.timeout = Duration::ZERO;
        assert_eq!(asker.ask(&slow), [Answer::Hangs]);
    }
}
