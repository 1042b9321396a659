//! `queries.active`: a file that holds, at any time, the queries that run. After a crash it says what ran then.
//!
//! ```text
//! "["  slot 0  slot 1  …      each slot 1000 bytes: {"query":"…","timestamp_sec":N},  and zeros; or zeros alone
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::json;

/// Bytes of a slot.
const SLOT: usize = 1000;

/// The file, and which of its slots are free.
#[derive(Debug)]
pub struct ActiveQueries {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// A query that runs; dropped when it is done.
#[derive(Debug)]
pub(crate) struct Running {
    queries: Arc<ActiveQueries>,
    slot: usize,
}

impl ActiveQueries {
    /// Makes the file anew, for so many queries at once. Also returns what it said before: the queries that had not
    /// ended when the process did, as a JSON array.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path, slots: usize) -> io::Result<(Arc<ActiveQueries>, Option<String>)> {
        let unfinished = std::fs::read(path).ok().and_then(|content| unfinished(&content));
        let file = File::options().write(true).create(true).truncate(true).open(path)?;
        let len = 1 + SLOT.saturating_mul(slots);
        file.set_len(u64::try_from(len).unwrap_or(u64::MAX))?;
        file.write_all_at(b"[", 0)?;
        let free = Mutex::new((0..slots).rev().collect());
        Ok((Arc::new(ActiveQueries { file, free }), unfinished))
    }

    /// Notes that a query runs. `None` when there is no room, or the disk is full: the query runs all the same.
    pub(crate) fn insert(self: &Arc<Self>, query: &str, unix_seconds: i64) -> Option<Running> {
        let slot = self.free.lock().pop()?;
        let running = Running { queries: Arc::clone(self), slot };
        running.write(&entry(query, unix_seconds)).ok()?;
        Some(running)
    }
}

impl Running {
    fn write(&self, content: &[u8]) -> io::Result<()> {
        let mut slot = [0; SLOT];
        for (to, from) in slot.iter_mut().zip(content) {
            *to = *from;
        }
        let at = 1 + self.slot as u64 * SLOT as u64;
        self.queries.file.write_all_at(&slot, at)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where the disk is full the slot keeps what it has until the next query takes it.
        let _ = self.write(&[]);
        self.queries.free.lock().push(self.slot);
    }
}

/// What stands in a slot: a query too long for it is cut.
fn entry(query: &str, unix_seconds: i64) -> Vec<u8> {
    let (before, after) = ("{\"query\":\"", format!("\",\"timestamp_sec\":{unix_seconds}}},"));
    let room = SLOT.saturating_sub(after.len());
    let mut text = String::from(before);
    let (mut quoted, mut buffer) = (String::new(), [0; 4]);
    for c in query.chars() {
        quoted.clear();
        match c {
            // As Go writes JSON.
            '<' | '>' | '&' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => {
                json::string(&mut quoted, c.encode_utf8(&mut buffer));
                quoted.pop();
                quoted.remove(0);
            }
        }
        if text.len() + quoted.len() > room {
            break;
        }
        text.push_str(&quoted);
    }
    text.push_str(&after);
    text.into_bytes()
}

/// The queries in the content of a file, if there are any.
fn unfinished(content: &[u8]) -> Option<String> {
    let filled: Vec<u8> = content.iter().copied().filter(|&b| b != 0).collect();
    let text = String::from_utf8_lossy(&filled);
    let queries = text.strip_prefix('[')?.trim_end_matches(',');
    (!queries.is_empty()).then(|| format!("[{queries}]"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_ran_when_the_process_ended_is_known_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("queries.active");
        let (queries, before) = ActiveQueries::open(&path, 2).unwrap();
        assert_eq!(before, None);
        let first = queries.insert("up", 7).unwrap();
        let second = queries.insert("sum(\"é\")", 8).unwrap();
        assert!(queries.insert("no room", 9).is_none());
        drop(first);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 2001);
        // As if the process were killed: nothing is dropped.
        std::mem::forget(second);
        let (queries, before) = ActiveQueries::open(&path, 2).unwrap();
        assert_eq!(before.unwrap(), r#"[{"query":"sum(\"é\")","timestamp_sec":8}]"#);
        drop(queries.insert("up", 10));
        let (_, before) = ActiveQueries::open(&path, 2).unwrap();
        assert_eq!(before, None);
    }

    #[test]
    fn a_query_longer_than_its_slot_is_cut_between_characters() {
        for query in ["é".repeat(2000), "\"".repeat(2000), format!("x{}", "é".repeat(2000))] {
            let entry = entry(&query, 1_795_280_427);
            assert!(entry.len() <= SLOT && entry.len() > SLOT - 3, "{}", entry.len());
            let text = String::from_utf8(entry).unwrap();
            let value: serde_json::Value = serde_json::from_str(text.trim_end_matches(',')).unwrap();
            assert!(query.starts_with(value["query"].as_str().unwrap()));
        }
    }
}
