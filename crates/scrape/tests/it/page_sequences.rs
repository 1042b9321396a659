//! Any sequence of pages: what is stored is what reading each page without memory would store.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{STALE_NAN, is_stale};
use proptest::prelude::*;
use scrape::PageIntake;

use crate::support::{Recorder, now_nanos};

const SERIES: usize = 12;

#[derive(Debug, Clone)]
enum Line {
    Sample { series: usize, value: i32 },
    Comment(usize),
}

#[derive(Debug, Clone)]
struct Page {
    lines: Vec<Line>,
    /// Series whose lines have timestamps on this page.
    stamped: Vec<usize>,
    broken: bool,
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        8 => (0..SERIES, 0..3).prop_map(|(series, value)| Line::Sample { series, value }),
        1 => (0..4usize).prop_map(Line::Comment),
    ]
}

/// Changes that targets make to their pages: none, a few lines in and out, another order, something else entirely.
fn pages() -> impl Strategy<Value = Vec<Page>> {
    let change = prop_oneof![
        3 => Just(0u8),
        3 => Just(1),
        2 => Just(2),
        1 => Just(3),
    ];
    let step = (
        change,
        prop::collection::vec(line(), 0..20),
        any::<prop::sample::Index>(),
        prop::collection::vec(0..SERIES, 0..2),
        0..10u8,
    );
    (prop::collection::vec(line(), 0..20), prop::collection::vec(step, 1..12)).prop_map(
        |(mut lines, steps)| {
            let mut pages = vec![Page { lines: lines.clone(), stamped: Vec::new(), broken: false }];
            for (change, other, place, stamped, broken) in steps {
                match change {
                    0 => {}
                    1 => {
                        if !lines.is_empty() {
                            lines.remove(place.index(lines.len()));
                        }
                        let at = place.index(lines.len() + 1);
                        lines.splice(at..at, other.into_iter().take(2));
                    }
                    2 => {
                        if !lines.is_empty() {
                            let at = place.index(lines.len());
                            lines.rotate_left(at);
                        }
                    }
                    _ => lines = other,
                }
                pages.push(Page { lines: lines.clone(), stamped, broken: broken == 0 });
            }
            pages
        },
    )
}

fn name(series: usize) -> String {
    format!("series_{series}")
}

fn text(page: &Page, t: i64) -> String {
    let mut out = String::new();
    for line in &page.lines {
        match line {
            Line::Comment(n) => out.push_str(&format!("# HELP series_{n} Help of {n}.\n")),
            Line::Sample { series, value } => {
                out.push_str(&format!("{}{{x=\"{series}\"}} {value}", name(*series)));
                if page.stamped.contains(series) {
                    out.push_str(&format!(" {}", t - 500));
                }
                out.push('\n');
            }
        }
    }
    if page.broken {
        out.push_str("broken{\n");
    }
    out
}

/// The store as reading without memory would fill it.
#[derive(Default)]
struct Expected {
    samples: BTreeMap<usize, Vec<(i64, f64)>>,
    /// Series of the last page that get a marker if they vanish or get timestamps.
    mortal: Vec<usize>,
}

impl Expected {
    fn store(&mut self, series: usize, t: i64, v: f64) {
        let samples = self.samples.entry(series).or_default();
        if samples.last().is_none_or(|last| last.0 < t) {
            samples.push((t, v));
        }
    }

    fn take_in(&mut self, page: &Page, t: i64) {
        let mut present: Vec<usize> = Vec::new();
        if !page.broken {
            for line in &page.lines {
                let Line::Sample { series, value } = line else { continue };
                let stamped = page.stamped.contains(series);
                if stamped || !present.contains(series) {
                    self.store(*series, if stamped { t - 500 } else { t }, f64::from(*value));
                }
                present.push(*series);
            }
        }
        let mut mortal: Vec<usize> =
            present.into_iter().filter(|series| !page.stamped.contains(series)).collect();
        mortal.sort_unstable();
        mortal.dedup();
        for series in std::mem::replace(&mut self.mortal, mortal) {
            if !self.mortal.contains(&series) {
                self.store(series, t, STALE_NAN);
            }
        }
    }
}

fn readable(samples: &[(i64, f64)], start: i64) -> Vec<String> {
    samples
        .iter()
        .map(|(t, v)| {
            format!("{}:{}", t - start, if is_stale(*v) { "stale".to_owned() } else { v.to_string() })
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)))]

    #[test]
    fn memory_of_the_last_page_changes_nothing_but_the_cost(pages in pages()) {
        let store = Arc::new(Recorder::default());
        let mut intake = PageIntake::new(store.clone()).unwrap();
        let mut expected = Expected::default();
        let start = now_nanos() / 1_000_000 - 1_000_000;
        for (i, page) in pages.iter().enumerate() {
            let t = start + 1000 * i as i64;
            let error = intake.take_in(text(page, t).into_bytes(), "text/plain", t * 1_000_000);
            prop_assert_eq!(error.is_empty(), !page.broken);
            expected.take_in(page, t);
        }
        for series in 0..SERIES {
            let all = store.all();
            let found = all.iter().find(|(l, _)| l.metric_name() == Some(&name(series)));
            let found = found.map(|(_, samples)| samples.as_slice()).unwrap_or_default();
            let wanted = expected.samples.get(&series).map(Vec::as_slice).unwrap_or_default();
            prop_assert_eq!(readable(found, start), readable(wanted, start), "{}", name(series));
        }
    }
}
