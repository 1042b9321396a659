//! What a watcher sees and breaks.
#![cfg(feature = "simulate")]

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use disk::simulate::{Allowed, Op, Watch, watch};

/// Room for so many bytes.
struct Room(AtomicUsize);

impl Watch for Room {
    fn before(&self, op: &Op<'_>) -> Allowed {
        let Op::Write { bytes, .. } = op else { return Allowed { bytes: 0, outcome: Ok(()) } };
        let room = self.0.load(Ordering::SeqCst);
        let taken = room.min(bytes.len());
        self.0.fetch_sub(taken, Ordering::SeqCst);
        let outcome = if taken < bytes.len() { Err(io::Error::from(ErrorKind::StorageFull)) } else { Ok(()) };
        Allowed { bytes: taken, outcome }
    }
}

#[test]
fn a_write_that_is_torn_leaves_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let watching = watch(dir.path(), Arc::new(Room(AtomicUsize::new(5))));
    let file = disk::File::create(&path).unwrap();
    file.append_all(b"abc").unwrap();
    assert_eq!(file.append_all(b"defg").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(std::fs::read(&path).unwrap(), b"abcde");
    drop(watching);
    file.append_all(b"!").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"abcde!");
}

#[test]
fn what_lies_elsewhere_is_not_watched() {
    let (watched, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _watching = watch(watched.path(), Arc::new(Room(AtomicUsize::new(0))));
    disk::write_synced(&other.path().join("f"), b"abc").unwrap();
    assert!(disk::write_synced(&watched.path().join("f"), b"abc").is_err());
}
