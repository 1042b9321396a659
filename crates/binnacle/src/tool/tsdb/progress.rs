//! How far a long piece of work is, on a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Quicker nobody reads.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on standard error that is written over; nothing where that is not a terminal.
pub(super) struct Progress {
    what: &'static str,
    /// `None` when nobody looks.
    shown: Option<Shown>,
}

struct Shown {
    total: u64,
    done: u64,
    last: Instant,
    visible: bool,
}

impl Progress {
    pub(super) fn new(what: &'static str, total: impl FnOnce() -> u64) -> Self {
        let shown = io::stderr().is_terminal().then(|| Shown {
            total: total().max(1),
            done: 0,
            last: Instant::now(),
            visible: false,
        });
        Progress { what, shown }
    }

    pub(super) fn advance(&mut self, by: u64) {
        let Some(shown) = &mut self.shown else { return };
        shown.done = shown.done.saturating_add(by);
        if shown.last.elapsed() >= INTERVAL {
            shown.last = Instant::now();
            shown.visible = true;
            let percent = (shown.done as f64 / shown.total as f64 * 100.0).min(100.0);
            let (done, total) = (shown.done >> 20, shown.total >> 20);
            let _ = write!(io::stderr(), "\r\x1b[2K{} {percent:3.0} %  {done} of {total} MiB", self.what);
        }
    }

    /// Makes room for other output.
    pub(super) fn clear(&mut self) {
        if let Some(shown) = self.shown.as_mut().filter(|shown| shown.visible) {
            shown.visible = false;
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
