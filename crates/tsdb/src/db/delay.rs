//! Waiting before compacting: to spread the load of many servers, or until somebody has uploaded a block.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use block::Meta;
use serde::Deserialize;

/// Delays cuts by a part of the block range that is drawn once a process, so that servers that were started together do
/// not all cut at the full hour.
#[derive(Debug, Default)]
pub(super) struct CutDelay {
    delay: Duration,
    since: Option<Instant>,
}

impl CutDelay {
    /// Up to so many per cent of the range; `random` draws.
    pub(super) fn new(range: Duration, max_percent: u32, random: u64) -> Self {
        let most =
            u64::try_from(range.as_millis()).unwrap_or(u64::MAX) / 100 * u64::from(max_percent.min(100));
        CutDelay { delay: Duration::from_millis(random % most.saturating_add(1)), since: None }
    }

    /// Whether a cut that is due has to wait.
    pub(super) fn holds(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        now.duration_since(since) < self.delay
    }

    /// No cut is due any more.
    pub(super) fn done(&mut self) {
        self.since = None;
    }
}

/// The file in which an uploader, such as Thanos' sidecar, lists what it has.
#[derive(Debug, Clone)]
pub(super) struct UploadList(pub(super) PathBuf);

#[derive(Default, Deserialize)]
struct Uploads {
    #[serde(default)]
    uploaded: Vec<String>,
}

impl UploadList {
    /// Tells which blocks must not be compacted yet: those of the first level that are not in the list. A list that
    /// cannot be read has nothing in it.
    pub(super) fn pending(&self) -> impl Fn(&Meta) -> bool + use<> {
        let path = self.0.display().to_string();
        let read = std::fs::read(&self.0).map_err(|e| e.to_string());
        let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()));
        let Uploads { uploaded } = parsed.unwrap_or_else(|err| {
            tracing::warn!(path, err, "cannot read TSDB upload meta file");
            Uploads::default()
        });
        move |meta| meta.compaction.level <= 1 && !uploaded.contains(&meta.ulid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_waits_its_delay_once() {
        let mut delay = CutDelay::new(Duration::from_secs(100), 10, 7_000);
        let start = Instant::now();
        assert!(delay.holds(start) && delay.holds(start + Duration::from_secs(6)));
        assert!(!delay.holds(start + Duration::from_secs(7)));
        delay.done();
        assert!(delay.holds(start + Duration::from_secs(7)));
        assert!(!CutDelay::default().holds(start));
        for random in [0, 1, u64::MAX] {
            let mut most = CutDelay::new(Duration::from_secs(100), 10, random);
            most.holds(start);
            assert!(!most.holds(start + Duration::from_secs(10)));
        }
    }

    #[test]
    fn blocks_of_the_first_level_wait_for_their_upload() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thanos.shipper.json");
        let list = UploadList(path.clone());
        let of_level = |level: u32| {
            let mut meta = Meta::new(block::Ulid::new(1, 1), 0, 10);
            meta.compaction.level = level;
            meta
        };
        assert!(list.pending()(&of_level(1)) && !list.pending()(&of_level(2)));
        let uploaded = format!(r#"{{"version":1,"uploaded":["{}"]}}"#, of_level(1).ulid);
        std::fs::write(&path, uploaded).unwrap();
        assert!(!list.pending()(&of_level(1)));
    }
}
