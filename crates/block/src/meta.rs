//! `meta.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::replace_file;
use crate::{BlockError, Damage, Ulid};

/// Hint of a block all of whose samples came out of order.
pub const FROM_OUT_OF_ORDER: &str = "from-out-of-order";
/// Hint of a block made early, of series that went stale.
pub const FROM_STALE_SERIES: &str = "from-stale-series";
/// Hint of a block made early, of chosen series.
pub(crate) const FROM_SELECTED_SERIES: &str = "from-selected-series";

/// What a block says about itself. Field order is that of the file and of `/api/v1/status/tsdb/blocks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// Its name.
    pub ulid: String,
    /// Nothing in it is older, in milliseconds.
    pub min_time: i64,
    /// Everything in it is older, in milliseconds.
    pub max_time: i64,
    /// Sizes.
    #[serde(default)]
    pub stats: Stats,
    /// Where it comes from.
    #[serde(default)]
    pub compaction: Compaction,
    /// Of the format of `meta.json`.
    pub version: u32,
}

/// Numbers of things in a block. What is zero is not written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs)] // the names say it
pub struct Stats {
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// How a block came to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// How many times its data was compacted.
    pub level: u32,
    /// The blocks of level 1 that are in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Whether compacting it gave nothing, so that it may go.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deletable: bool,
    /// The blocks that it was made of directly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<Parent>,
    /// Whether compacting it has failed before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// Such as `from-out-of-order`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A block that another was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // as in Meta
pub struct Parent {
    pub ulid: String,
    pub min_time: i64,
    pub max_time: i64,
}

impl Parent {
    /// What a block names that comes from the head, of samples out of order or of series that were moved early: Prometheus
    /// writes it so.
    #[must_use]
    pub fn none() -> Parent {
        Parent { ulid: "0".repeat(26), min_time: 0, max_time: 0 }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.ulid.bytes().all(|b| b == b'0')
    }
}

impl From<&Meta> for Parent {
    fn from(meta: &Meta) -> Parent {
        Parent { ulid: meta.ulid.clone(), min_time: meta.min_time, max_time: meta.max_time }
    }
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Compaction {
    /// Whether it has a hint.
    #[must_use]
    pub fn has_hint(&self, hint: &str) -> bool {
        self.hints.iter().any(|h| h == hint)
    }

    /// Whether all samples of the block came out of order. Where the hint is gone the parent that is none tells, which
    /// blocks of series that were moved early have, too.
    #[must_use]
    pub fn is_out_of_order(&self) -> bool {
        let early = self.has_hint(FROM_STALE_SERIES) || self.has_hint(FROM_SELECTED_SERIES);
        self.has_hint(FROM_OUT_OF_ORDER) || !early && self.parents.iter().any(Parent::is_none)
    }

    fn add_hint(&mut self, hint: &str) {
        if !self.has_hint(hint) {
            self.hints.push(hint.to_owned());
            self.hints.sort();
        }
    }
}

impl Meta {
    /// Of a block that is new and not made of others: one that is cut from the head. Sizes are yet to be filled in.
    #[must_use]
    pub fn new(ulid: Ulid, min_time: i64, max_time: i64) -> Meta {
        let ulid = ulid.to_string();
        let compaction = Compaction { level: 1, sources: vec![ulid.clone()], ..Compaction::default() };
        Meta { ulid, min_time, max_time, stats: Stats::default(), compaction, version: 1 }
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Meta {
        self.compaction.add_hint(hint);
        self
    }

    /// Of a block that is made of these, which are in order of time.
    ///
    /// A block is out of order when all that it was made of were; it is of stale or selected series when any was.
    #[must_use]
    pub fn compacted(ulid: Ulid, parents: &[&Meta]) -> Meta {
        let times = |get: fn(&Meta) -> i64| parents.iter().map(move |m| get(m));
        let mut compaction = Compaction {
            level: parents.iter().map(|m| m.compaction.level).max().unwrap_or(0) + 1,
            sources: parents.iter().flat_map(|m| m.compaction.sources.iter().cloned()).collect(),
            parents: parents.iter().map(|m| Parent::from(*m)).collect(),
            ..Compaction::default()
        };
        compaction.sources.sort();
        compaction.sources.dedup();
        for hint in [FROM_STALE_SERIES, FROM_SELECTED_SERIES] {
            if parents.iter().any(|m| m.compaction.has_hint(hint)) {
                compaction.add_hint(hint);
            }
        }
        if parents.iter().all(|m| m.compaction.is_out_of_order()) {
            compaction.add_hint(FROM_OUT_OF_ORDER);
        }
        Meta {
            ulid: ulid.to_string(),
            min_time: times(|m| m.min_time).min().unwrap_or(0),
            max_time: times(|m| m.max_time).max().unwrap_or(0),
            stats: Stats::default(),
            compaction,
            version: 1,
        }
    }

    /// Of a block that replaces this one without what was deleted from it: it counts as new, of level 1.
    #[must_use]
    pub fn cleaned(&self, ulid: Ulid) -> Meta {
        let mut meta = Meta::new(ulid, self.min_time, self.max_time);
        meta.compaction.parents = vec![Parent::from(self)];
        for hint in [FROM_STALE_SERIES, FROM_SELECTED_SERIES] {
            if self.compaction.has_hint(hint) {
                meta.compaction.add_hint(hint);
            }
        }
        if self.compaction.is_out_of_order() {
            meta.compaction.add_hint(FROM_OUT_OF_ORDER);
        }
        meta
    }

    /// Reads `meta.json` of a block's directory.
    ///
    /// Version 2 differs in nothing that is read: a release of Prometheus wrote it by mistake.
    ///
    /// # Errors
    /// When it is missing, does not parse, or has a version that is not known.
    pub fn read(dir: &Path) -> Result<Meta, BlockError> {
        let path = dir.join("meta.json");
        let bytes = std::fs::read(&path).map_err(|e| BlockError::io(&path, e))?;
        Self::parse(&bytes, &path)
    }

    /// Reads the content of a `meta.json`; `path` is for errors.
    ///
    /// # Errors
    /// When it does not parse, or has a version that is not known.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Meta, BlockError> {
        let meta: Meta = serde_json::from_slice(bytes)
            .map_err(|source| BlockError::Meta { path: path.to_owned(), source })?;
        match meta.version {
            1 | 2 => Ok(meta),
            _ => Err(BlockError::damaged(path, Damage { offset: 0, what: "the version is not known" })),
        }
    }

