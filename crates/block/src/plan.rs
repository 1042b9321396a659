//! Which blocks are to be made into one.

use crate::Meta;
use crate::meta::{FROM_SELECTED_SERIES, FROM_STALE_SERIES};

/// Levels that blocks grow through at most.
const LEVELS: usize = 10;
/// Each level covers as much as so many blocks of the one before.
const STEP: i64 = 3;
/// A block is made anew when more than this share of its series has deletions.
const TOMBSTONE_SHARE: f64 = 0.05;

/// Ranges of time that blocks grow through, in milliseconds: the shortest, then three times as long each, as far as
/// the longest allows.
#[must_use]
pub fn block_ranges(shortest: i64, longest: i64) -> Vec<i64> {
    let longest = longest.max(shortest);
    let ranges = std::iter::successors(Some(shortest.max(1)), |range| range.checked_mul(STEP));
    ranges.take(LEVELS).take_while(|&range| range <= longest).collect()
}

/// The blocks (by their places in `metas`) that are to be made into one next; none when all is as it should be. One
/// block alone is to be made anew without what was deleted from it.
///
/// First come blocks that overlap, unless `merge_overlapping` is off. Then, the newest being left alone so that it can be copied away first: the blocks
/// that together fill a range, or lie in one that is past; last, blocks much of which was deleted. Ranges with a block
/// that could not be compacted before are left as they are. Blocks of stale or selected series are only ever put
/// together with their like, after the others.
#[must_use]
pub fn plan(metas: &[&Meta], ranges: &[i64], merge_overlapping: bool) -> Vec<usize> {
    let class = |meta: &Meta| {
        let of = |hint| meta.compaction.has_hint(hint);
        if of(FROM_STALE_SERIES) {
            1
        } else if of(FROM_SELECTED_SERIES) {
            2
        } else {
            0
        }
    };
    for wanted in 0..3 {
        let blocks = metas.iter().enumerate().filter(|(_, meta)| class(meta) == wanted);
        let mut blocks: Vec<Placed<'_>> = blocks.map(|(at, meta)| (at, *meta)).collect();
        blocks.sort_by_key(|(_, meta)| meta.min_time);
        let planned = plan_class(&blocks, ranges, merge_overlapping);
        if !planned.is_empty() {
            return planned.iter().map(|(at, _)| *at).collect();
        }
    }
    Vec::new()
}

type Placed<'a> = (usize, &'a Meta);

fn plan_class<'b, 'a>(blocks: &'b [Placed<'a>], ranges: &[i64], merge_overlapping: bool) -> &'b [Placed<'a>] {
    let overlapping = if merge_overlapping { overlapping(blocks) } else { &[] };
    if !overlapping.is_empty() {
        return overlapping;
    }
    let Some((_, older)) = blocks.split_last() else { return &[] };
    let filling = filling_a_range(older, ranges);
    if !filling.is_empty() {
        return filling;
    }
    much_deleted(older, ranges)
}

/// The first run of blocks of which each begins before an earlier one ends. Runs with a block that could not be
/// compacted before are passed over: Prometheus tries them again and again, and gets to nothing else.
fn overlapping<'b, 'a>(blocks: &'b [Placed<'a>]) -> &'b [Placed<'a>] {
    let mut rest = blocks;
    while let Some((_, first)) = rest.first() {
        let mut end = first.max_time;
        let overlaps = rest.iter().skip(1).take_while(|(_, meta)| {
            let overlaps = meta.min_time < end;
            end = end.max(meta.max_time);
            overlaps
        });
        let count = 1 + overlaps.count();
        let (run, after) = rest.split_at(count);
        if run.len() > 1 && !run.iter().any(|(_, meta)| meta.compaction.failed) {
            return run;
        }
        rest = after;
    }
    &[]
}

fn filling_a_range<'b, 'a>(blocks: &'b [Placed<'a>], ranges: &[i64]) -> &'b [Placed<'a>] {
    let Some((_, newest)) = blocks.last() else { return &[] };
    for &range in ranges.iter().skip(1) {
        for group in by_range(blocks, range) {
            let (Some((_, first)), Some((_, last))) = (group.first(), group.last()) else { continue };
            let failed = group.iter().any(|(_, meta)| meta.compaction.failed);
            let filled = last.max_time - first.min_time == range;
            let past = last.max_time <= newest.min_time;
            if !failed && group.len() > 1 && (filled || past) {
                return group;
            }
        }
    }
    &[]
}

