//! Whether two programs answer the same.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Numbers that differ relatively by less are equal.
const TOLERANCE: f64 = 1e-9;

/// An answer in a form that can be compared: samples by series, or the list itself.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Series(BTreeMap<String, Vec<(f64, f64)>>),
    Other(Value),
}

impl Answer {
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        let mut body: Value = serde_json::from_slice(body)?;
        let Some(Value::Array(results)) = body.pointer_mut("/data/result").map(Value::take) else {
            return Ok(Answer::Other(body.pointer_mut("/data").map(Value::take).context("no data")?));
        };
        let mut series = BTreeMap::new();
        for result in results {
            let metric = result.get("metric").context("no metric")?.to_string();
            let points = match (result.get("values"), result.get("value")) {
                (Some(Value::Array(values)), _) => values.iter().filter_map(point).collect(),
                (_, value) => value.and_then(point).into_iter().collect(),
            };
            series.insert(metric, points);
        }
        Ok(Answer::Series(series))
    }

    /// What differs from another answer, in few words; `None` if nothing does.
    pub(crate) fn difference(&self, other: &Answer) -> Option<String> {
        let (Answer::Series(ours), Answer::Series(theirs)) = (self, other) else {
            return (self != other).then(|| "differs".to_owned());
        };
        let lost = theirs.keys().filter(|metric| !ours.contains_key(*metric)).count();
        let more = ours.keys().filter(|metric| !theirs.contains_key(*metric)).count();
        let both = ours.iter().filter_map(|(metric, points)| Some((points, theirs.get(metric)?)));
        let differ = both.filter(|(a, b)| !same(a, b)).count();
        (lost + more + differ > 0).then(|| format!("-{lost} +{more} ~{differ} of {} series", theirs.len()))
    }
}

fn point(point: &Value) -> Option<(f64, f64)> {
    Some((point.get(0)?.as_f64()?, point.get(1)?.as_str()?.parse().ok()?))
}

fn same(a: &[(f64, f64)], b: &[(f64, f64)]) -> bool {
    let equal = |a: f64, b: f64| {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(points: &str) -> Answer {
        let body = format!(r#"{{"data":{{"result":[{{"metric":{{"a":"b"}},"values":[{points}]}}]}}}}"#);
        Answer::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn answers_are_equal_but_for_the_last_digits() {
        let base = answer(r#"[1,"0.1"],[2,"NaN"]"#);
        assert_eq!(base.difference(&answer(r#"[1,"0.10000000000000002"],[2,"NaN"]"#)), None);
        let wrong = Some("-0 +0 ~1 of 1 series".to_owned());
        assert_eq!(base.difference(&answer(r#"[1,"0.2"],[2,"NaN"]"#)), wrong);
        assert_eq!(base.difference(&answer(r#"[1,"0.1"]"#)), wrong);
        let none = Answer::Series(BTreeMap::new());
        assert_eq!(base.difference(&none), Some("-0 +1 ~0 of 0 series".to_owned()));
    }
}
