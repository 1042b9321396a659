//! Shows how far the replay of the log is: a bar where somebody watches, a line of log now and then elsewhere.

use std::convert::Infallible;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tsdb::WalReplay;

/// Before that there is nothing to wait for.
const FIRST: Duration = Duration::from_millis(500);
const BAR_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const BAR_WIDTH: usize = 30;

/// Shows the progress until it is dropped; never ends by itself.
pub(crate) async fn show(progress: Arc<WalReplay>) -> Infallible {
    let start = Instant::now();
    tokio::time::sleep(FIRST).await;
    if !std::io::stderr().is_terminal() {
        loop {
            let at = Progress::of(&progress, start);
            tracing::info!(
                segment = at.current,
                maxSegment = at.max,
                percent = at.percent(),
                eta = at.eta(),
                "Replaying WAL, this may take a while"
            );
            tokio::time::sleep(LINE_INTERVAL).await;
        }
    }
    let _erase = Erase;
    loop {
        let line = Progress::of(&progress, start).bar();
        let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
        tokio::time::sleep(BAR_INTERVAL).await;
    }
}

/// Leaves the line empty for what comes next.
struct Erase;

impl Drop for Erase {
    fn drop(&mut self) {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

/// A moment of the replay.
struct Progress {
    current: u64,
    max: u64,
    read: u64,
    total: u64,
    elapsed: Duration,
}

impl Progress {
    fn of(progress: &WalReplay, start: Instant) -> Self {
        let total = progress.total_bytes.load(Ordering::Relaxed);
        Progress {
            current: progress.current.load(Ordering::Relaxed),
            max: progress.max.load(Ordering::Relaxed),
            // What is appended meanwhile is read, too.
            read: progress.read_bytes.load(Ordering::Relaxed).min(total),
            total,
            elapsed: start.elapsed(),
        }
    }

    fn percent(&self) -> u64 {
        (self.read * 100).checked_div(self.total).unwrap_or(0)
    }

    fn eta(&self) -> String {
        if self.read == 0 {
            return "?".to_owned();
        }
        let left = self.elapsed.as_secs_f64() * (self.total - self.read) as f64 / self.read as f64;
        match left.ceil() as u64 {
            seconds @ 0..60 => format!("{seconds}s"),
            seconds => format!("{}m{:02}s", seconds / 60, seconds % 60),
        }
    }

    fn bar(&self) -> String {
        let done = (self.read as usize * BAR_WIDTH).checked_div(self.total as usize).unwrap_or(0);
        let mib = |bytes: u64| bytes / (1 << 20);
        format!(
            "Replaying the log [{}{}] {:3} %  {}/{} MiB  segment {}/{}  {} left",
            "#".repeat(done),
            ".".repeat(BAR_WIDTH - done),
            self.percent(),
            mib(self.read),
            mib(self.total),
            self.current,
            self.max,
            self.eta(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_how_much_is_read_and_how_long_the_rest_takes() {
        let at = |read: u64, total: u64| Progress {
            current: 3,
            max: 9,
            read: read << 20,
            total: total << 20,
            elapsed: Duration::from_secs(10),
        };
        let cases = [
            (
                at(0, 0),
                "Replaying the log [..............................]   0 %  0/0 MiB  segment 3/9  ? left",
            ),
            (
                at(100, 300),
                "Replaying the log [##########....................]  33 %  100/300 MiB  segment 3/9  20s left",
            ),
            (
                at(1, 8),
                "Replaying the log [###...........................]  12 %  1/8 MiB  segment 3/9  1m10s left",
            ),
            (
                at(8, 8),
                "Replaying the log [##############################] 100 %  8/8 MiB  segment 3/9  0s left",
            ),
        ];
        for (progress, want) in cases {
            assert_eq!(progress.bar(), want);
        }
    }
}
