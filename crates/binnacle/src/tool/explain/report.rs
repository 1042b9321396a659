//! The way of targets through their rules, as text.

use std::fmt::Write as _;

use model::relabel::{Action, Config, Step};
use model::{Labels, number};

use super::{Explained, Job, Outcome};

/// One target that is meant is shown step by step, several as a line each, unless all steps are wanted.
pub(super) fn render(job: &Job, meant: Option<&str>, all: bool) -> String {
    let targets: Vec<&Explained> = job.targets.iter().filter(|target| target.is_meant(meant)).collect();
    let mut out = String::new();
    match targets.as_slice() {
        [] if job.targets.is_empty() => {
            let _ = writeln!(out, "Job {} has no targets: nothing was discovered.", job.name);
        }
        [] => {
            let found = job.targets.len();
            let _ = writeln!(out, "None of the {found} targets of job {} has that in a label.", job.name);
        }
        [one] => push_target(&mut out, job, one),
        many if all => {
            for (i, target) in many.iter().enumerate() {
                out.push_str(if i > 0 { "\n\n" } else { "" });
                push_target(&mut out, job, target);
            }
        }
        many => push_list(&mut out, job, many),
    }
    out
}

fn push_list(out: &mut String, job: &Job, targets: &[&Explained]) {
    let scraped = targets.iter().filter(|t| matches!(t.outcome, Outcome::Scraped { .. })).count();
    let _ = writeln!(out, "job {}: {} targets, {scraped} of them scraped\n", job.name, targets.len());
    let width = targets.iter().map(|t| t.address().chars().count()).max().unwrap_or(0).min(40);
    for target in targets {
        let _ = writeln!(out, "  {:width$}  {}", target.address(), fate(target));
    }
    out.push_str("\nName one of them to see the steps, or give --all.\n");
}

fn fate(target: &Explained) -> String {
    match (&target.outcome, target.dropped_by()) {
        (Outcome::Scraped { url, .. }, _) => format!("scraped at {url}"),
        (Outcome::Refused(why), _) => format!("cannot be scraped: {why}"),
        (_, Some(rule)) => {
            let action = target.steps.get(rule - 1).map_or("", |(rule, _)| rule.action.as_str());
            format!("dropped by rule {rule} ({action})")
        }
        (Outcome::Dropped, None) => "dropped".to_owned(),
        (Outcome::Unknown, None) => {
            "kept by every rule, and yet not among the targets of the server".to_owned()
        }
    }
}

fn push_target(out: &mut String, job: &Job, target: &Explained) {
    let _ = writeln!(out, "job {}, target {}\n\ndiscovered", job.name, shown(target.address()));
    push_labels(out, &target.discovered);
    if target.steps.is_empty() {
        out.push_str("\nThe job has no relabel_configs.\n");
    }
    let mut before = &target.discovered;
    for (i, (rule, step)) in target.steps.iter().enumerate() {
        let place = job.places.get(i).map_or(String::new(), |place| format!("   # {place}"));
        let _ = writeln!(out, "\n{:>3}. {}{place}", i + 1, spelled(rule));
        for line in effect(rule, before, step) {
            let _ = writeln!(out, "     {line}");
        }
        if !step.keep {
            let left = target.steps.len() - i - 1;
            if left > 0 {
                let _ = writeln!(out, "\n     ({left} more rules are not looked at)");
            }
            break;
        }
        before = &step.output;
    }
    let _ = writeln!(out, "\n=> {}", fate(target));
    if let Outcome::Scraped { labels, .. } = &target.outcome {
        out.push_str("\nlabels of its series\n");
        push_labels(out, labels);
    }
}

fn push_labels(out: &mut String, labels: &Labels) {
    let width = labels.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(60);
    for (name, value) in labels {
        let _ = writeln!(out, "  {name:width$}  {}", shown(value));
    }
}

/// A value as it is, or in quotes where one could not see it else.
fn shown(value: &str) -> String {
    let plain =
        !value.is_empty() && value.trim() == value && !value.chars().any(|c| c.is_control() || c == '"');
    if plain { value.to_owned() } else { number::quote(value) }
}

/// A rule on one line.
fn spelled(rule: &Config) -> String {
    let source = format!("[{}]", rule.source_labels.join(", "));
    let regex = format!("/{}/", rule.regex.as_str());
    let (target, replacement) = (&rule.target_label, number::quote(&rule.replacement));
    let action = rule.action.as_str();
    match rule.action {
        Action::Replace if rule.source_labels.is_empty() => format!("{action}: {target} = {replacement}"),
        Action::Replace => format!("{action}: if {source} matches {regex}, {target} = {replacement}"),
        Action::Keep | Action::Drop => format!("{action}: if {source} matches {regex}"),
        Action::KeepEqual | Action::DropEqual => format!("{action}: if {source} equals {target}"),
        Action::HashMod => format!("{action}: {target} = hash of {source} modulo {}", rule.modulus),
        Action::Lowercase | Action::Uppercase => format!("{action}: {target} = {source}"),
        Action::LabelMap => format!("{action}: copy labels named {regex} to {replacement}"),
        Action::LabelDrop => format!("{action}: remove labels named {regex}"),
        Action::LabelKeep => format!("{action}: remove labels not named {regex}"),
    }
}

/// What the rule saw and what it changed.
fn effect(rule: &Config, before: &Labels, step: &Step) -> Vec<String> {
    let mut lines = Vec::new();
    let values: Vec<&str> = rule.source_labels.iter().map(|name| before.value(name)).collect();
    let source = values.join(&rule.separator);
    let matches = rule.regex.is_match(&source);
    let verdict = if matches { "matches" } else { "does not match" };
    match rule.action {
        Action::Keep | Action::Drop => {
            let end = if step.keep { "kept" } else { "DROPPED HERE" };
            lines.push(format!("{} {verdict}: {end}", number::quote(&source)));
        }
        Action::KeepEqual | Action::DropEqual => {
            let other = before.value(&rule.target_label);
            let verdict = if source == other { "equals" } else { "is not" };
            let end = if step.keep { "kept" } else { "DROPPED HERE" };
            lines.push(format!("{} {verdict} {}: {end}", number::quote(&source), number::quote(other)));
        }
        Action::Replace if !rule.source_labels.is_empty() => {
            lines.push(format!("{} {verdict}", number::quote(&source)));
        }
        _ => {}
    }
    if step.keep {
        let changes = changes(before, &step.output);
        let filters =
            matches!(rule.action, Action::Keep | Action::Drop | Action::KeepEqual | Action::DropEqual);
        if changes.is_empty() && !filters {
            lines.push("nothing changes".to_owned());
        }
        lines.extend(changes);
    }
    lines
}

/// Labels that came, went or changed.
fn changes(before: &Labels, after: &Labels) -> Vec<String> {
    let mut names: Vec<&str> = before.iter().chain(after).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &&str| {
        let (old, new) = (before.value(name), after.value(name));
        match (old.is_empty(), new.is_empty()) {
            _ if old == new => None,
            (true, _) => Some(format!("+ {name} = {}", shown(new))),
            (_, true) => Some(format!("- {name}   (was {})", shown(old))),
            _ => Some(format!("~ {name} = {}   (was {})", shown(new), shown(old))),
        }
    };
    names.iter().filter_map(change).collect()
}