    /// Writes `meta.json` of a block's directory, so that at any moment the old or the new one is there. Returns its
    /// length.
    ///
    /// # Errors
    /// When it cannot be written; the old one is still there.
    pub fn write(&self, dir: &Path) -> Result<u64, BlockError> {
        let path = dir.join("meta.json");
        let mut bytes = Vec::new();
        let layout = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut out = serde_json::Serializer::with_formatter(&mut bytes, layout);
        self.serialize(&mut out).map_err(|source| BlockError::Meta { path: path.clone(), source })?;
        replace_file(&path, &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// As JSON, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_no_parent(hint: Option<&str>) -> Meta {
        let mut meta = Meta::new(Ulid::new(1, 1), 0, 10);
        meta.compaction.parents = vec![Parent::none()];
        hint.map_or(meta.clone(), |hint| meta.with_hint(hint))
    }

    #[test]
    fn a_block_without_hints_whose_parent_is_none_came_out_of_order_one_of_stale_series_did_not() {
        let cases = [
            (None, true),
            (Some(FROM_OUT_OF_ORDER), true),
            (Some(FROM_STALE_SERIES), false),
            (Some(FROM_SELECTED_SERIES), false),
        ];
        for (hint, expected) in cases {
            assert_eq!(with_no_parent(hint).compaction.is_out_of_order(), expected, "{hint:?}");
        }
    }

    #[test]
    fn cleaning_a_block_out_of_order_leaves_it_one_though_its_parent_is_another_then() {
        let cleaned = with_no_parent(None).cleaned(Ulid::new(2, 2));
        assert!(cleaned.compaction.is_out_of_order());
        assert!(
            !with_no_parent(Some(FROM_STALE_SERIES)).cleaned(Ulid::new(2, 2)).compaction.is_out_of_order()
        );
    }
}
