//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`.

use std::cmp::Ordering;

use super::column::Series;
use super::go_sort;
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
        // `01` comes before `1`, and `1` before `01`: no order that Rust's sort would accept.
        SortBy::Labels(names) => go_sort::sort(&mut rows.series, |a, b| {
            by_labels(a, b, names) == if descending { Ordering::Greater } else { Ordering::Less }
        }),
    }
    rows
}

/// NaN comes last, as Go's sort sorts it there: in no order.
fn by_value(series: &mut [Series], descending: bool) {
    let value = |s: &Series| s.floats.get(0).unwrap_or(f64::NAN);
    go_sort::sort(series, |a, b| {
        let (a, b) = (value(a), value(b));
        b.is_nan() || if descending { b < a } else { b > a }
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
