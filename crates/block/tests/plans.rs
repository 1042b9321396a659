//! What Prometheus' compactor plans for random directories, planned again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use block::{Meta, plan};
use serde_json::Value as Json;

#[test]
fn the_same_blocks_are_planned_as_by_prometheus() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/plans.jsonl.gz"));
    let (mut rows, mut planned) = (0, 0);
    for row in testkit::gunzip(path).unwrap().lines() {
        let row: Json = serde_json::from_str(row).unwrap();
        let metas: Vec<Meta> = serde_json::from_value(row["metas"].clone()).unwrap();
        let ranges: Vec<i64> = serde_json::from_value(row["ranges"].clone()).unwrap();
        let want: Vec<usize> = serde_json::from_value(row["plan"].clone()).unwrap();
        let metas: Vec<&Meta> = metas.iter().collect();
        assert_eq!(plan(&metas, &ranges, true), want, "{row}");
        rows += 1;
        planned += usize::from(!want.is_empty());
    }
    assert!(rows > 100 && planned > 50, "{planned} of {rows}");
}
