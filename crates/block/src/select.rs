//! Reading series out of blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::merge::{Wanted, series_per_part};
use storage::{Newest, QueryContext, Request, Select, SelectError, SeriesPart, labels_size};

use crate::index::SeriesEntry;
use crate::matching::matching;
use crate::part::{Group, Member, Part, Span, chunks_in};
use crate::{Block, Blocks};

/// Series between looks at the clock.
const CHECK_EVERY: usize = 1024;

impl Blocks {
    fn overlapping(&self, min_time: i64, max_time: i64) -> Arc<[Arc<Block>]> {
        let current = self.current();
        current.iter().filter(|block| block.overlaps(min_time, max_time)).cloned().collect()
    }
}

impl Select for Blocks {
    fn may_hold(&self, min_time: i64, max_time: i64) -> bool {
        self.current().iter().any(|block| block.overlaps(min_time, max_time))
    }

    /// Series come in order of their labels, blocks merged.
    fn select(
        &self,
        ctx: &QueryContext,
        request: &Request<'_>,
    ) -> Result<Vec<Box<dyn SeriesPart + '_>>, SelectError> {
        ctx.check()?;
        let blocks = self.overlapping(request.min_time, request.max_time);
        let (groups, members) = match &blocks[..] {
            [] => return Ok(Vec::new()),
            [block] => single(ctx, block, request)?,
            _ => merged(ctx, &blocks, request)?,
        };
        let wanted = Wanted::new(request.labels);
        let span = Span {
            min_time: request.min_time,
            max_time: request.max_time,
            last_only: request.newest == Some(Newest::Last),
        };
        let mut parts: Vec<Box<dyn SeriesPart + '_>> = Vec::new();
        let size = series_per_part(groups.len());
        let (mut groups, mut members) = (groups.into_iter(), members.into_iter());
        loop {
            let own: Vec<Group> = groups.by_ref().take(size).collect();
            if own.is_empty() {
                return Ok(parts);
            }
            let count = own.iter().map(|group| group.members as usize).sum();
            let own_members = members.by_ref().take(count).collect();
            let warnings = ctx.warnings().clone();
            let part =
                Part::new(Arc::clone(&blocks), wanted.clone(), span.clone(), own, own_members, warnings);
            parts.push(Box::new(part));
        }
    }

    fn series(&self, ctx: &QueryContext, request: &Request<'_>) -> Result<Vec<Labels>, SelectError> {
        let wanted = Wanted::new(request.labels);
        let span = Span { min_time: request.min_time, max_time: request.max_time, last_only: false };
        let mut all = Vec::new();
        for block in self.overlapping(request.min_time, request.max_time).iter() {
            let mut refused = Ok(());
            each_series(ctx, block, request.matchers, |number, entry| {
                let deleted = block.tombstones().of(u64::from(number));
                if refused.is_ok() && chunks_in(entry, &span, deleted).next().is_some() {
                    let labels = entry.filtered(|name| wanted.keeps(name));
                    refused = ctx.hold_bytes(labels_size(&labels));
                    all.push(labels);
                }
            })?;
            refused?;
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
        let mut names = BTreeSet::new();
        for block in self.overlapping(min_time, max_time).iter() {
            if matchers.is_empty() {
                names.extend(block.index().label_names().map(str::to_owned));
                continue;
            }
            let mut seen = BTreeSet::new();
            each_series(ctx, block, matchers, |_, entry| seen.extend(entry.labels.iter().map(|l| l.0)))?;
            names.extend(seen.into_iter().map(str::to_owned));
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
        let mut values = BTreeSet::new();
        for block in self.overlapping(min_time, max_time).iter() {
            ctx.check()?;
            if matchers.is_empty() {
                let outcome = block.index().values(name, "", |entry| {
                    if !values.contains(entry.value) {
                        values.insert(entry.value.to_owned());
                    }
                    true
                });
                if let Err(damage) = outcome {
                    block.note_damage("index", damage);
                }
                continue;
            }
            let mut seen = BTreeSet::new();
            each_series(ctx, block, matchers, |_, entry| {
                seen.extend(entry.labels.iter().filter(|l| l.0 == name).map(|l| l.1));
            })?;
            values.extend(seen.into_iter().map(str::to_owned));
        }
        Ok(values.into_iter().collect())
    }
}

fn each_series<'a>(
    ctx: &QueryContext,
    block: &'a Block,
    matchers: &[Matcher],
    mut each: impl FnMut(u32, &SeriesEntry<'a>),
) -> Result<(), SelectError> {
    let mut entry = SeriesEntry::default();
    for (i, number) in matching(ctx, block, matchers)?.into_iter().enumerate() {
        if i.is_multiple_of(CHECK_EVERY) {
            ctx.check()?;
        }
        if block.read_series(number, &mut entry) {
            each(number, &entry);
        }
    }
    Ok(())
}

/// The series of one block: their labels are read when their turn comes, by the thread that reads the part.
fn single(
    ctx: &QueryContext,
    block: &Block,
    request: &Request<'_>,
) -> Result<(Vec<Group>, Vec<Member>), SelectError> {
    let numbers = matching(ctx, block, request.matchers)?;
    let members: Vec<Member> = numbers.into_iter().map(|number| Member { block: 0, number }).collect();
    let groups = members.iter().map(|_| Group { labels: None, members: 1 }).collect();
    Ok((groups, members))
}

/// The series of several blocks, equal ones joined: compared by all of their labels, whatever the request projects.
fn merged(
    ctx: &QueryContext,
    blocks: &[Arc<Block>],
    request: &Request<'_>,
) -> Result<(Vec<Group>, Vec<Member>), SelectError> {
    let mut all: Vec<(Labels, Member)> = Vec::new();
    for (block, at) in blocks.iter().zip(0..) {
        each_series(ctx, block, request.matchers, |number, entry| {
            all.push((entry.label_set(), Member { block: at, number }));
        })?;
    }
    // Each block is in order already: a stable sort merges its runs.
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let mut groups: Vec<Group> = Vec::new();
    let mut members = Vec::with_capacity(all.len());
    for (labels, member) in all {
        members.push(member);
        match groups.last_mut().filter(|last| last.labels.as_ref() == Some(&labels)) {
            Some(last) => last.members += 1,
            None => groups.push(Group { labels: Some(labels), members: 1 }),
        }
    }
    Ok((groups, members))
}
