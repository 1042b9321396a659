//! Requests in, answers out.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use exposition::Registry;
use parking_lot::{Mutex, RwLock};
use storage::{Append, AppendError, MemoryBudget, SeriesCache};

use crate::intake::{Refusal, Stored};
use crate::metrics::Metrics;
use crate::options::{Deltas, ReceiverOptions, Translation};
use crate::schema::REQUEST;
use crate::streams::Streams;
use crate::translate::{Environment, MAX_SAMPLES, Scratch, TooManySamples, Translator};
use crate::warnings::Warnings;
use crate::{json, wire};

/// Longest body of a request, in bytes, before and after decompression.
pub const MAX_BODY: usize = 32 * 1024 * 1024;

/// How far ahead of the clock samples may be, in milliseconds.
const MAX_AHEAD: i64 = 10 * 60 * 1000;

/// Bodies longer than this do not keep their memory.
const KEPT_BODY: usize = 4 * 1024 * 1024;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, which is plain text; none with 200.
    pub text: Option<String>,
}

const DONE: Answer = Answer { status: 200, text: None };
const BAD_REQUEST: u16 = 400;
/// What senders take as "later".
const TOO_MANY: u16 = 429;
const INTERNAL: u16 = 500;

impl Answer {
    /// An error, as Go's handlers write it.
    fn error(status: u16, text: &str) -> Self {
        Answer { status, text: Some(format!("{text}\n")) }
    }
}

/// Takes requests; many at once.
pub struct Receiver {
    store: Arc<dyn Append>,
    options: ReceiverOptions,
    translation: RwLock<Arc<Translation>>,
    /// How often the translation was another.
    generation: AtomicU64,
    cache: Arc<SeriesCache>,
    streams: Option<Arc<Streams>>,
    metrics: Metrics,
    scratch: Mutex<Vec<Buffers>>,
}

/// Memory of one request, used again.
#[derive(Default)]
struct Buffers {
    decompressed: Vec<u8>,
    from_json: Vec<u8>,
    scratch: Scratch,
}

/// What translating and storing came to.
enum Done {
    Stored(Stored),
    TooManySamples,
    Limited(String),
    Failed(AppendError),
}

