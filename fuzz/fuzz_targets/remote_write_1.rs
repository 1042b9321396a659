#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("remote_write_1", data));
