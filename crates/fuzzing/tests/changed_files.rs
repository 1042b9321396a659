//! Every target, given files with small changes. What a fuzzer finds beyond that stays here as a case.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use fuzzing::{Kind, Piece, TARGETS, join, run, seeds};

/// xorshift64*: the same changes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let run = 1 + self.below(8);
        match self.below(6) {
            _ if bytes.is_empty() => bytes.push(self.below(256) as u8),
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][self.below(5)],
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, (0..run).map(|_| 0xff))),
            4 => drop(bytes.drain(at..(at + run).min(bytes.len()))),
            _ => {
                let from = self.below(bytes.len());
                let copy = bytes[from..(from + run).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, copy));
            }
        }
    }
}

#[test]
fn no_target_stumbles_over_a_changed_file() {
    let seeds = seeds();
    let mut findings = Vec::new();
    for (name, target) in TARGETS {
        let inputs: Vec<&Vec<u8>> =
            seeds.iter().filter(|(of, _)| of == name).map(|(_, bytes)| bytes).collect();
        assert!(!inputs.is_empty(), "no input for {name}");
        // Those that write a directory take milliseconds each.
        let count = if name.ends_with("_directory") { 30 } else { 2000 };
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for i in 0..count.max(inputs.len()) {
            let mut bytes = inputs[i % inputs.len()].clone();
            // The first time around as they are.
            for _ in 0..if i < inputs.len() { 0 } else { 1 + random.below(4) } {
                random.change(&mut bytes);
            }
            if catch_unwind(AssertUnwindSafe(|| target(&bytes))).is_err() {
                findings.push(format!("{name}: {}", hex(&bytes)));
                break;
            }
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// The log has samples of series that it does not name (their record was damaged). A series that comes after them must
/// not get their references, or the next start takes them for its own.
#[test]
fn samples_without_a_name_never_become_those_of_a_later_series() {
    let samples = |first: u64, time: u64| {
        let mut record = vec![2];
        record.extend(first.to_be_bytes());
        record.extend(time.to_be_bytes());
        record.extend([0, 0]);
        record.extend(1.5f64.to_be_bytes());
        record
    };
    let named = |reference: u64| {
        let mut record = vec![1];
        record.extend(reference.to_be_bytes());
        record.extend(b"\x01\x08__name__\x01a");
        record
    };
    for late in [Kind::Log, Kind::LateLog] {
        let mut pieces = Vec::new();
        // The first references of both shards.
        for first in [1, 2, 512, 513] {
            pieces.push(Piece { kind: late, bytes: samples(first, 1000) });
        }
        pieces.push(Piece { kind: Kind::YoungLog, bytes: named(1) });
        pieces.push(Piece { kind: Kind::YoungLog, bytes: samples(1, 2000) });
        run("data_directory", &join(&pieces));
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
