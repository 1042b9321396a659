//! Heap profiles: what the allocator's samples tell about what is in use.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use api::ProfileError;

use super::message::Profile;
use super::without_traits;

/// What names of functions that allocate begin with.
const OWN_NAMES: [&str; 4] = ["_rjem_", "__rust_alloc", "__rust_realloc", "__rustc"];
/// What is in the paths of their files; names may be those of inlined functions, without their modules.
const OWN_FILES: [&str; 3] = ["/jemalloc/", "/tikv-jemalloc", "/alloc/src/alloc.rs"];

/// What is in use now, gzipped.
#[cfg(feature = "jemalloc")]
pub(super) fn profile() -> Result<Vec<u8>, ProfileError> {
    let text = crate::allocator::heap_dump().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ProfileError::Unavailable(
            "heap profiles are switched off: start the program without prof:false in _RJEM_MALLOC_CONF",
        ),
        _ => ProfileError::Failed(format!("the allocator's dump: {error}")),
    })?;
    match Dump::parse(&text) {
        Some(dump) => {
            let profile = dump.encode(SystemTime::now(), functions_at);
            super::forget_symbols();
            profile
        }
        None => Err(ProfileError::Failed("the allocator's dump is not in its format heap_v2".to_owned())),
    }
}

/// A function and its file.
type Function = (String, String);

fn is_own((name, file): &Function) -> bool {
    OWN_NAMES.iter().any(|own| name.starts_with(own)) || OWN_FILES.iter().any(|own| file.contains(own))
}

/// Which functions an address is in: what was inlined before what it was inlined into.
#[cfg(feature = "jemalloc")]
fn functions_at(address: u64) -> Vec<Function> {
    let mut found = Vec::new();
    // Where a call returns to may be in the next function already.
    let inside = usize::try_from(address).unwrap_or(0).saturating_sub(1);
    backtrace::resolve(inside as *mut _, |symbol| {
        let Some(name) = symbol.name() else { return };
        let file = symbol.filename().map(|path| path.to_string_lossy().into_owned());
        found.push((format!("{name:#}"), file.unwrap_or_default()));
    });
    if found.is_empty() {
        found.push((format!("{address:#x}"), String::new()));
    }
    found
}

/// What jemalloc's `prof.dump` tells (`heap_v2`).
#[derive(Debug, PartialEq)]
struct Dump {
    /// Bytes between samples, on average.
    period: u64,
    stacks: Vec<Stack>,
}

/// What is in use that was allocated by one path of calls.
#[derive(Debug, PartialEq)]
struct Stack {
    /// Where calls return to, innermost first.
    addresses: Vec<u64>,
    objects: u64,
    bytes: u64,
}

impl Dump {
    fn parse(text: &str) -> Option<Dump> {
        let mut lines = text.lines();
        let period: u64 =
            lines.next()?.strip_prefix("heap_v2/")?.parse().ok().filter(|&period| period > 0)?;
        let mut stacks = Vec::new();
        let mut calls = None;
        for line in lines.take_while(|line| !line.starts_with("MAPPED_LIBRARIES:")) {
            if let Some(addresses) = line.strip_prefix('@') {
                let address = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
                calls = Some(addresses.split_whitespace().map(address).collect::<Option<Vec<_>>>()?);
            } else if let Some(counts) = line.trim_start().strip_prefix("t*:") {
                // What all threads have of the stack before; after the head, of all.
                let Some(addresses) = calls.take() else { continue };
                let (objects, rest) = counts.trim_start().split_once(": ")?;
                let (bytes, _) = rest.split_once(' ')?;
                let [objects, bytes] = whole(objects.parse().ok()?, bytes.parse().ok()?, period);
                stacks.push(Stack { addresses, objects, bytes });
            }
        }
        Some(Dump { period, stacks })
    }

    fn encode(
        &self,
        now: SystemTime,
        functions_at: impl Fn(u64) -> Vec<Function>,
    ) -> Result<Vec<u8>, ProfileError> {
        let mut profile = Profile::default();
        let mut known = HashMap::new();
        for Stack { addresses, objects, bytes } in &self.stacks {
            for &address in addresses {
                known.entry(address).or_insert_with(|| functions_at(address));
            }
            let frames: Vec<&Function> =
                addresses.iter().filter_map(|address| known.get(address)).flatten().collect();
            let own = frames.iter().rposition(|function| is_own(function));
            let callers = frames.iter().skip(own.map_or(0, |last| last + 1));
            let places: Vec<u64> =
                callers.map(|(name, file)| profile.place(&without_traits(name), file)).collect();
            profile.sample(&places, &[*objects, *bytes]);
        }
        let values = [("inuse_objects", "count"), ("inuse_space", "bytes")];
        profile.finish(&values, ("space", "bytes"), self.period, Some((now, Duration::ZERO)))
    }
}

