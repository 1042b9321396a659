//! From matchers to the series of a block that match.

use std::collections::HashMap;

use model::{MatchOp, Matcher};
use storage::{QueryContext, SelectError};

use crate::index::{Postings, SeriesEntry};
use crate::{Block, Damage};

/// The series that have one value of a label.
enum List<'a> {
    Stored(Postings<'a>),
    /// Found by looking at all series, because the stored list is damaged.
    Found(Vec<u32>),
}

impl List<'_> {
    fn len(&self) -> usize {
        match self {
            List::Stored(list) => list.len(),
            List::Found(list) => list.len(),
        }
    }

    fn push_to(&self, all: &mut Vec<u32>) {
        match self {
            List::Stored(list) => all.extend(list.iter()),
            List::Found(list) => all.extend(list),
        }
    }

    /// Leaves in `set` what is in the list.
    fn intersect(&self, set: &mut Vec<u32>) {
        match self {
            List::Stored(list) => {
                let mut at = 0;
                set.retain(|&number| {
                    at = list.count_below(at, number);
                    list.get(at) == Some(number)
                });
            }
            List::Found(list) => set.retain(|number| list.binary_search(number).is_ok()),
        }
    }
}

/// What a matcher asks of the lists.
struct Plan<'a, 'm> {
    matcher: &'m Matcher,
    /// The lists are those of values that do not match; series without the label match.
    negative: bool,
    /// `None` when all values must be looked at.
    lists: Option<Vec<List<'a>>>,
}

impl Plan<'_, '_> {
    fn size(&self) -> usize {
        self.lists.as_ref().map_or(usize::MAX, |lists| lists.iter().map(List::len).sum())
    }

    /// Whether a value is among those whose lists are taken.
    fn listed(&self, value: &str) -> bool {
        self.matcher.matches(value) != self.negative
    }
}

/// Numbers of the series that match all matchers, ascending. A label that is missing counts as empty.
pub(crate) fn matching(
    ctx: &QueryContext,
    block: &Block,
    matchers: &[Matcher],
) -> Result<Vec<u32>, SelectError> {
    let mut plans = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        ctx.check()?;
        let plan = plan(block, matcher);
        if !plan.negative && plan.size() == 0 {
            return Ok(Vec::new());
        }
        plans.push(plan);
    }
    // What narrows most comes first; then what is taken away; what must be searched comes last, when it may be
    // quicker to look at the series that are left.
    plans.sort_by_key(|plan| (plan.lists.is_none(), plan.negative, plan.size()));
    let mut set: Option<Vec<u32>> = None;
    for mut plan in plans {
        ctx.check()?;
        if set.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let lists = match plan.lists.take() {
            Some(lists) => lists,
            None => match set.as_mut() {
                Some(set) if set.len().saturating_mul(4) < block.index().value_count(&plan.matcher.name) => {
                    filter_series(block, set, &plan);
                    continue;
                }
                _ => search(ctx, block, &plan)?,
            },
        };
        set = Some(match (set, plan.negative) {
            (None, false) => union(&lists),
            (None, true) => subtract(all_series(block), &union(&lists)),
            (Some(mut set), false) => {
                if let [list] = &lists[..] {
                    list.intersect(&mut set);
                } else {
                    let wanted = List::Found(union(&lists));
                    wanted.intersect(&mut set);
                }
                set
            }
            (Some(set), true) => subtract(set, &union(&lists)),
        });
    }
    Ok(set.unwrap_or_else(|| all_series(block)))
}

fn plan<'a, 'm>(block: &'a Block, matcher: &'m Matcher) -> Plan<'a, 'm> {
    let negative = matcher.matches_empty();
    let one = |value: &str| list_of(block, &matcher.name, value).into_iter().collect::<Vec<_>>();
    let several =
        |values: &[String]| values.iter().filter_map(|v| list_of(block, &matcher.name, v)).collect();
    let lists = match (matcher.op, matcher.regex()) {
        (MatchOp::Equal, _) if !negative => Some(one(&matcher.value)),
        (MatchOp::NotEqual, _) if negative => Some(one(&matcher.value)),
        (MatchOp::Regex, Some(regex)) if !negative => regex.literals().map(several),
        (MatchOp::NotRegex, Some(regex)) if negative => regex.literals().map(several),
        _ => None,
    };
    let lists = match lists {
        None if block.index().value_count(&matcher.name) == 0 => Some(Vec::new()),
        lists => lists,
    };
    Plan { matcher, negative, lists }
}

