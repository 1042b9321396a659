//! What is to be evaluated, and for which times.

use std::sync::Arc;

use model::METRIC_NAME;

use super::{BackfillError, BackfillRequest, BackfilledGroup};
use crate::dependencies::gather_matchers;
use crate::group::Group;
use crate::rule::Rule;
use crate::time::Time;

/// The shortest step, in milliseconds: the times of one block are to stay few.
const SHORTEST_STEP: u128 = 1000;

/// Times from `first` on, `step` apart, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) first: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Steps {
    /// Those from `start` to `end`, both inclusive, of the times that are `step` apart and one of which is `anchor`.
    fn between(anchor: i64, step: i64, start: i64, end: i64) -> Self {
        let first = start.saturating_add((anchor.wrapping_sub(start)).rem_euclid(step));
        let count = if end < first { 0 } else { (end - first) / step + 1 };
        Steps { first, step, count: usize::try_from(count).unwrap_or(0) }
    }

    /// Those of them that are from `start` to before `end`.
    pub(super) fn within(&self, start: i64, end: i64) -> Steps {
        match self.last() {
            Some(last) => Steps::between(self.first, self.step, start.max(self.first), last.min(end - 1)),
            None => *self,
        }
    }

    pub(super) fn at(&self, index: usize) -> i64 {
        self.first.saturating_add(self.step.saturating_mul(i64::try_from(index).unwrap_or(i64::MAX)))
    }

    pub(super) fn last(&self) -> Option<i64> {
        self.count.checked_sub(1).map(|last| self.at(last))
    }

    /// Which of them it is.
    pub(super) fn index(&self, t: i64) -> Option<usize> {
        let index = usize::try_from(t.checked_sub(self.first)?.checked_div(self.step)?).ok()?;
        (index < self.count && self.at(index) == t).then_some(index)
    }

    /// Two halves.
    pub(super) fn split(&self) -> (Steps, Steps) {
        let count = self.count / 2;
        (Steps { count, ..*self }, Steps { first: self.at(count), count: self.count - count, ..*self })
    }
}

/// Rules of a group.
pub(super) struct PlannedGroup {
    pub(super) group: Arc<Group>,
    pub(super) steps: Steps,
    pub(super) rules: Vec<PlannedRule>,
}

/// A rule of it.
pub(super) struct PlannedRule {
    index: usize,
    /// It may read what is recorded by others, or itself.
    pub(super) reads_recorded: bool,
}

impl PlannedGroup {
    pub(super) fn rule(&self, planned: &PlannedRule) -> Option<&Rule> {
        self.group.rules.get(planned.index)
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter_map(|planned| self.rule(planned))
    }
}

/// See the module.
pub(super) struct Plan {
    /// In the order in which they are evaluated.
    pub(super) groups: Vec<PlannedGroup>,
    pub(super) left_out: Vec<String>,
    pub(super) start: i64,
    pub(super) end: i64,
}

impl Plan {
    /// `oldest`: what is before it is not stored.
    pub(super) fn new(
        all: &[Arc<Group>],
        request: &BackfillRequest,
        oldest: Option<i64>,
        now: Time,
    ) -> Result<Plan, BackfillError> {
        if request.rules.is_empty() && request.groups.is_empty() && request.files.is_empty() {
            return Err(BackfillError::NothingNamed);
        }
        if request.end < request.start {
            return Err(BackfillError::EndBeforeStart);
        }
        if request.step.is_some_and(|step| step.as_millis() < SHORTEST_STEP) {
            return Err(BackfillError::ShortStep);
        }
        let start = request.start.max(oldest.ok_or(BackfillError::NoTimes)?);
        let end = request.end.min(now.millis());
        let (mut groups, left_out) = chosen(all, request, start, end);
        if groups.is_empty() && left_out.is_empty() {
            return Err(BackfillError::NoRules);
        }
        if groups.is_empty() {
            return Err(BackfillError::OnlyAlerting(left_out.join(", ")));
        }
        groups.retain(|group| group.steps.count > 0);
        let start = groups.iter().map(|group| group.steps.first).min();
        let end = groups.iter().filter_map(|group| group.steps.last()).max();
        let (Some(start), Some(end)) = (start, end) else { return Err(BackfillError::NoTimes) };
        let mut groups = readers_last(groups);
        mark_readers(&mut groups);
        Ok(Plan { groups, left_out, start, end })
    }

    /// Evaluations: of each rule one for each time.
    pub(super) fn evaluations(&self) -> u64 {
        self.groups.iter().map(|group| group.rules.len() as u64 * group.steps.count as u64).sum()
    }

