//! The file `tombstones`: what is read and written again must be read as the same.
#![no_main]

use block::Tombstones;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(stones) = Tombstones::parse(data) {
        assert_eq!(Tombstones::parse(&stones.to_bytes()), Ok(stones));
    }
});
