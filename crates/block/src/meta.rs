//! `meta.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{BlockError, Damage};

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

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Meta {
    /// Reads `meta.json` of a block's directory.
    ///
    /// Version 2 differs in nothing that is read: a release of Prometheus wrote it by mistake.
    ///
    /// # Errors
    /// When it is missing, does not parse, or has a version that is not known.
    pub fn read(dir: &Path) -> Result<Meta, BlockError> {
        let path = dir.join("meta.json");
        let bytes = std::fs::read(&path).map_err(|e| BlockError::io(&path, e))?;
        let meta: Meta = serde_json::from_slice(&bytes)
            .map_err(|source| BlockError::Meta { path: path.clone(), source })?;
        match meta.version {
            1 | 2 => Ok(meta),
            _ => Err(BlockError::damaged(&path, Damage { offset: 0, what: "the version is not known" })),
        }
    }

    /// As JSON, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the block may have samples in the range (both ends inclusive).
    #[must_use]
    pub fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        self.min_time <= max_time && min_time < self.max_time
    }
}