    pub(super) fn described(&self) -> Vec<BackfilledGroup> {
        let described = |group: &PlannedGroup| BackfilledGroup {
            file: group.group.file().to_owned(),
            name: group.group.name().to_owned(),
            step: std::time::Duration::from_millis(group.steps.step.unsigned_abs()),
            rules: group.rules().map(|rule| rule.name().to_owned()).collect(),
        };
        self.groups.iter().map(described).collect()
    }
}

/// The recording rules that are asked for, and the names of alerting ones.
fn chosen(
    all: &[Arc<Group>],
    request: &BackfillRequest,
    start: i64,
    end: i64,
) -> (Vec<PlannedGroup>, Vec<String>) {
    let among = |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let (mut groups, mut left_out) = (Vec::new(), Vec::new());
    for group in all {
        if !among(&request.groups, group.name()) || !among(&request.files, group.file()) {
            continue;
        }
        let mut rules = Vec::new();
        for (index, rule) in group.rules.iter().enumerate().filter(|(_, r)| among(&request.rules, r.name())) {
            match rule.is_alerting() {
                true => left_out.push(rule.name().to_owned()),
                false => rules.push(PlannedRule { index, reads_recorded: false }),
            }
        }
        if !rules.is_empty() {
            let steps = steps(group, request, start, end);
            groups.push(PlannedGroup { group: Arc::clone(group), steps, rules });
        }
    }
    (groups, left_out)
}

/// The times of the group's samples, or those that are asked for.
fn steps(group: &Group, request: &BackfillRequest, start: i64, end: i64) -> Steps {
    let step = request.step.unwrap_or_else(|| group.interval());
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
    let anchor = match request.step {
        Some(_) => request.start,
        None => group.slot(Time(start.saturating_mul(1_000_000))).before(group.query_offset()).millis(),
    };
    Steps::between(anchor, step, start, end)
}

/// Groups that read what others record come after these, as far as there is such an order.
fn readers_last(mut groups: Vec<PlannedGroup>) -> Vec<PlannedGroup> {
    let mut ordered = Vec::with_capacity(groups.len());
    while !groups.is_empty() {
        let reads_none_of_the_others = |at: usize, group: &PlannedGroup| {
            let others = groups.iter().enumerate().filter(|(other, _)| *other != at);
            !others.flat_map(|(_, other)| other.rules()).any(|writer| group.rules().any(|r| reads(r, writer)))
        };
        let next = groups.iter().enumerate().position(|(at, group)| reads_none_of_the_others(at, group));
        ordered.push(groups.remove(next.unwrap_or(0)));
    }
    ordered
}

fn mark_readers(groups: &mut [PlannedGroup]) {
    let marks = |group: &PlannedGroup| -> Vec<bool> {
        let reader = |rule: &Rule| groups.iter().flat_map(PlannedGroup::rules).any(|w| reads(rule, w));
        group.rules().map(reader).collect()
    };
    let marks: Vec<Vec<bool>> = groups.iter().map(marks).collect();
    for (group, marks) in groups.iter_mut().zip(marks) {
        for (rule, mark) in group.rules.iter_mut().zip(marks) {
            rule.reads_recorded = mark;
        }
    }
}

/// Whether a rule may read what a recording rule writes.
fn reads(reader: &Rule, writer: &Rule) -> bool {
    let mut selectors = Vec::new();
    gather_matchers(reader.prepared(), &mut selectors);
    selectors
        .iter()
        .any(|matchers| matchers.iter().filter(|m| &*m.name == METRIC_NAME).all(|m| m.matches(writer.name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_grid_that_are_between_both_ends() {
        let steps = |anchor, start, end| {
            let steps = Steps::between(anchor, 10, start, end);
            (0..steps.count).map(|i| steps.at(i)).collect::<Vec<_>>()
        };
        assert_eq!(steps(3, 20, 45), [23, 33, 43]);
        assert_eq!(steps(103, 23, 43), [23, 33, 43]);
        assert_eq!(steps(-7, 24, 42), [33]);
        assert_eq!(steps(3, 24, 32), [0; 0]);
    }

    #[test]
    fn pieces_of_a_grid_have_each_of_its_times_once() {
        let all = Steps::between(7, 15, 0, 1000);
        let mut found = Vec::new();
        for start in (0..1100).step_by(100) {
            let piece = all.within(start, start + 100);
            found.extend((0..piece.count).map(|i| piece.at(i)));
        }
        let wanted: Vec<i64> = (0..all.count).map(|i| all.at(i)).collect();
        assert_eq!(found, wanted);
        let (left, right) = all.split();
        assert_eq!((left.count + right.count, left.at(left.count)), (all.count, right.first));
        assert_eq!((all.index(all.at(3)), all.index(all.at(3) + 1)), (Some(3), None));
    }
}
