//! Reading series out of the head.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::{QueryContext, Request, Select, SelectError, SeriesPart, labels_size};

use super::Head;
use super::matching::matching;
use super::part::{Latest, Part, Span, Wanted};
use crate::closed;
use crate::postings::{self, RunSet};
use crate::shard::ShardData;

/// Series of a part: enough to make threads worth while, few enough to share a shard's series among them.
const PART: usize = 4096;
/// Labels are accounted in steps of this many bytes.
const HELD_AT_ONCE: u64 = 1 << 20;

impl Select for Head {
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        self.overlaps(min_time, max_time)
    }

    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        let span = Span { min_time: request.min_time, max_time: request.max_time, newest: request.newest };
        let mut parts: Vec<Box<dyn SeriesPart + '_>> = Vec::new();
        let reader = self.epochs.enter();
        let _spanning = self.spanning.read();
        for shard in &self.shards {
            let data = shard.data.read();
            let ids = matching(ctx, &data, request.matchers)?;
            if ids.is_empty() {
                continue;
            }
            let wanted = Wanted::new(&data, request.labels);
            let mut left = postings::count(&ids);
            let mut slots = slots(&data, &ids);
            while left > 0 {
                ctx.check()?;
                let n = left.min(PART);
                let mut part = Part::new(shard, Arc::clone(&reader), wanted.clone(), n);
                for slot in slots.by_ref().take(n) {
                    part.add(&data, &self.chunk_files, slot, span);
                }
                left -= n;
                if !part.is_empty() {
                    ctx.hold_bytes(part.held() as u64)?;
                    parts.push(Box::new(part));
                }
            }
        }
        Ok(parts)
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let data = shard.data.read();
            let ids = matching(ctx, &data, request.matchers)?;
            let wanted = Wanted::new(&data, request.labels);
            let (mut held, mut latest) = (0, Latest::default());
            for slot in slots(&data, &ids) {
                if has_data(&data, slot, request.min_time, request.max_time) {
                    let labels = wanted.labels(&data, slot, &mut latest);
                    held += labels_size(&labels);
                    all.push(labels);
                }
                if held >= HELD_AT_ONCE {
                    ctx.check()?;
                    ctx.hold_bytes(std::mem::take(&mut held))?;
                }
            }
            ctx.hold_bytes(held)?;
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn label_names(
        &self,
        ctx: &QueryContext,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        if !self.overlaps(min_time, max_time) {
            return Ok(Vec::new());
        }
        let mut names = BTreeSet::new();
        for shard in &self.shards {
            let data = shard.data.read();
            if matchers.is_empty() {
                names.extend(data.symbols.names().map(|(_, name)| name.to_owned()));
                continue;
            }
            let ids = matching(ctx, &data, matchers)?;
            let mut seen = BTreeSet::new();
            for slot in slots(&data, &ids) {
                seen.extend(data.pairs(slot).map(|pair| data.symbols.name_of(pair)));
            }
            names.extend(seen.into_iter().map(|name| data.symbols.name_text(name).to_owned()));
        }
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        ctx: &QueryContext,
        name: &str,
        min_time: i64,
        max_time: i64,
        matchers: &[Matcher],
    ) -> Result<Vec<String>, SelectError> {
        if !self.overlaps(min_time, max_time) {
            return Ok(Vec::new());
        }
        let mut values: Vec<String> = Vec::new();
        for shard in &self.shards {
            let data = shard.data.read();
            let Some(name) = data.symbols.name_id(name) else { continue };
            let pairs = data.symbols.pairs_of(name);
            let text = |pair: u32| data.symbols.value_text(pair).to_owned();
            if matchers.is_empty() {
                let live = pairs.iter().filter(|&&pair| data.symbols.postings(pair).len() > 0);
                values.extend(live.map(|&pair| text(pair)));
                continue;
            }
            let ids = matching(ctx, &data, matchers)?;
            if postings::count(&ids) > pairs.len() * 8 {
                let hit = |pair: &&u32| !postings::intersect(&ids, data.symbols.postings(**pair)).is_empty();
                values.extend(pairs.iter().filter(hit).map(|&pair| text(pair)));
                continue;
            }
            let of_series = |slot| data.pairs(slot).find(|&pair| data.symbols.name_of(pair) == name);
            let found: BTreeSet<u32> = slots(&data, &ids).filter_map(of_series).collect();
            values.extend(found.into_iter().map(text));
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

impl Head {
    fn overlaps(&self, min_time: i64, max_time: i64) -> bool {
        let overlaps = |range: Option<(i64, i64)>| {
            range.is_some_and(|(oldest, newest)| min_time <= newest && max_time >= oldest)
        };
        overlaps(self.time_range()) || overlaps(self.ooo.time_range())
    }

    /// Labels of all series whose handles a caller wants to see again, for tests and tools.
    #[must_use]
    pub fn labels_of(&self, series: storage::SeriesRef) -> Option<Labels> {
        let data = self.shards[self.refs.shard_of(series.0)].data.read();
        let slot = data.slot_of(self.refs.id_of(series.0)?)?;
        Some(data.labels(slot))
    }
}

/// The slots of series, in order of id.
pub(super) fn slots<'a>(data: &'a ShardData, ids: &'a RunSet) -> impl Iterator<Item = u32> + 'a {
    let mut finder = data.finder();
    ids.iter().flat_map(|&(start, end)| start..=end).filter_map(move |id| finder.slot(id))
}

pub(super) fn has_data(data: &ShardData, slot: u32, min_time: i64, max_time: i64) -> bool {
    let series = data.series(slot);
    if data.ooo.get(slot).is_some_and(|late| late.overlaps(min_time, max_time)) {
        return true;
    }
    if data.last_time(slot).is_none_or(|last| last < min_time) {
        return false;
    }
    if data.open_chunk(slot).is_some_and(|open| open.min_time <= max_time) {
        return true;
    }
    closed::newest_first(&data.slab, series.closed)
        .take_while(|c| c.max_time() >= min_time)
        .any(|c| c.min_time <= max_time)
}
