//! Deltas added up to what counters are: `--enable-feature=otlp-deltatocumulative`.
//!
//! A stream is resource, scope, metric and attributes. Its first point is taken as it is; a point that began before the
//! stream or is not newer than its last one is dropped without a word, as by the collector's processor.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use storage::{MemoryAccount, MemoryBudget, MemoryStage, SeriesKey};

use crate::exponential;
use crate::point::{Measured, Number, PointKind};

/// A stream without points for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(60);

struct Stream {
    used: Instant,
    sum: Measured,
}

/// The streams that there are.
pub(crate) struct Streams {
    state: Mutex<State>,
    account: MemoryAccount,
}

struct State {
    by_key: HashMap<(u64, u64), Stream>,
    swept: Instant,
    bytes: u64,
}

/// Whether a point of a stream is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregated {
    /// As it came.
    First,
    /// As the sum, without the exemplars: those of the first point are stored already.
    Sum,
    Dropped,
}

impl Streams {
    pub(crate) fn new(memory: &MemoryBudget) -> Self {
        let state = State { by_key: HashMap::new(), swept: Instant::now(), bytes: 0 };
        Streams { state: Mutex::new(state), account: memory.account("otlp_streams") }
    }

    pub(crate) fn len(&self) -> usize {
        self.state.lock().by_key.len()
    }

    /// Adds a point to its stream, and replaces it by the sum.
    pub(crate) fn add(&self, key: SeriesKey, kind: PointKind, point: &mut Measured) -> Aggregated {
        let now = Instant::now();
        let mut state = self.state.lock();
        if now.duration_since(state.swept) > SWEEP_EVERY {
            state.sweep(now);
        }
        let State { by_key, bytes, .. } = &mut *state;
        let stream = match by_key.entry(key.parts()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if self.account.budget().stage() >= MemoryStage::RefuseSeries => {
                return Aggregated::Dropped;
            }
            Entry::Vacant(new) => {
                *bytes += size_of(point);
                self.account.set(*bytes);
                new.insert(Stream { used: now, sum: point.clone() });
                return Aggregated::First;
            }
        };
        stream.used = now;
        let before = size_of(&stream.sum);
        let outcome = aggregate(&mut stream.sum, kind, point);
        *bytes = bytes.saturating_add(size_of(&stream.sum)).saturating_sub(before);
        self.account.set(*bytes);
        outcome
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        self.swept = now;
        self.by_key.retain(|_, stream| now.duration_since(stream.used) <= FORGOTTEN_AFTER);
        if self.by_key.len() < self.by_key.capacity() / 4 {
            self.by_key.shrink_to_fit();
        }
        self.bytes = self.by_key.values().map(|stream| size_of(&stream.sum)).sum();
    }
}

/// About what a stream takes, in bytes.
fn size_of(sum: &Measured) -> u64 {
    let numbers = sum.counts.capacity()
        + sum.bounds.capacity()
        + sum.positive.counts.capacity()
        + sum.negative.counts.capacity();
    (std::mem::size_of::<Stream>() + 32 + numbers * 8) as u64
}

fn aggregate(sum: &mut Measured, kind: PointKind, point: &mut Measured) -> Aggregated {
    if sum.time == 0 {
        sum.clone_from(point);
        return Aggregated::First;
    }
    if point.start_time < sum.start_time || point.time <= sum.time {
        return Aggregated::Dropped;
    }
    let time = point.time;
    let outcome = match kind {
        PointKind::Histogram if sum.bounds != point.bounds => {
            sum.clone_from(point);
            Aggregated::First
        }
        PointKind::Histogram => {
            for (sum, count) in sum.counts.iter_mut().zip(&point.counts) {
                *sum = sum.wrapping_add(*count);
            }
            sum.count = sum.count.wrapping_add(point.count);
            sum.sum = sum.sum.zip(point.sum).map(|(a, b)| a + b);
            Aggregated::Sum
        }
        PointKind::Exponential => {
            exponential::add(sum, point);
            Aggregated::Sum
        }
        PointKind::Gauge | PointKind::Sum | PointKind::Summary => {
            sum.number = match (sum.number, point.number) {
                // A stream that changes its kind of number begins at zero again.
                (Number::Integer(sum), Number::Integer(n)) => Number::Integer(sum.wrapping_add(n)),
                (_, Number::Integer(n)) => Number::Integer(n),
                (Number::Double(sum), Number::Double(v)) => Number::Double(sum + v),
                (_, Number::Double(v)) => Number::Double(v),
                (sum, Number::None) => sum,
            };
            Aggregated::Sum
        }
    };
    sum.time = time;
    point.clone_from(sum);
    outcome
}
