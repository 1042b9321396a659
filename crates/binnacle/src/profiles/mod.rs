//! What the process does, for `/debug/pprof`.

#[cfg(any(test, feature = "jemalloc"))]
mod heap;
mod message;

use std::fmt::Write as _;
use std::time::Duration;

use api::{CpuProfile, ProfileError};
use message::Profile;

/// Samples a second; not a round number, so that what happens every so often is not always or never met.
const FREQUENCY: i32 = 99;
/// Of the frames of a sample, those of taking it.
const OWN: [&str; 4] = ["perf_signal_handler", "restore_rt", "backtrace::backtrace::", "pprof::"];
const NANOS: u64 = 1_000_000_000;

/// Looks at this process.
pub(crate) struct Profiler;

/// Samples that are being taken, by a timer of the kernel that counts the time that processors spend on the process.
struct Sampling(pprof::ProfilerGuard<'static>);

impl api::Profiler for Profiler {
    fn begin_cpu(&self) -> Result<Box<dyn CpuProfile>, ProfileError> {
        // A signal that comes while these unwind or lock must not unwind there again.
        let guard = pprof::ProfilerGuardBuilder::default()
            .frequency(FREQUENCY)
            .blocklist(&["libc", "libgcc", "pthread", "vdso"])
            .build();
        match guard {
            Ok(guard) => Ok(Box::new(Sampling(guard))),
            Err(pprof::Error::Running) => Err(ProfileError::InUse),
            Err(error) => Err(ProfileError::Failed(error.to_string())),
        }
    }

    #[cfg(feature = "jemalloc")]
    fn heap(&self) -> Result<Vec<u8>, ProfileError> {
        heap::profile()
    }

    #[cfg(not(feature = "jemalloc"))]
    fn heap(&self) -> Result<Vec<u8>, ProfileError> {
        Err(ProfileError::Unavailable(
            "heap profiles need a program built with the feature jemalloc, as `make build` does",
        ))
    }

    fn threads(&self) -> Result<Vec<u8>, ProfileError> {
        let mut profile = Profile::default();
        for thread in threads()? {
            let place = profile.place(&thread.name, "");
            profile.sample(&[place], &[1]);
        }
        profile.finish(&[("threads", "count")], ("threads", "count"), 1, None)
    }

    fn threads_text(&self) -> Result<String, ProfileError> {
        let threads = threads()?;
        let mut out = format!("threads: total {}\n", threads.len());
        for Thread { id, name, state, cpu } in threads {
            let _ = writeln!(out, "{id} {name} [{state}] {:.2}s of CPU", cpu.as_secs_f64());
        }
        Ok(out)
    }
}

impl CpuProfile for Sampling {
    fn finish(self: Box<Self>) -> Result<Vec<u8>, ProfileError> {
        let report = self.0.report().build().map_err(|error| ProfileError::Failed(error.to_string()))?;
        let period = NANOS / u64::try_from(FREQUENCY).unwrap_or(1);
        let mut profile = Profile::default();
        for (frames, &count) in &report.data {
            let count = u64::try_from(count).unwrap_or(0);
            // Innermost first, as there; what was inlined stands before what it was inlined into.
            let symbols: Vec<_> =
                frames.frames.iter().flatten().map(|symbol| (symbol.name(), symbol)).collect();
            let own = symbols.iter().rposition(|(name, _)| OWN.iter().any(|own| name.contains(own)));
            let places = symbols.iter().skip(own.map_or(0, |last| last + 1)).map(|(name, symbol)| {
                let file = symbol.filename.as_ref().map(|path| path.to_string_lossy().into_owned());
                profile.place(&without_traits(name), &file.unwrap_or_default())
            });
            let places: Vec<u64> = places.collect();
            profile.sample(&places, &[count, count * period]);
        }
        forget_symbols();
        let timing = &report.timing;
        let times = Some((timing.start_time, timing.duration));
        profile.finish(&[("samples", "count"), ("cpu", "nanoseconds")], ("cpu", "nanoseconds"), period, times)
    }
}

/// Gives back what looking up names has read of the program, which may be more than the program itself uses.
fn forget_symbols() {
    backtrace::clear_symbol_cache();
}

/// `T::f` of `<T as Trait>::f`: what stands in angle brackets, `go tool pprof` does not show.
fn without_traits(name: &str) -> String {
    let Some(rest) = name.strip_prefix('<') else { return name.to_owned() };
    let mut depth = 1;
    let mut trait_at = None;
    for (at, c) in rest.char_indices() {
        match c {
            '<' => depth += 1,
            // Not of an arrow.
            '>' if !rest[..at].ends_with('-') => depth -= 1,
            ' ' if depth == 1 && rest[at..].starts_with(" as ") => trait_at = trait_at.or(Some(at)),
            _ => {}
        }
        if depth == 0 {
            return format!("{}{}", &rest[..trait_at.unwrap_or(at)], &rest[at + 1..]);
        }
    }
    name.to_owned()
}

/// A thread of this process, as the kernel tells.
struct Thread {
    id: u32,
    name: String,
    state: char,
    cpu: Duration,
}

fn threads() -> Result<Vec<Thread>, ProfileError> {
    let failed = |error: std::io::Error| ProfileError::Failed(format!("/proc/self/task: {error}"));
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task").map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        // It may have ended since.
        let (Some(id), Ok(stat)) = (id, std::fs::read_to_string(path.join("stat"))) else { continue };
        let (Some((before, after)), Some(open)) = (stat.rsplit_once(')'), stat.find('(')) else { continue };
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        all.push(Thread {
            id,
            name: before.get(open + 1..).unwrap_or_default().to_owned(),
            state: fields.first().and_then(|state| state.chars().next()).unwrap_or('?'),
            // User and system time.
            cpu: Duration::from_millis((number(11) + number(12)) * 1000 / ticks),
        });
    }
    all.sort_by_key(|thread| thread.id);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_types_without_angle_brackets_before_them() {
        for (name, want) in [
            ("alloc::vec::Vec<T>::push", "alloc::vec::Vec<T>::push"),
            ("<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend", "alloc::vec::Vec<T>::extend"),
            ("<a::B>::c", "a::B::c"),
            ("<fn() -> u8 as core::ops::FnOnce<()>>::call_once", "fn() -> u8::call_once"),
            ("<broken", "<broken"),
        ] {
            assert_eq!(without_traits(name), want);
        }
    }
}
