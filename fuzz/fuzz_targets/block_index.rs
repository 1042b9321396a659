//! The index of a block: opened, listed, searched, all series read, all postings.
#![no_main]

use block::{Index, SeriesEntry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(index) = Index::from_bytes(data.to_vec()) else { return };
    let _ = index.symbols();
    let mut entry = SeriesEntry::default();
    if let Ok(list) = index.postings("", "") {
        for number in list.iter() {
            if index.series(number, &mut entry).is_ok() {
                let _ = entry.label_set();
            }
        }
    }
    let names: Vec<String> = index.label_names().map(str::to_owned).collect();
    for name in &names {
        for value in ["", "a", name] {
            if let Ok(list) = index.postings(name, value) {
                assert_eq!(list.iter().count(), list.len());
            }
        }
    }
});