/// What samples stand for: the larger an object, the likelier it is sampled. jemalloc writes its counts so that this gives
/// what it has reckoned by the size of each.
fn whole(objects: u64, bytes: u64, period: u64) -> [u64; 2] {
    if objects == 0 {
        return [0, 0];
    }
    let mean = bytes as f64 / objects as f64;
    let scale = 1.0 / -(-mean / period as f64).exp_m1();
    [objects, bytes].map(|sampled| (sampled as f64 * scale).round() as u64)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// As jemalloc 5.3.1 writes it.
    const DUMP: &str = "heap_v2/524288
  t*: 131: 2103552 [0: 0]
  t0: 130: 2103296 [0: 0]
  t1: 1: 256 [0: 0]
@ 0x55d0c2f3a1e4 0x55d0c2f3b000 0x7f1c2a3b4d90
  t*: 1: 2097152 [0: 0]
  t0: 1: 2097152 [0: 0]
@ 0x55d0c2f3a1e4 0x55d0c2f3c111
  t*: 130: 6400 [0: 0]
  t0: 129: 6144 [0: 0]
  t1: 1: 256 [0: 0]
@ 0x55d0c2f3c111
  t*: 0: 0 [0: 0]

MAPPED_LIBRARIES:
55d0c2000000-55d0c3000000 r-xp 00000000 fe:00 1                          /usr/bin/binnacle
@ 0x1
  t*: 1: 1 [0: 0]
";

    #[test]
    fn what_is_in_use_is_reckoned_from_samples_of_it() {
        let dump = Dump::parse(DUMP).unwrap();
        let counts: Vec<_> = dump.stacks.iter().map(|s| (s.addresses.len(), s.objects, s.bytes)).collect();
        // Of the large one there are as many as were seen, nearly; of small ones, of 49 bytes, far more.
        assert_eq!(counts, [(3, 1, 2_136_279), (2, 1_384_513, 68_160_640), (1, 0, 0)]);
        assert_eq!(dump.period, 524_288);
        assert_eq!(dump.stacks[1].addresses, [0x55d0_c2f3_a1e4, 0x55d0_c2f3_c111]);
        for broken in
            ["", "heap_v1/1\n", "heap_v2/0\n", "heap_v2/1\n@ 0xq\n", "heap_v2/1\n@ 0x1\n t*: 1: x [\n"]
        {
            assert_eq!(Dump::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_profile_names_who_has_allocated_not_the_allocator() {
        let dump = Dump::parse(DUMP).unwrap();
        let function = |name: &str| (name.to_owned(), "src/lib.rs".to_owned());
        let profile = dump.encode(SystemTime::UNIX_EPOCH, |address| match address {
            0x55d0_c2f3_a1e4 => vec![
                ("prof_alloc_prep".to_owned(), "/x/jemalloc/include/prof_inlines.h".to_owned()),
                function("_rjem_mallocx"),
                ("alloc_zeroed".to_owned(), "/rustc/1/library/alloc/src/alloc.rs".to_owned()),
            ],
            0x7f1c_2a3b_4d90 => {
                vec![function("<alloc::boxed::Box<F, alloc::alloc::Global> as FnOnce<()>>::call_once")]
            }
            0x55d0_c2f3_c111 => vec![function("<tsdb::Head as storage::Appender>::append")],
            _ => vec![function(&format!("at_{address:x}"))],
        });
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(&profile.unwrap()[..]).read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for there in [
            "tsdb::Head::append",
            "at_55d0c2f3b000",
            "Global>::call_once",
            "inuse_space",
            "inuse_objects",
            "src/lib.rs",
        ] {
            assert!(text.contains(there), "{there}");
        }
        for absent in ["_rjem_", "prof_alloc_prep", "alloc_zeroed"] {
            assert!(!text.contains(absent), "{absent}");
        }
    }
}
