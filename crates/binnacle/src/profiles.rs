//! What the process does, for `/debug/pprof`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{CpuProfile, ProfileError};
use exposition::protobuf_write::{push_bytes, push_varint, varint};
use flate2::Compression;
use flate2::write::GzEncoder;

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

    fn heap(&self) -> Result<Vec<u8>, ProfileError> {
        Err(ProfileError::Unavailable("heap profiles are not there in this build"))
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
        let timing = &report.timing;
        let times = Some((timing.start_time, timing.duration));
        profile.finish(&[("samples", "count"), ("cpu", "nanoseconds")], ("cpu", "nanoseconds"), period, times)
    }
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

/// A `profile.proto` that is being written: the messages of `github.com/google/pprof`.
#[derive(Default)]
struct Profile {
    out: Vec<u8>,
    texts: Vec<String>,
    numbers: HashMap<String, u64>,
    /// Functions with their files; each is a place of its own, since addresses say nothing elsewhere.
    places: HashMap<(u64, u64), u64>,
}

impl Profile {
    fn text(&mut self, text: &str) -> u64 {
        if self.texts.is_empty() {
            // The first one is always empty.
            self.texts.push(String::new());
            self.numbers.insert(String::new(), 0);
        }
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u64;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// The number of a function as a place of samples.
    fn place(&mut self, function: &str, file: &str) -> u64 {
        let key = (self.text(function), self.text(file));
        let next = self.places.len() as u64 + 1;
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            let mut message = Vec::new();
            push_varint(&mut message, 1, place);
            push_varint(&mut message, 2, key.0);
            push_varint(&mut message, 3, key.0);
            push_varint(&mut message, 4, key.1);
            push_bytes(&mut self.out, 5, &message);
            let mut line = Vec::new();
            push_varint(&mut line, 1, place);
            message.clear();
            push_varint(&mut message, 1, place);
            push_bytes(&mut message, 4, &line);
            push_bytes(&mut self.out, 4, &message);
        }
        place
    }

    fn sample(&mut self, places: &[u64], values: &[u64]) {
        let mut message = Vec::new();
        for (field, numbers) in [(1, places), (2, values)] {
            let mut packed = Vec::new();
            numbers.iter().for_each(|&number| varint(&mut packed, number));
            push_bytes(&mut message, field, &packed);
        }
        push_bytes(&mut self.out, 2, &message);
    }

    fn value_type(&mut self, (kind, unit): (&str, &str)) -> Vec<u8> {
        let mut message = Vec::new();
        let (kind, unit) = (self.text(kind), self.text(unit));
        push_varint(&mut message, 1, kind);
        push_varint(&mut message, 2, unit);
        message
    }

    /// The whole, gzipped: what each value of a sample is, and how often there is a sample.
    fn finish(
        mut self,
        values: &[(&str, &str)],
        period_of: (&str, &str),
        period: u64,
        times: Option<(SystemTime, Duration)>,
    ) -> Result<Vec<u8>, ProfileError> {
        for value in values {
            let message = self.value_type(*value);
            push_bytes(&mut self.out, 1, &message);
        }
        let message = self.value_type(period_of);
        push_bytes(&mut self.out, 11, &message);
        push_varint(&mut self.out, 12, period);
        if let Some((start, duration)) = times {
            let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(0);
            push_varint(&mut self.out, 9, nanos(start.duration_since(UNIX_EPOCH).unwrap_or_default()));
            push_varint(&mut self.out, 10, nanos(duration));
        }
        for text in &self.texts {
            push_bytes(&mut self.out, 6, text.as_bytes());
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = gzip.write_all(&self.out).and_then(|()| gzip.finish());
        packed.map_err(|error| ProfileError::Failed(error.to_string()))
    }
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