/// The list of a pair; `None` when no series has it.
fn list_of<'a>(block: &'a Block, name: &str, value: &str) -> Option<List<'a>> {
    match block.index().find(name, value) {
        Ok(place) => place.map(|place| list_at(block, place, name, value)),
        Err(damage) => Some(found_by_scan(block, name, value, damage)),
    }
}

fn list_at<'a>(block: &'a Block, place: u64, name: &str, value: &str) -> List<'a> {
    match block.index().postings_at(place) {
        Ok(list) => List::Stored(list),
        Err(damage) => found_by_scan(block, name, value, damage),
    }
}

fn found_by_scan<'a>(block: &'a Block, name: &str, value: &str, damage: Damage) -> List<'a> {
    block.note_damage("index", damage);
    let mut found = block.index().scan_series();
    if !name.is_empty() {
        let mut entry = SeriesEntry::default();
        found.retain(|&number| block.read_series(number, &mut entry) && entry.value(name) == value);
    }
    List::Found(found)
}

/// All series of a block.
pub(crate) fn all_series(block: &Block) -> Vec<u32> {
    list_of(block, "", "").map_or_else(|| block.index().scan_series(), |list| union(&[list]))
}

/// The lists of all values that the plan wants. Only values that begin as the expression does are looked at where
/// others cannot be among them.
fn search<'a>(
    ctx: &QueryContext,
    block: &'a Block,
    plan: &Plan<'a, '_>,
) -> Result<Vec<List<'a>>, SelectError> {
    let name = &*plan.matcher.name;
    let positive_regex = plan.matcher.op == MatchOp::Regex && !plan.negative
        || plan.matcher.op == MatchOp::NotRegex && plan.negative;
    let prefix = plan.matcher.regex().filter(|_| positive_regex).map_or("", |regex| regex.prefix());
    let mut lists = Vec::new();
    let mut interrupted = Ok(());
    let mut seen = 0usize;
    let outcome = block.index().values(name, prefix, |entry| {
        seen += 1;
        if seen.is_multiple_of(4096) {
            interrupted = ctx.check();
        }
        if interrupted.is_err() || !entry.value.starts_with(prefix) {
            return false;
        }
        if plan.listed(entry.value) {
            lists.push(list_at(block, entry.place, name, entry.value));
        }
        true
    });
    interrupted?;
    if let Err(damage) = outcome {
        block.note_damage("index", damage);
    }
    Ok(lists)
}

/// Looks at the label of each series, remembering what was decided for a value.
fn filter_series(block: &Block, set: &mut Vec<u32>, plan: &Plan<'_, '_>) {
    let mut decided: HashMap<&str, bool> = HashMap::new();
    let mut entry = SeriesEntry::default();
    set.retain(|&number| {
        if !block.read_series(number, &mut entry) {
            return false;
        }
        let value = entry.labels.iter().find(|(name, _)| *name == &*plan.matcher.name).map_or("", |l| l.1);
        *decided.entry(value).or_insert_with(|| plan.matcher.matches(value))
    });
}

fn union(lists: &[List<'_>]) -> Vec<u32> {
    let mut all = Vec::with_capacity(lists.iter().map(List::len).sum());
    lists.iter().for_each(|list| list.push_to(&mut all));
    // A stable sort finds the runs that are in order already.
    all.sort();
    all.dedup();
    all
}

fn subtract(mut set: Vec<u32>, gone: &[u32]) -> Vec<u32> {
    let mut gone = gone.iter().peekable();
    set.retain(|number| {
        while gone.next_if(|g| *g < number).is_some() {}
        gone.peek() != Some(&number)
    });
    set
}
