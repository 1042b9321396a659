//! Remote write in: a body becomes one batch of the store, an answer, and the headers that say what was written.
//!
//! Statuses and texts are those of Prometheus 3.14: version 1.0 is all or nothing, version 2.0 stores what can be stored
//! and names the rest.

mod incoming;
mod metrics;
mod reading;
mod version1;
mod version2;
mod wire_labels;

use std::collections::HashMap;
use std::sync::Arc;

use exposition::Registry;
use model::SortedLabels;
use parking_lot::Mutex;
use storage::{
    Affinity, Append, AppendError, MemoryBudget, Rejection, SeriesCache, SeriesKey, SeriesRef, append_within,
    refusal_of_histogram, refusal_of_sample,
};

use crate::message_type::{self, MessageType};
use crate::snappy;
use incoming::{Incoming, Phase};
use metrics::Metrics;
use reading::Reading;
use version2::Symbols;
use wire_labels::Pair;

/// Longest body of a request, in bytes, before and after decompression.
pub const MAX_WRITE_BODY: usize = 32 * 1024 * 1024;

/// How far ahead of the clock samples may be, in milliseconds.
const MAX_AHEAD: i64 = 10 * 60 * 1000;

/// What a receiver is told.
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// The messages that are taken (`--web.remote-write-receiver.accepted-protobuf-messages`).
    pub accepted: Vec<MessageType>,
    /// A zero is stored at the time at which counting began (`--enable-feature=created-timestamp-zero-ingestion`).
    pub start_zeros: bool,
    /// Type and unit become labels (`--enable-feature=type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// What is said about metrics goes to the log (`--enable-feature=metadata-wal-records`).
    pub metadata: bool,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        ReceiverOptions {
            accepted: vec![MessageType::V1, MessageType::V2],
            start_zeros: false,
            type_and_unit_labels: false,
            metadata: false,
        }
    }
}

/// How much of a request was stored, as version 2.0 tells senders.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Floats.
    pub samples: usize,
    /// Native histograms.
    pub histograms: usize,
    /// Exemplars.
    pub exemplars: usize,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteAnswer {
    /// The status.
    pub status: u16,
    /// The body, which is plain text; none with 204.
    pub text: Option<String>,
    /// The headers `X-Prometheus-Remote-Write-…-Written` of version 2.0.
    pub written: Option<Written>,
}

impl WriteAnswer {
    /// An error, as Go's handlers write it.
    #[must_use]
    pub fn error(status: u16, text: &str) -> Self {
        WriteAnswer { status, text: Some(format!("{text}\n")), written: None }
    }

    fn counted(self, version: MessageType, written: Written) -> Self {
        WriteAnswer { written: (version == MessageType::V2).then_some(written), ..self }
    }
}

const NO_CONTENT: WriteAnswer = WriteAnswer { status: 204, text: None, written: None };
const BAD_REQUEST: u16 = 400;
const UNSUPPORTED: u16 = 415;
/// What senders take as "later", where they are told to.
const TOO_MANY: u16 = 429;
const INTERNAL: u16 = 500;

/// Takes requests; many at once.
pub struct Receiver {
    store: Arc<dyn Append>,
    options: ReceiverOptions,
    cache: Arc<SeriesCache>,
    metrics: Metrics,
    scratch: Mutex<Vec<Scratch>>,
}

/// Memory of one request, used again.
#[derive(Default)]
struct Scratch {
    body: Vec<u8>,
    incoming: Incoming,
}

/// What reading a message came to.
struct Message<'b> {
    symbols: Result<Symbols<'b>, exposition::ParseError>,
    /// Why series could not be created.
    limited: Option<String>,
    /// Why nothing can be stored.
    failed: Option<AppendError>,
}

/// Bodies longer than this do not keep their memory.
const KEPT_BODY: usize = 4 * 1024 * 1024;

