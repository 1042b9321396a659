//! Histograms whose custom bounds differ.

use super::Population;

/// The bounds that both have.
pub(super) fn intersection(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while let (Some(&x), Some(&y)) = (a.get(i), b.get(j)) {
        if x == y {
            out.push(x);
        }
        i += usize::from(x <= y);
        j += usize::from(y < x || x == y);
    }
    out
}

/// The bucket of `to` that holds a bucket of `from`; every bound of `to` is one of `from` too.
pub(super) fn target(index: i32, from: &[f64], to: &[f64]) -> i32 {
    let upper = usize::try_from(index).ok().and_then(|at| from.get(at));
    upper.map_or(to.len(), |&upper| to.partition_point(|&bound| bound < upper)) as i32
}

/// Populations in the buckets of fewer bounds.
pub(super) fn mapped(populations: &[Population], from: &[f64], to: &[f64]) -> Vec<Population> {
    let mut out: Vec<Population> = Vec::new();
    for &(index, count) in populations {
        let index = target(index, from, to);
        match out.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            _ => out.push((index, count)),
        }
    }
    out
}