impl Receiver {
    /// A receiver that writes to `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Append>,
        options: ReceiverOptions,
        memory: &MemoryBudget,
        registry: &Registry,
    ) -> Self {
        let cache = Arc::new(SeriesCache::new(memory, "otlp_series"));
        let streams = (options.deltas == Deltas::Summed).then(|| Arc::new(Streams::new(memory)));
        let metrics = Metrics::register(registry, &cache, streams.as_ref());
        Receiver {
            store,
            options,
            translation: RwLock::default(),
            generation: AtomicU64::new(0),
            cache,
            streams,
            metrics,
            scratch: Mutex::default(),
        }
    }

    /// Puts another translation in force.
    pub fn apply(&self, translation: Translation) {
        let mut current = self.translation.write();
        if **current != translation {
            *current = Arc::new(translation);
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Stores a request. `now` is in milliseconds since the Unix epoch. Computes, and waits for the log: not to be
    /// called where that must not be.
    #[must_use]
    pub fn receive(&self, encoding: &str, content_type: &str, body: &[u8], now: i64) -> Answer {
        let mut buffers = self.scratch.lock().pop().unwrap_or_default();
        let Buffers { decompressed, from_json, scratch } = &mut buffers;
        let answer = match decode(encoding, content_type, body, decompressed, from_json) {
            Ok(request) => {
                self.metrics.requests.inc();
                self.translate(request, scratch, now)
            }
            Err(why) => {
                tracing::error!(component = "web", err = why.as_str(), "Error decoding OTLP write request");
                Answer::error(BAD_REQUEST, &why)
            }
        };
        for bytes in [decompressed, from_json] {
            bytes.clear();
            bytes.shrink_to(KEPT_BODY);
        }
        scratch.intake.clear();
        scratch.seen.clear();
        scratch.labels.clear();
        self.scratch.lock().push(buffers);
        answer
    }

    fn translate(&self, request: &[u8], scratch: &mut Scratch, now: i64) -> Answer {
        let (translation, generation) = {
            let translation = self.translation.read();
            (Arc::clone(&translation), self.generation.load(Ordering::Relaxed))
        };
        // Streams count every point: what has deltas is never read a second time, and must not rely on what is known.
        let streams = self.streams.as_deref().filter(|_| has_deltas(request));
        let env = Environment {
            options: &self.options,
            translation: &translation,
            store: &*self.store,
            cache: &self.cache,
            streams,
            generation: self.cache.key(&generation.to_le_bytes()),
            max_time: now.saturating_add(MAX_AHEAD),
        };
        let (done, warnings) = self.store_request(&env, request, scratch, streams.is_none());
        let (done, warnings) = match done {
            Done::Stored(Stored::SeriesGone) if streams.is_none() => {
                self.store_request(&env, request, scratch, false)
            }
            done => (done, warnings),
        };
        self.tell(&warnings);
        self.answer(done)
    }

    fn store_request(
        &self,
        env: &Environment<'_>,
        request: &[u8],
        scratch: &mut Scratch,
        with_known: bool,
    ) -> (Done, Warnings) {
        scratch.intake.clear();
        scratch.seen.clear();
        scratch.labels.clear();
        let mut translator = Translator {
            env,
            scratch,
            known: with_known.then(|| self.cache.read()),
            found: Vec::new(),
            warnings: Warnings::default(),
        };
        let translated = translator.request(request);
        let Translator { known, found, warnings, scratch, .. } = translator;
        drop(known);
        if !found.is_empty() {
            self.cache.insert(&found);
        }
        self.metrics.without_metadata.add(scratch.intake.undescribed as f64);
        if let Err(TooManySamples) = translated {
            return (Done::TooManySamples, warnings);
        }
        if let Some(why) = scratch.intake.limited.take() {
            return (Done::Limited(why), warnings);
        }
        let stored = scratch.intake.store(&*self.store);
        if !matches!(stored, Ok(Stored::Whole { .. })) && !scratch.intake.described.is_empty() {
            // What was to be said was not said.
            self.cache.insert(&scratch.intake.described);
        }
        (stored.map_or_else(Done::Failed, Done::Stored), warnings)
    }

    fn tell(&self, warnings: &Warnings) {
        if warnings.is_empty() {
            return;
        }
        let mut texts = Vec::new();
        for (category, text) in warnings.iter() {
            self.metrics.warnings.with(&[category.as_str()]).inc();
            texts.push(text);
        }
        let warnings = texts.join("; ");
        tracing::warn!(
            component = "web",
            warnings,
            "Warnings translating OTLP metrics to Prometheus write request"
        );
    }

    fn answer(&self, done: Done) -> Answer {
        let (status, text) = match done {
            Done::Stored(Stored::Whole { samples, late_exemplars }) => {
                self.metrics.samples.add(samples as f64);
                self.metrics.late_exemplars.add(late_exemplars as f64);
                return DONE;
            }
            Done::Stored(Stored::Refused(refusals)) => {
                let texts: Vec<&str> = refusals.iter().map(|refusal| refusal.text.as_str()).collect();
                let bad_request = refusals.iter().any(|Refusal { bad_request, .. }| *bad_request);
                (if bad_request { BAD_REQUEST } else { INTERNAL }, texts.join("\n"))
            }
            Done::Stored(Stored::SeriesGone) => {
                (TOO_MANY, "series were dropped while they were written to".to_owned())
            }
            Done::TooManySamples => {
                (BAD_REQUEST, format!("a request of more than {MAX_SAMPLES} samples is not taken"))
            }
            Done::Limited(why) => (TOO_MANY, why),
            Done::Failed(error) => (INTERNAL, error.to_string()),
        };
        if status >= INTERNAL {
            tracing::error!(component = "web", err = text.as_str(), "Error appending remote write");
        }
        Answer::error(status, &text)
    }
}

/// The request in protobuf, checked.
fn decode<'b>(
    encoding: &str,
    content_type: &str,
    body: &'b [u8],
    decompressed: &'b mut Vec<u8>,
    from_json: &'b mut Vec<u8>,
) -> Result<&'b [u8], String> {
    if !matches!(content_type, PROTOBUF | JSON) {
        return Err(format!("unsupported content type: {content_type}, supported: [{JSON}, {PROTOBUF}]"));
    }
    let body = match encoding {
        "" => body,
        "gzip" => {
            decompress(body, decompressed)?;
            decompressed
        }
        other => {
            return Err(format!(
                "unsupported compression: {other}. Only \"gzip\" or no compression supported"
            ));
        }
    };
    if body.len() > MAX_BODY {
        return Err(format!("request body exceeds the {MAX_BODY} bytes limit"));
    }
    let request = if content_type == JSON {
        json::to_protobuf(body, from_json).map_err(|why| why.to_string())?;
        from_json
    } else {
        body
    };
    wire::check(&REQUEST, request).map_err(|why| why.to_string())?;
    Ok(request)
}

fn decompress(body: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let limit = MAX_BODY as u64 + 1;
    match flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(out) {
        Ok(_) => Ok(()),
        // Go's texts of the two that happen: a body that is none, and one that ends early.
        Err(_) if body.is_empty() => Err("EOF".to_owned()),
        Err(err) if err.kind() == std::io::ErrorKind::UnexpectedEof => Err("unexpected EOF".to_owned()),
        Err(_) if !body.starts_with(&[0x1f, 0x8b]) => Err("gzip: invalid header".to_owned()),
        Err(err) => Err(err.to_string()),
    }
}

fn has_deltas(request: &[u8]) -> bool {
    use crate::context::{RawMetric, Temporality};
    use crate::wire::Fields;
    let scopes = |resource| {
        let new = Fields::all(resource, 2).next().is_some();
        Fields::all(resource, if new { 2 } else { crate::schema::DEPRECATED_SCOPES })
    };
    let mut metrics = Fields::all(request, 1).flat_map(scopes).flat_map(|scope| Fields::all(scope, 2));
    metrics.any(|metric| RawMetric::read(metric).temporality == Temporality::Delta)
}
