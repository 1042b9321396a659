//! Targeted quantiles over a stream in bounded memory (Cormode, Korn, Muthukrishnan, Srivastava: "Effective Computation of Biased Quantiles
//! over Data Streams", the variant with target quantiles).

/// Observations wait here and are merged together.
const PENDING: usize = 256;

/// A kept value stands for `width` observations; its rank is known but for `slack`.
#[derive(Debug, Clone, Copy)]
struct Kept {
    value: f64,
    width: f64,
    slack: f64,
}

/// An estimator of a few quantiles. The error in rank of quantile q is at most a tenth of `1 - q` (0.05 at 0.5, 0.001 at 0.99).
#[derive(Debug)]
pub(super) struct Stream {
    /// Quantile and allowed error in rank.
    targets: Box<[(f64, f64)]>,
    kept: Vec<Kept>,
    pending: Vec<f64>,
    merged: f64,
}

impl Stream {
    pub(super) fn new(quantiles: &[f64]) -> Self {
        let targets = quantiles.iter().map(|&q| (q, ((1.0 - q) / 10.0).max(1e-4))).collect();
        Stream { targets, kept: Vec::new(), pending: Vec::new(), merged: 0.0 }
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.pending.clear();
        self.merged = 0.0;
    }

    pub(super) fn insert(&mut self, v: f64) {
        self.pending.push(v);
        if self.pending.len() >= PENDING {
            self.merge();
        }
    }

    /// The value at quantile `q`, if there is any observation.
    pub(super) fn query(&mut self, q: f64) -> Option<f64> {
        self.merge();
        let wanted = (q * self.merged).ceil();
        let reach = wanted + (self.allowed(wanted) / 2.0).floor();
        let mut rank = 0.0;
        let mut found = self.kept.first()?.value;
        for kept in &self.kept {
            if rank + kept.width + kept.slack > reach {
                // The very first may already be beyond: it is the smallest of all.
                return Some(if rank == 0.0 { kept.value } else { found });
            }
            rank += kept.width;
            found = kept.value;
        }
        Some(found)
    }

    /// How far apart in rank two kept values may be around `rank`: the paper's f(r, n).
    fn allowed(&self, rank: f64) -> f64 {
        let n = self.merged;
        let least = self.targets.iter().map(|&(q, error)| {
            if q * n <= rank { 2.0 * error * rank / q } else { 2.0 * error * (n - rank) / (1.0 - q) }
        });
        least.fold(f64::INFINITY, f64::min)
    }

    fn merge(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.pending.sort_by(f64::total_cmp);
        let old = std::mem::take(&mut self.kept);
        let mut merged = Vec::with_capacity(old.len() + self.pending.len());
        let mut old = old.into_iter().peekable();
        for value in std::mem::take(&mut self.pending) {
            while let Some(kept) = old.next_if(|kept| kept.value <= value) {
                merged.push(kept);
            }
            // It lies somewhere among the observations that the next kept value stands for; the smallest and the largest are exact.
            let slack = match old.peek() {
                Some(next) if !merged.is_empty() => next.width + next.slack - 1.0,
                _ => 0.0,
            };
            merged.push(Kept { value, width: 1.0, slack });
            self.merged += 1.0;
        }
        merged.extend(old);
        self.compress(&merged);
    }

    /// Joins neighbours where the allowed distance permits, from the largest value down; the smallest stays.
    fn compress(&mut self, merged: &[Kept]) {
        let mut kept: Vec<Kept> = Vec::with_capacity(merged.len());
        let mut rank = self.merged;
        for (i, &this) in merged.iter().enumerate().rev() {
            rank -= this.width;
            let wide = kept.last().map_or(0.0, |next| this.width + next.width);
            // The allowed distance falls towards a target and rises behind it: both ends have to permit the join.
            let limit = self.allowed(rank).min(self.allowed(rank + wide));
            match kept.last_mut() {
                Some(next) if i > 0 && this.width + next.width + next.slack <= limit => {
                    next.width += this.width;
                }
                _ => kept.push(this),
            }
        }
        kept.reverse();
        self.kept = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_error_and_memory_is_bounded() {
        let targets = [0.5, 0.9, 0.99];
        let n = 100_000_u64;
        type Order = fn(u64, u64) -> u64;
        let orders: [Order; 3] = [|i, _| i, |i, n| n - 1 - i, |i, n| (i * 7_919) % n];
        for order in orders {
            let mut stream = Stream::new(&targets);
            for i in 0..n {
                stream.insert(order(i, n) as f64);
            }
            for (q, error) in [(0.5, 0.05), (0.9, 0.01), (0.99, 0.001)] {
                let got = stream.query(q).unwrap() / n as f64;
                assert!((got - q).abs() <= error + 1e-4, "quantile {q}: {got}");
            }
            assert!(stream.kept.len() < 500, "{} values kept", stream.kept.len());
        }
    }

    #[test]
    fn few_observations_are_exact_enough() {
        let mut stream = Stream::new(&[0.5, 0.9, 0.99]);
        assert_eq!(stream.query(0.5), None);
        stream.insert(2.0);
        assert_eq!(stream.query(0.99), Some(2.0));
        stream.insert(1.0);
        stream.insert(3.0);
        assert_eq!((stream.query(0.5), stream.query(0.99)), (Some(2.0), Some(3.0)));
    }
}