impl Receiver {
    /// A receiver that writes to `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Append>,
        options: ReceiverOptions,
        memory: &MemoryBudget,
        registry: &Registry,
    ) -> Self {
        let cache = Arc::new(SeriesCache::new(memory, "remote_write_series"));
        let metrics = Metrics::register(registry, &cache);
        Receiver { store, options, cache, metrics, scratch: Mutex::default() }
    }

    /// Stores a request. `now` is in milliseconds since the Unix epoch. Computes, and waits for the log: not to be
    /// called where that must not be.
    #[must_use]
    pub fn receive(&self, encoding: &str, content_type: &str, body: &[u8], now: i64) -> WriteAnswer {
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        let answer = self.receive_with(&mut scratch, encoding, content_type, body, now);
        if let Some(text) = &answer.text {
            let err = text.lines().next().unwrap_or_default();
            tracing::warn!(component = "web", status = answer.status, err, "Error in a remote write request");
        }
        scratch.incoming.clear();
        scratch.body.clear();
        scratch.body.shrink_to(KEPT_BODY);
        self.scratch.lock().push(scratch);
        answer
    }

    fn receive_with(
        &self,
        scratch: &mut Scratch,
        encoding: &str,
        content_type: &str,
        body: &[u8],
        now: i64,
    ) -> WriteAnswer {
        if !matches!(encoding, "" | "snappy") {
            let text = format!(
                "{encoding} encoding (compression) is not accepted by this server; only snappy is acceptable"
            );
            return WriteAnswer::error(UNSUPPORTED, &text);
        }
        match snappy::decompress(body, MAX_WRITE_BODY, &mut scratch.body) {
            Ok(()) => {}
            Err(snappy::Refused::TooLong) => {
                let text = format!("decoded size exceeds the {MAX_WRITE_BODY} bytes limit");
                return WriteAnswer::error(BAD_REQUEST, &text);
            }
            Err(snappy::Refused::Corrupt) => return WriteAnswer::error(BAD_REQUEST, "s2: corrupt input"),
        }
        let version = match MessageType::of_content_type(content_type) {
            Ok(version) if self.options.accepted.contains(&version) => version,
            Ok(version) => {
                let accepted = message_type::list(&self.options.accepted);
                let name = version.name();
                let text = format!(
                    "{name} protobuf message is not accepted by this server; only accepts {accepted}"
                );
                return WriteAnswer::error(UNSUPPORTED, &text);
            }
            Err(text) => return WriteAnswer::error(UNSUPPORTED, &text),
        };
        let Scratch { body, incoming } = scratch;
        incoming.clear();
        self.store_message(version, body, incoming, now)
    }

    fn store_message(
        &self,
        version: MessageType,
        body: &[u8],
        incoming: &mut Incoming,
        now: i64,
    ) -> WriteAnswer {
        let nothing = Written::default();
        let Message { symbols, limited, failed } = self.read(version, body, incoming, now);
        let symbols = match symbols {
            Ok(symbols) => symbols,
            Err(why) => return WriteAnswer::error(BAD_REQUEST, &why.to_string()).counted(version, nothing),
        };
        self.metrics.requests.inc();
        if let Some(error) = failed {
            return WriteAnswer::error(INTERNAL, &error.to_string()).counted(version, nothing);
        }
        if version == MessageType::V1 && !incoming.complaints.is_empty() {
            self.check(body, &symbols, incoming);
            let first = incoming.complaints.iter().min_by_key(|complaint| complaint.place());
            return WriteAnswer::error(BAD_REQUEST, first.map_or("", |first| first.text.as_str()));
        }
        if let Err(error) = self.append(version, body, &symbols, incoming) {
            return WriteAnswer::error(INTERNAL, &error.to_string()).counted(version, nothing);
        }
        let written = self.complete(version, body, &symbols, incoming);
        if version == MessageType::V2 || incoming.complaints.is_empty() {
            // Of version 1.0 Prometheus counts them when all else is stored.
            self.metrics.invalid_labels.add(incoming.invalid as f64);
        }
        self.metrics.samples.add((written.samples + written.histograms) as f64);
        incoming.complaints.sort_by_key(|complaint| complaint.place());
        let mut texts: Vec<&str> = incoming.complaints.iter().map(|c| c.text.as_str()).collect();
        if version == MessageType::V1 {
            texts.truncate(1);
        }
        let answer = match (texts.is_empty(), limited) {
            (true, None) => NO_CONTENT,
            (true, Some(limit)) => WriteAnswer::error(TOO_MANY, &limit),
            (false, limited) => {
                texts.extend(limited.as_deref());
                WriteAnswer::error(BAD_REQUEST, &texts.join("\n"))
            }
        };
        answer.counted(version, written)
    }

    fn read<'b>(
        &self,
        version: MessageType,
        body: &'b [u8],
        incoming: &mut Incoming,
        now: i64,
    ) -> Message<'b> {
        let mut reading = Reading {
            incoming,
            cache: &self.cache,
            lookups: self.cache.read(),
            store: &*self.store,
            options: &self.options,
            max_time: now.saturating_add(MAX_AHEAD),
            found: Vec::new(),
            limited: None,
            failed: None,
            builder: SortedLabels::default(),
            current: SeriesRef(0),
            starts: Vec::new(),
            newest: HashMap::default(),
        };
        let symbols = match version {
            MessageType::V1 => version1::read(body, &mut reading).map(|()| Symbols::default()),
            MessageType::V2 => version2::read(body, &mut reading),
        };
        let Reading { lookups, found, limited, failed, .. } = reading;
        drop(lookups);
        if !found.is_empty() {
            self.cache.insert(&found);
        }
        Message { symbols, limited, failed }
    }

    /// Of a request of which nothing is stored: what the store would say, since the first complaint is the one that is told.
    fn check(&self, body: &[u8], symbols: &Symbols<'_>, incoming: &mut Incoming) {
        (incoming.batch.only_checked, incoming.batch.tells_within) = (true, true);
        if self.store.append(&incoming.batch, &mut incoming.outcome).is_err() {
            return;
        }
        let outcome = &mut incoming.outcome;
        outcome.rejected.retain(|(_, reason)| *reason != Rejection::UnknownSeries);
        outcome.rejected_histograms.retain(|(_, reason)| *reason != Rejection::UnknownSeries);
        self.complete(MessageType::V1, body, symbols, incoming);
    }

    /// Stores the batch. Series that the store dropped since they were known are looked up again.
    fn append(
        &self,
        version: MessageType,
        body: &[u8],
        symbols: &Symbols<'_>,
        incoming: &mut Incoming,
    ) -> Result<(), AppendError> {
        incoming.batch.all_or_nothing = version == MessageType::V1;
        incoming.batch.tells_within = true;
        self.append_zeros(incoming);
        self.store.append(&incoming.batch, &mut incoming.outcome)?;
        let outcome = &incoming.outcome;
        let unknown = |phase: Phase, rejected: &[(u32, Rejection)]| -> Vec<usize> {
            let gone = rejected.iter().filter(|(_, reason)| *reason == Rejection::UnknownSeries);
            gone.map(|(i, _)| incoming.series_of(phase, *i)).collect()
        };
        let mut gone = unknown(Phase::Samples, &outcome.rejected);
        gone.extend(unknown(Phase::Histograms, &outcome.rejected_histograms));
        gone.extend(unknown(Phase::Exemplars, &outcome.rejected_exemplars));
        if gone.is_empty() {
            return append_within(&*self.store, &incoming.batch, &incoming.outcome);
        }
        gone.sort_unstable();
        gone.dedup();
        let again = self.resolve_again(version, body, symbols, incoming, &gone)?;
        self.cache.insert(&again);
        // What was stored already is the same again, which is no error.
        self.store.append(&incoming.batch, &mut incoming.outcome)?;
        append_within(&*self.store, &incoming.batch, &incoming.outcome)
    }

    /// As in a scrape: what cannot be stored is no error.
    fn append_zeros(&self, incoming: &mut Incoming) {
        if incoming.zeros.is_empty() {
            return;
        }
        incoming.zeros.in_order_only = true;
        if let Err(err) = self.store.append(&incoming.zeros, &mut incoming.outcome) {
            tracing::debug!(component = "web", %err, "No zeros at start times");
        }
    }

    fn resolve_again(
        &self,
        version: MessageType,
        body: &[u8],
        symbols: &Symbols<'_>,
        incoming: &mut Incoming,
        gone: &[usize],
    ) -> Result<Vec<(SeriesKey, SeriesRef)>, AppendError> {
        let mut builder = SortedLabels::default();
        let mut again = Vec::new();
        for &number in gone {
            let Some(span) = incoming.series.get(number) else { continue };
            let Some(message) = body.get(span.message.clone()) else { continue };
            let mut pairs: Vec<Pair<'_>> = Vec::new();
            let Ok(key) = self.labels_again(version, message, symbols, &mut pairs) else { continue };
            let Ok(labels) = wire_labels::labels_of(&mut pairs, &mut builder) else { continue };
            match self.store.resolve(Affinity::of_target(&labels), &labels) {
                Ok(resolved) => {
                    incoming.assign(number, resolved.series);
                    again.extend(key.map(|key| (key, resolved.series)));
                }
                // It stays unknown, and that is what the sender is told.
                Err(AppendError::SeriesLimit(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(again)
    }

    /// The labels of a series of the request, and what they are known by.
    fn labels_again<'b>(
        &self,
        version: MessageType,
        message: &'b [u8],
        symbols: &Symbols<'b>,
        pairs: &mut Vec<Pair<'b>>,
    ) -> Result<Option<SeriesKey>, exposition::ParseError> {
        match version {
            MessageType::V1 => {
                let end = version1::read_labels(message, pairs)?;
                Ok(end.map(|end| self.cache.key(&message[..end])))
            }
            MessageType::V2 => version2::labels_again(
                message,
                symbols,
                self.options.type_and_unit_labels,
                &self.cache,
                pairs,
            ),
        }
    }

    /// Turns what the store refused into words, and counts what was written.
    fn complete(
        &self,
        version: MessageType,
        body: &[u8],
        symbols: &Symbols<'_>,
        incoming: &mut Incoming,
    ) -> Written {
        let outcome = std::mem::take(&mut incoming.outcome);
        let described = self.options.type_and_unit_labels;
        let for_series = |incoming: &Incoming, series: usize, why: &str| {
            let message = incoming.series.get(series).and_then(|span| body.get(span.message.clone()));
            let labels = message.and_then(|message| version2::series_text(message, symbols, described).ok());
            format!("{why} for series {}", labels.unwrap_or_default())
        };
        let named = |incoming: &Incoming, phase: Phase, index: u32, why: String| {
            let series = incoming.series_of(phase, index);
            let text = match version {
                MessageType::V1 => why,
                MessageType::V2 => for_series(incoming, series, &why),
            };
            incoming::Complaint { series: series as u32, phase, index, text }
        };
        let mut complaints = Vec::new();
        let asked = |zeros: &[u32], i: u32| zeros.binary_search(&i).is_err();
        let (mut refused, mut refused_histograms) = (0, 0);
        for &(i, reason) in outcome.rejected.iter().filter(|(i, _)| asked(&incoming.zeros_between, *i)) {
            refused += 1;
            let Some(sample) = incoming.batch.samples.get(i as usize) else { continue };
            let existing = outcome.existing.iter().find(|(at, _)| *at == i).map(|(_, v)| *v);
            let why = refusal_of_sample(reason, sample, existing);
            complaints.push(named(incoming, Phase::Samples, i, why));
        }
        let rejected = outcome.rejected_histograms.iter();
        for &(i, reason) in rejected.filter(|(i, _)| asked(&incoming.zeros_between_histograms, *i)) {
            refused_histograms += 1;
            let Some(histogram) = incoming.batch.histograms.get(i as usize) else { continue };
            let why = refusal_of_histogram(reason, histogram);
            complaints.push(named(incoming, Phase::Histograms, i, why));
        }
        let late = outcome.rejected_exemplars.iter().filter(|(_, reason)| *reason == Rejection::OutOfOrder);
        let late: Vec<u32> = late.map(|(i, _)| *i).collect();
        if !late.is_empty() {
            let num_dropped = late.len();
            tracing::warn!(component = "web", num_dropped, "Error on ingesting out-of-order exemplars");
        }
        if version == MessageType::V2 {
            let why = || "out of order exemplar".to_owned();
            complaints.extend(late.iter().map(|&i| named(incoming, Phase::Exemplars, i, why())));
        }
        let mut own = std::mem::take(&mut incoming.complaints);
        for complaint in &mut own {
            if version == MessageType::V2 && matches!(complaint.phase, Phase::Samples | Phase::Histograms) {
                complaint.text = for_series(incoming, complaint.series as usize, &complaint.text);
            }
        }
        incoming.complaints = own;
        incoming.complaints.append(&mut complaints);
        let written = Written {
            samples: incoming.batch.samples.len() - incoming.zeros_between.len() - refused,
            histograms: incoming.batch.histograms.len()
                - incoming.zeros_between_histograms.len()
                - refused_histograms,
            exemplars: incoming.batch.exemplars.len() - outcome.rejected_exemplars.len(),
        };
        let nothing = version == MessageType::V1 && !incoming.complaints.is_empty();
        incoming.outcome = outcome;
        if nothing { Written::default() } else { written }
    }
}
