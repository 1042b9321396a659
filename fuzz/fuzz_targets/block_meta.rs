//! `meta.json`.
#![no_main]

use std::path::Path;

use block::Meta;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(meta) = Meta::parse(data, Path::new("meta.json")) {
        let mut again = meta.to_json().into_bytes();
        again.push(b'\n');
        assert_eq!(Meta::parse(&again, Path::new("meta.json")).ok(), Some(meta.clone()));
        let _ = block::plan(&[&meta, &meta], &block::block_ranges(7_200_000, 259_200_000));
    }
});
