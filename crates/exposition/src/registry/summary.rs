//! Summaries: quantiles of the last ten minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::children::Child;
use super::quantile::Stream;
use crate::family::MetricValue;

/// How long an observation counts.
const MAX_AGE: Duration = Duration::from_secs(600);
/// The window moves in steps of `MAX_AGE / STREAMS`.
const STREAMS: usize = 5;

/// Quantiles, sum and count of observations. The quantiles are of the last ten minutes (NaN when there was nothing); sum and count are of
/// all time.
#[derive(Debug, Clone)]
pub struct Summary(Arc<Mutex<Window>>);

impl Summary {
    /// Adds one observation.
    pub fn observe(&self, v: f64) {
        self.0.lock().observe(v, Instant::now());
    }
}

impl Child for Summary {
    type Options = Box<[f64]>;

    fn new(quantiles: &Box<[f64]>) -> Self {
        Summary(Arc::new(Mutex::new(Window::new(quantiles, Instant::now()))))
    }

    fn value(&self) -> MetricValue {
        let mut window = self.0.lock();
        let quantiles = window.quantiles(Instant::now());
        MetricValue::Summary { quantiles, sum: window.sum, count: window.count }
    }
}

/// Every observation goes to all streams; one stream after the other is emptied, and the one that was emptied longest ago is asked. So it
/// has seen between 4/5 of `MAX_AGE` and all of it.
#[derive(Debug)]
struct Window {
    quantiles: Box<[f64]>,
    streams: [Stream; STREAMS],
    oldest: usize,
    /// When the oldest stream is emptied.
    turn_at: Instant,
    sum: f64,
    count: u64,
}

impl Window {
    fn new(quantiles: &[f64], now: Instant) -> Self {
        let mut quantiles: Box<[f64]> = quantiles.into();
        quantiles.sort_by(f64::total_cmp);
        let streams = std::array::from_fn(|_| Stream::new(&quantiles));
        Window { quantiles, streams, oldest: 0, turn_at: now + Self::step(), sum: 0.0, count: 0 }
    }

    fn step() -> Duration {
        MAX_AGE / STREAMS as u32
    }

    fn turn(&mut self, now: Instant) {
        for _ in 0..STREAMS {
            if now < self.turn_at {
                return;
            }
            if let Some(stream) = self.streams.get_mut(self.oldest) {
                stream.clear();
            }
            self.oldest = (self.oldest + 1) % STREAMS;
            self.turn_at += Self::step();
        }
        // All are empty: a long pause needs no further turns.
        if self.turn_at <= now {
            self.turn_at = now + Self::step();
        }
    }

    fn observe(&mut self, v: f64, now: Instant) {
        self.turn(now);
        self.sum += v;
        self.count += 1;
        for stream in &mut self.streams {
            stream.insert(v);
        }
    }

    fn quantiles(&mut self, now: Instant) -> Vec<(f64, f64)> {
        self.turn(now);
        let Some(stream) = self.streams.get_mut(self.oldest) else { return Vec::new() };
        self.quantiles.iter().map(|&q| (q, stream.query(q).unwrap_or(f64::NAN))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(window: &mut Window, now: Instant) -> Vec<f64> {
        window.quantiles(now).into_iter().map(|(_, v)| v).collect()
    }

    #[test]
    fn an_observation_counts_between_eight_and_ten_minutes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::new(&[0.5], start);
        assert!(of(&mut window, start)[0].is_nan());
        window.observe(7.0, at(1));
        assert_eq!(of(&mut window, at(481)), [7.0]);
        assert_eq!(of(&mut window, at(599)), [7.0]);
        assert!(of(&mut window, at(601))[0].is_nan());
        window.observe(3.0, at(100_000));
        assert_eq!(of(&mut window, at(100_001)), [3.0]);
        assert_eq!((window.sum, window.count), (10.0, 2));
    }
}
