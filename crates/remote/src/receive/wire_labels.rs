//! Labels as they come in: bytes that nobody has checked.

use std::fmt::Write as _;

use model::{Labels, METRIC_NAME, SortedLabels, is_legacy_label_name, number};

pub(super) use crate::sample::Pair;

/// Why labels are not those of a series.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadLabels {
    /// No metric name, or text that is none.
    Invalid,
    /// The name that is there twice.
    Duplicate(String),
}

/// The labels of a series; sorts `pairs`.
pub(super) fn labels_of(pairs: &mut [Pair<'_>], builder: &mut SortedLabels) -> Result<Labels, BadLabels> {
    // Stable: which of two equal names is named makes no difference, but senders have them sorted nearly always.
    pairs.sort_by_key(|(name, _)| *name);
    let mut named = false;
    let valid = |(name, value): &Pair<'_>| {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return false;
        };
        let is_name = name == METRIC_NAME;
        named |= is_name;
        !(name.is_empty() || is_name && value.is_empty())
    };
    if !pairs.iter().all(valid) || !named {
        return Err(BadLabels::Invalid);
    }
    if let Some(twice) = pairs.windows(2).find(|two| two[0].0 == two[1].0) {
        return Err(BadLabels::Duplicate(String::from_utf8_lossy(twice[0].0).into_owned()));
    }
    for (name, value) in pairs.iter() {
        builder.push(std::str::from_utf8(name).unwrap_or(""), std::str::from_utf8(value).unwrap_or(""));
    }
    Ok(builder.take())
}

/// The labels of an exemplar, which may be any.
pub(super) fn exemplar_labels(pairs: &[Pair<'_>]) -> Labels {
    Labels::from_pairs(
        pairs.iter().map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value))),
    )
}

/// As Prometheus shows labels, those without a value included.
pub(super) fn shown(pairs: &[Pair<'_>]) -> String {
    let mut out = String::from("{");
    for (i, (name, value)) in pairs.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        match std::str::from_utf8(name) {
            Ok(name) if is_legacy_label_name(name) => out.push_str(name),
            _ => quote(&mut out, name),
        }
        out.push('=');
        quote(&mut out, value);
    }
    out.push('}');
    out
}

/// As Go quotes; bytes that are no UTF-8 by number.
fn quote(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for piece in bytes.utf8_chunks() {
        let quoted = number::quote(piece.valid());
        out.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
        for byte in piece.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
}
