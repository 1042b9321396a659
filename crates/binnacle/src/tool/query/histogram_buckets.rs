//! `query analyze`: how many buckets of histograms are in use.

use std::collections::{BTreeMap, HashSet};

use model::number::parse_float;

use super::api::Api;
use super::time::Instant;
use super::value::{Answer, Stream, label_set, name_of};
use crate::tool::Failure;
use crate::tool::failure::print;

const HEAD: &str = "\
Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).

";
const FOOT: &str = "
Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.
";

/// Populated buckets of one histogram over time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Populated {
    min: usize,
    avg: f64,
    max: usize,
    /// All buckets that there were, populated or not.
    total: usize,
}

impl Populated {
    fn new(counts: &[usize], total: usize) -> Self {
        Populated {
            min: counts.iter().copied().min().unwrap_or_default(),
            avg: counts.iter().sum::<usize>() as f64 / counts.len() as f64,
            max: counts.iter().copied().max().unwrap_or_default(),
            total,
        }
    }

    fn text(self) -> String {
        let Populated { min, avg, max, total } = self;
        if max == total { format!("{min}/{avg:.3}/{max}") } else { format!("{min}/{avg:.3}/{max}/{total}") }
    }
}

/// Smallest, mean and largest of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    min: usize,
    max: usize,
    count: usize,
    avg: f64,
}

impl Spread {
    fn of(numbers: impl Iterator<Item = usize>) -> Self {
        let mut spread = Spread { min: usize::MAX, max: 0, count: 0, avg: 0.0 };
        for number in numbers {
            spread.min = spread.min.min(number);
            spread.max = spread.max.max(number);
            spread.count += 1;
            let count = spread.count as f64;
            spread.avg += number as f64 / count - spread.avg / count;
        }
        spread
    }

    fn text(self) -> String {
        format!("{}/{:.3}/{}", self.min, self.avg, self.max)
    }
}

/// Prints the histograms that the selectors select, of so many nanoseconds before `end`.
pub(super) fn analyze(api: &Api, selectors: &[String], duration: i64, end: Instant) -> Result<(), Failure> {
    print(HEAD)?;
    let (mut native, mut classic) = (Vec::new(), Vec::new());
    for selector in selectors {
        let expr = format!("{selector}[{}]", model::duration::format_go(duration));
        let Answer::Matrix(streams) = api.query(&expr, end).map_err(|error| Failure::Told(error.text))?
        else {
            return Err(Failure::Told("query of buckets resulted in non-Matrix".to_owned()));
        };
        let mut buckets: BTreeMap<String, Vec<Stream>> = BTreeMap::new();
        for stream in streams {
            if stream.values.is_empty() {
                if let Some(populated) = of_native(&stream) {
                    print(&format!("- {} (native): {}\n", name_of(&stream.metric), populated.text()))?;
                    native.push(populated);
                }
            } else if let Some(name) = name_of_classic(&stream) {
                buckets.entry(name).or_default().push(stream);
            }
        }
        for (name, streams) in buckets {
            if let Some(populated) = of_classic(streams)? {
                print(&format!("- {name} (classic): {}\n", populated.text()))?;
                classic.push(populated);
            }
        }
    }
    print(FOOT)?;
    for (kind, all) in [("Native", native), ("Classic", classic)] {
        if !all.is_empty() {
            print(&format!("\n{kind} {}\n", aggregated(&all)))?;
        }
    }
    Ok(())
}

fn aggregated(all: &[Populated]) -> String {
    let min = Spread::of(all.iter().map(|one| one.min));
    let avg = Spread::of(all.iter().map(|one| one.avg as usize));
    let max = Spread::of(all.iter().map(|one| one.max));
    let total = Spread::of(all.iter().map(|one| one.total));
    let mut out = format!(
        "histogram series ({} in total):\n- min populated: {}\n- avg populated: {}\n- max populated: {}",
        all.len(),
        min.text(),
        avg.text(),
        max.text()
    );
    if max != total {
        out.push_str(&format!("\n- total: {}", total.text()));
    }
    out
}

fn of_native(stream: &Stream) -> Option<Populated> {
    if stream.histograms.len() < 2 {
        return None;
    }
    let mut bounds = HashSet::new();
    let mut counts = Vec::new();
    for (_, histogram) in &stream.histograms {
        let key = |v: f64| (v + 0.0).to_bits();
        bounds.extend(histogram.buckets.iter().map(|b| (b.boundaries, key(b.lower), key(b.upper))));
        counts.push(histogram.buckets.len());
    }
    Some(Populated::new(&counts, bounds.len()))
}

/// What a bucket's histogram is called, if it is a bucket.
fn name_of_classic(stream: &Stream) -> Option<String> {
    let mut labels = stream.metric.clone();
    labels.remove("le")?;
    let name = labels.remove(model::METRIC_NAME).filter(|name| name.ends_with("_bucket"))?;
    Some(name + &label_set(&labels))
}

fn of_classic(mut buckets: Vec<Stream>) -> Result<Option<Populated>, Failure> {
    let samples = buckets.first().map_or(0, |bucket| bucket.values.len());
    if samples < 2 {
        return Ok(None);
    }
    let bound = |stream: &Stream| stream.metric.get("le").and_then(|le| parse_float(le)).unwrap_or_default();
    buckets.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let mut counts = Vec::new();
    for at in 0..samples {
        let mut populated = 0;
        let mut before: Option<(i64, f64)> = None;
        for bucket in &buckets {
            // A bucket that is missing leaves the rest uncounted.
            let Some(&(t, v)) = bucket.values.get(at) else { break };
            if before.is_some_and(|(before, _)| before != t) {
                return Err(Failure::Told("matrix result is not time aligned".to_owned()));
            }
            populated += usize::from((v - before.map_or(0.0, |(_, v)| v)) as i64 != 0);
            before = Some((t, v));
        }
        counts.push(populated);
    }
    Ok(Some(Populated::new(&counts, buckets.len())))
}
