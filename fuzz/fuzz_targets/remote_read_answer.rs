#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzing::run("remote_read_answer", data));
