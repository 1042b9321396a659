//! Exemplars of points.

use model::Labels;

use crate::value::{key_of, value_of};
use crate::wire::Fields;

/// More characters than that the labels of an exemplar may not have (OpenMetrics): then the attributes are left out.
const MAX_CHARS: usize = 128;

/// An exemplar as it is stored.
#[derive(Debug)]
pub(crate) struct Exemplar {
    pub(crate) labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub(crate) t: i64,
    pub(crate) v: f64,
}

/// Reads an exemplar.
///
/// # Errors
/// When it has no value.
pub(crate) fn read(data: &[u8]) -> Result<Exemplar, String> {
    let (mut nanos, mut value) = (0u64, None);
    let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields::of(data) {
        match field.number {
            2 => nanos = field.value,
            3 => value = Some(field.double()),
            4 => span = field.bytes,
            5 => trace = field.bytes,
            6 => value = Some(field.value as i64 as f64),
            _ => {}
        }
    }
    let Some(v) = value else { return Err("unsupported exemplar value type: Empty".to_owned()) };
    let mut pairs = Vec::new();
    for (name, id) in [("trace_id", trace), ("span_id", span)] {
        if id.iter().any(|byte| *byte != 0) {
            pairs.push((name.to_owned(), hex(id)));
        }
    }
    let own = pairs.len();
    pairs.extend(Fields::all(data, 7).map(|attribute| (key_of(attribute).into_owned(), value_of(attribute))));
    let chars: usize = pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum();
    if chars > MAX_CHARS {
        pairs.truncate(own);
    }
    Ok(Exemplar { labels: Labels::from_pairs(pairs), t: (nanos as i64).div_euclid(1_000_000), v })
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
