//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`.

use std::cmp::Ordering;

use super::column::Series;
use super::rows::Rows;
use crate::plan::SortBy;

/// The rows in order of their (first) value or their labels.
pub(super) fn sorted<'e>(mut rows: Rows<'e>, by: &SortBy, descending: bool) -> Rows<'e> {
    match by {
        SortBy::Value => {
            rows.series.retain_mut(|s| {
                s.floats.keep_floats();
                !s.floats.is_absent()
            });
            by_value(&mut rows.series, descending);
        }
        SortBy::Labels(names) => rows.series.sort_by(|a, b| {
            let order = by_labels(a, b, names);
            if descending { order.reverse() } else { order }
        }),
    }
    rows
}

/// Up to this many are sorted by insertion in Go, which shows in the order of NaNs: it reverses them.
const INSERTION: usize = 12;

fn by_value(series: &mut [Series], descending: bool) {
    let value = |s: &Series| s.floats.get(0).unwrap_or(f64::NAN);
    if series.len() <= INSERTION {
        for i in 1..series.len() {
            for j in (1..=i).rev() {
                let [Some(before), Some(this)] = [series.get(j - 1), series.get(j)].map(|s| s.map(value))
                else {
                    break;
                };
                let misplaced = before.is_nan() || if descending { before < this } else { before > this };
                if !misplaced {
                    break;
                }
                series.swap(j - 1, j);
            }
        }
        return;
    }
    series.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        match (a.is_nan(), b.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ if descending => b.partial_cmp(&a).unwrap_or(Ordering::Equal),
            _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        }
    });
}

fn by_labels(a: &Series, b: &Series, names: &[String]) -> Ordering {
    for name in names {
        let (a, b) = (a.labels.value(name), b.labels.value(name));
        if a != b {
            return if natural(a, b) { Ordering::Less } else { Ordering::Greater };
        }
    }
    a.labels.cmp(&b.labels)
}

/// Runs of digits and of anything else.
fn runs(text: &str) -> Vec<&str> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        runs.push(run);
        rest = behind;
    }
    runs
}

/// Whether `a` comes before the different text `b`: runs of digits compare as numbers.
fn natural(a: &str, b: &str) -> bool {
    let (a, b) = (runs(a), runs(b));
    for (i, run_a) in a.iter().enumerate() {
        let Some(run_b) = b.get(i) else { return false };
        let equal = match (run_a.parse::<i64>(), run_b.parse::<i64>()) {
            (Ok(a), Ok(b)) if a != b => return a < b,
            (Ok(_), Ok(_)) => true,
            _ => run_a == run_b,
        };
        if !equal {
            return run_a < run_b;
        }
        if i + 1 == a.len() {
            return true;
        }
        if i + 1 == b.len() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        for (a, b) in [("node-2", "node-10"), ("a", "b"), ("1.5", "1.10"), ("x", "x1")] {
            assert!(natural(a, b), "{a} {b}");
            assert!(!natural(b, a), "{b} {a}");
        }
    }
}