/// Blocks by ranges of this length, which begin at its multiples. Blocks that lie in none are left out.
fn by_range<'b, 'a>(blocks: &'b [Placed<'a>], range: i64) -> impl Iterator<Item = &'b [Placed<'a>]> {
    let mut rest = blocks;
    std::iter::from_fn(move || {
        loop {
            let (_, first) = rest.first()?;
            let end = first.min_time.div_euclid(range).saturating_add(1).saturating_mul(range);
            let count = rest.iter().take_while(|(_, meta)| meta.max_time <= end).count();
            let (group, after) = rest.split_at(count.max(1));
            rest = after;
            if count > 0 {
                return Some(group);
            }
        }
    })
}

/// A large block much of which was deleted, or one of any size from which every series was; the newest first.
fn much_deleted<'b, 'a>(blocks: &'b [Placed<'a>], ranges: &[i64]) -> &'b [Placed<'a>] {
    let large = ranges.get(ranges.len() / 2).copied().unwrap_or(i64::MAX);
    for (i, (_, meta)) in blocks.iter().enumerate().rev() {
        let (stones, series) = (meta.stats.num_tombstones, meta.stats.num_series);
        let this = blocks.get(i..=i).unwrap_or_default();
        if meta.max_time.saturating_sub(meta.min_time) < large {
            return if stones > 0 && stones >= series { this } else { &[] };
        }
        if stones as f64 / (series + 1) as f64 > TOMBSTONE_SHARE {
            return this;
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ulid;

    fn block(min_time: i64, max_time: i64) -> Meta {
        Meta::new(Ulid::new(0, 0), min_time, max_time)
    }

    fn deleted(min_time: i64, max_time: i64, tombstones: u64, series: u64) -> Meta {
        let mut meta = block(min_time, max_time);
        meta.stats.num_tombstones = tombstones;
        meta.stats.num_series = series;
        meta
    }

    fn failed(min_time: i64, max_time: i64) -> Meta {
        let mut meta = block(min_time, max_time);
        meta.compaction.failed = true;
        meta
    }

    const RANGES: [i64; 4] = [20, 60, 180, 540];

    #[test]
    fn ranges_grow_threefold_to_the_longest() {
        assert_eq!(block_ranges(20, 540), RANGES);
        assert_eq!(block_ranges(20, 539), [20, 60, 180]);
        assert_eq!(block_ranges(20, 1), [20]);
        assert_eq!(block_ranges(7_200_000, i64::MAX).len(), LEVELS);
    }

    #[test]
    fn blocks_are_planned() {
        let stale = |min, max| block(min, max).with_hint(FROM_STALE_SERIES);
        let selected = |min, max| block(min, max).with_hint(FROM_SELECTED_SERIES);
        let cases: Vec<(&str, Vec<Meta>, Vec<usize>)> = vec![
            ("nothing", vec![], vec![]),
            ("one", vec![block(0, 20)], vec![]),
            ("two of a range that is not past", vec![block(0, 20), block(20, 40)], vec![]),
            ("the newest is left alone", vec![block(0, 20), block(20, 40), block(40, 60)], vec![]),
            (
                "a full range and one after it",
                vec![block(0, 20), block(20, 40), block(40, 60), block(60, 80)],
                vec![0, 1, 2],
            ),
            ("in any order", vec![block(60, 80), block(20, 40), block(0, 20), block(40, 60)], vec![2, 1, 3]),
            (
                "a range that is filled, with a gap in it",
                vec![block(0, 20), block(40, 60), block(60, 80)],
                vec![0, 1],
            ),
            (
                "a range that is past though not full",
                vec![block(0, 20), block(20, 40), block(60, 80), block(80, 100)],
                vec![0, 1],
            ),
            (
                "the smaller range first",
                vec![
                    block(0, 60),
                    block(60, 120),
                    block(120, 180),
                    block(180, 200),
                    block(200, 220),
                    block(220, 240),
                    block(240, 260),
                ],
                vec![3, 4, 5],
            ),
            (
                "then the larger",
                vec![block(0, 60), block(60, 120), block(120, 180), block(180, 240), block(240, 260)],
                vec![0, 1, 2],
            ),
            (
                "before zero",
                vec![block(-60, -40), block(-40, -20), block(-20, 0), block(0, 20)],
                vec![0, 1, 2],
            ),
            (
                "a block that is longer than the range is no part of it",
                vec![block(0, 60), block(60, 80), block(80, 100), block(100, 120), block(120, 140)],
                vec![1, 2, 3],
            ),
            (
                "a block across the ranges' borders is no part of any",
                vec![
                    block(10, 30),
                    block(30, 50),
                    block(50, 70),
                    block(70, 90),
                    block(90, 110),
                    block(110, 120),
                    block(120, 140),
                ],
                vec![0, 1],
            ),
            (
                "not where it failed before",
                vec![
                    failed(0, 20),
                    block(20, 40),
                    block(40, 60),
                    block(60, 80),
                    block(80, 100),
                    block(100, 120),
                    block(120, 140),
                ],
                vec![3, 4, 5],
            ),
            ("overlapping blocks", vec![block(0, 20), block(19, 40), block(40, 60)], vec![0, 1]),
            ("the newest too when it overlaps", vec![block(0, 20), block(20, 40), block(39, 60)], vec![1, 2]),
            (
                "overlapping ones first, and one run of them",
                vec![
                    block(0, 20),
                    block(20, 40),
                    block(40, 60),
                    block(60, 90),
                    block(70, 80),
                    block(85, 110),
                    block(110, 130),
                    block(120, 140),
                ],
                vec![3, 4, 5],
            ),
            (
                "overlapping ones that failed before do not keep others from their turn",
                vec![failed(0, 20), block(10, 30), block(30, 50), block(40, 60)],
                vec![2, 3],
            ),
            ("a block within another", vec![block(0, 60), block(10, 20), block(30, 50)], vec![0, 1, 2]),
            ("much was deleted from a large block", vec![deleted(0, 540, 10, 100), block(540, 560)], vec![0]),
            ("not enough was deleted", vec![deleted(0, 540, 5, 100), block(540, 560)], vec![]),
            ("the block is too small", vec![deleted(0, 60, 10, 100), block(540, 560)], vec![]),
            ("all was deleted from a small block", vec![deleted(0, 20, 5, 5), block(20, 40)], vec![0]),
            (
                "the newest is left alone whatever was deleted",
                vec![block(0, 20), deleted(20, 40, 5, 5)],
                vec![],
            ),
            (
                "a small block hides larger ones before it",
                vec![deleted(0, 540, 100, 100), block(540, 560), block(560, 580)],
                vec![],
            ),
            ("stale ones overlap others for good", vec![block(0, 20), stale(0, 20), block(20, 40)], vec![]),
            (
                "stale ones among themselves, after the others",
                vec![
                    stale(0, 20),
                    stale(10, 30),
                    block(0, 20),
                    block(19, 40),
                    selected(0, 20),
                    selected(0, 20),
                ],
                vec![2, 3],
            ),
            (
                "stale ones before selected ones",
                vec![selected(0, 20), selected(0, 20), stale(0, 20), stale(10, 30), block(0, 20)],
                vec![2, 3],
            ),
        ];
        for (name, metas, want) in cases {
            let metas: Vec<&Meta> = metas.iter().collect();
            assert_eq!(plan(&metas, &RANGES, true), want, "{name}");
        }
        let overlapping = [&block(0, 20), &block(0, 20), &block(20, 40)];
        assert_eq!(plan(&overlapping, &RANGES, false), Vec::<usize>::new(), "overlaps are to be left");
        assert_eq!(plan(&[&block(0, 20), &block(20, 40), &block(60, 80)], &[20], true), Vec::<usize>::new());
        assert_eq!(plan(&[&block(0, 20)], &[], true), Vec::<usize>::new());
    }
}
