//! From matchers to the series of a shard that match.

use std::collections::HashMap;

use model::{MatchOp, Matcher};
use storage::{QueryContext, SelectError};

use crate::postings::{self, Postings, RunSet};
use crate::shard::ShardData;

/// Which values of a label a matcher wants.
enum Values {
    /// Exactly these pairs.
    Known(Vec<u32>),
    /// All must be looked at.
    Scan,
}

struct Plan<'a> {
    matcher: &'a Matcher,
    name: u32,
    values: Values,
    /// The values listed (or found) are those that do not match; series without the label match.
    negative: bool,
    /// At most so many series are in the lists, as far as known.
    size: u64,
}

/// The ids of the series that match all matchers. A label that is missing counts as empty.
pub(super) fn matching(
    ctx: &QueryContext,
    data: &ShardData,
    matchers: &[Matcher],
) -> Result<RunSet, SelectError> {
    let mut plans = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        let negative = matcher.matches_empty();
        let Some(name) = data.symbols.name_id(&matcher.name) else {
            if negative {
                continue;
            }
            return Ok(RunSet::new());
        };
        let values = known_values(data, matcher, name, negative);
        let size = match &values {
            Values::Known(pairs) => pairs.iter().map(|&p| u64::from(data.symbols.postings(p).len())).sum(),
            Values::Scan => u64::MAX,
        };
        plans.push(Plan { matcher, name, values, negative, size });
    }
    // What is cheap and narrows most comes first; then what is taken away; what must be searched comes last, when
    // it may be quicker to look at the series that are left.
    plans.sort_by_key(|plan| (matches!(plan.values, Values::Scan), plan.negative, plan.size));
    let mut set: Option<RunSet> = None;
    for plan in plans {
        ctx.check()?;
        let current = match set.take() {
            Some(current) => current,
            None if !plan.negative => match single(&plan) {
                Some(pair) => {
                    set = Some(data.symbols.postings(pair).runs().collect());
                    continue;
                }
                None => data.all.runs().collect(),
            },
            None => data.all.runs().collect(),
        };
        if current.is_empty() {
            return Ok(current);
        }
        set = Some(narrow(data, current, &plan));
    }
    Ok(set.unwrap_or_else(|| data.all.runs().collect()))
}

fn single(plan: &Plan<'_>) -> Option<u32> {
    match &plan.values {
        Values::Known(pairs) => match pairs[..] {
            [pair] => Some(pair),
            _ => None,
        },
        Values::Scan => None,
    }
}

/// The pairs that match (`negative`: that do not), when that can be told without looking at all values.
fn known_values(data: &ShardData, matcher: &Matcher, name: u32, negative: bool) -> Values {
    let find = |value: &str| data.symbols.find(name, value);
    match (matcher.op, matcher.regex()) {
        (MatchOp::Equal, _) if !negative => Values::Known(find(&matcher.value).into_iter().collect()),
        (MatchOp::NotEqual, _) if negative => Values::Known(find(&matcher.value).into_iter().collect()),
        (MatchOp::Regex, Some(regex)) if !negative => match regex.literals() {
            Some(texts) => Values::Known(texts.iter().filter_map(|text| find(text)).collect()),
            None => Values::Scan,
        },
        (MatchOp::NotRegex, Some(regex)) if negative => match regex.literals() {
            Some(texts) => Values::Known(texts.iter().filter_map(|text| find(text)).collect()),
            None => Values::Scan,
        },
        // `a=""` and `a!=""`: all values.
        (MatchOp::Equal | MatchOp::NotEqual, _) => Values::Known(data.symbols.pairs_of(name).to_vec()),
        _ => Values::Scan,
    }
}

/// A look at the label of one series costs as much as going through so many that are in lists.
const IN_LISTS_PER_SERIES: usize = 16;

fn narrow(data: &ShardData, current: RunSet, plan: &Plan<'_>) -> RunSet {
    let scanned;
    let pairs = match &plan.values {
        Values::Known(pairs) => pairs,
        Values::Scan => {
            if postings::count(&current) * 4 < data.symbols.pairs_of(plan.name).len() {
                return filter_series(data, &current, plan);
            }
            scanned = scan(data, plan);
            &scanned
        }
    };
    let lists = pairs.iter().map(|&pair| data.symbols.postings(pair));
    if let [pair] = pairs[..]
        && !plan.negative
    {
        return postings::intersect(&current, data.symbols.postings(pair));
    }
    // A series has a label once, so the lists have no id in common.
    let total: u64 = lists.clone().map(|list: &Postings| u64::from(list.len())).sum();
    let everything = total == u64::from(data.all.len());
    if !everything && total > (postings::count(&current) * IN_LISTS_PER_SERIES) as u64 {
        return filter_series(data, &current, plan);
    }
    match (plan.negative, everything) {
        (false, true) => current,
        (true, true) => RunSet::new(),
        (true, false) if total == 0 => current,
        (false, false) => postings::intersect_sets(&current, &postings::union(lists)),
        (true, false) => postings::subtract(&current, &postings::union(lists)),
    }
}

/// Whether a value is among those that the plan lists: matching, or not matching if negative.
fn listed(plan: &Plan<'_>, value: &str) -> bool {
    plan.matcher.matches(value) != plan.negative
}

fn scan(data: &ShardData, plan: &Plan<'_>) -> Vec<u32> {
    let pairs = data.symbols.pairs_of(plan.name).iter().copied();
    // A value without the prefix is known not to match the expression.
    let prefix = plan.matcher.regex().map_or("", |regex| regex.prefix());
    let without_prefix = (plan.matcher.op == MatchOp::NotRegex) != plan.negative;
    pairs
        .filter(|&pair| {
            let value = data.symbols.value_text(pair);
            if value.starts_with(prefix) { listed(plan, value) } else { without_prefix }
        })
        .collect()
}

/// Looks at the label of each series, remembering what was decided for a value.
fn filter_series(data: &ShardData, current: &RunSet, plan: &Plan<'_>) -> RunSet {
    let mut decided: HashMap<u32, bool> = HashMap::new();
    let mut finder = data.finder();
    let mut kept = Postings::default();
    for id in current.iter().flat_map(|&(start, end)| start..=end) {
        let Some(slot) = finder.slot(id) else { continue };
        let pair = data.pairs(slot).find(|&pair| data.symbols.name_of(pair) == plan.name);
        let keep = match pair {
            None => plan.negative,
            Some(pair) => {
                let in_list =
                    *decided.entry(pair).or_insert_with(|| listed(plan, data.symbols.value_text(pair)));
                in_list != plan.negative
            }
        };
        if keep {
            kept.push(id);
        }
    }
    kept.runs().collect()
}
