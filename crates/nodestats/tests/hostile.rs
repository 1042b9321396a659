//! Kernel files that were cut, swapped or made up: read or refused, never a panic.
#![allow(clippy::unwrap_used)] // a failing test panics

use std::fs;
use std::path::{Path, PathBuf};

use nodestats::{NodeStats, Options};
use proptest::prelude::*;

const FILES: [&str; 14] = [
    "1/mountinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "net/netstat",
    "net/snmp",
    "net/snmp6",
    "net/sockstat",
    "net/sockstat6",
    "pressure/cpu",
    "stat",
    "sys/fs/file-nr",
    "vmstat",
];

fn prepared(file: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/proc").join(file)).unwrap()
}

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Machine(tempfile::tempdir().unwrap());
        for file in FILES {
            fs::create_dir_all(machine.path(file).parent().unwrap()).unwrap();
        }
        machine
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn collector(&self) -> NodeStats {
        let root = self.0.path().to_path_buf();
        let options = Options {
            procfs: root.clone(),
            sysfs: root.clone(),
            rootfs: root,
            netdev_netlink: false,
            ..Options::default()
        };
        NodeStats::new(&options).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_files_are_read_or_refused(
        file in 0..FILES.len(),
        other in 0..FILES.len(),
        cut in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        noise in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let machine = Machine::new();
        let node = machine.collector();
        let mut text = prepared(FILES[other]);
        text.truncate(cut.index(text.len() + 1));
        let at = at.index(text.len() + 1);
        text.splice(at..at, noise);
        for (place, name) in FILES.iter().enumerate() {
            let text = if place == file { text.clone() } else { prepared(name) };
            fs::write(machine.path(name), text).unwrap();
        }
        let _ = node.collect();
        fs::write(machine.path(FILES[file]), prepared(FILES[file])).unwrap();
        prop_assert!(!node.collect().is_empty());
    }
}
