//! The format of profiles.

use std::collections::HashMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::ProfileError;
use exposition::protobuf_write::{push_bytes, push_varint, varint};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A `profile.proto` that is being written: the messages of `github.com/google/pprof`.
#[derive(Default)]
pub(super) struct Profile {
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
    pub(super) fn place(&mut self, function: &str, file: &str) -> u64 {
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

    pub(super) fn sample(&mut self, places: &[u64], values: &[u64]) {
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
    pub(super) fn finish(
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
