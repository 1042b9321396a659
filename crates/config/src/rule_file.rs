//! Files of recording and alerting rules: their structure, their expressions, and what Prometheus refuses in them.
//!
//! Prometheus reads such a file twice, the second time for the places of expressions and names, and reports what it
//! finds each time; so the lines of a file with a wrong type come twice, with two names of the type.

use std::collections::BTreeMap;

use model::ValidationScheme;
use model::number::quote;

use crate::decode::{Issues, Keys, Section, decode_section, section};
use crate::kinds::{Anything, Millis};
use crate::yaml::{Kind, Node, Place, documents, parse_as_version_3, text};

section! {
    /// A file of rules.
    RuleFile "rulefmt.RuleGroups" "rulefmt.RuleGroups" {
        /// The groups.
        groups: Vec<RuleGroup> = "groups",
    }
}
impl Section for RuleFile {}

section! {
    /// Rules that are evaluated one after the other.
    RuleGroup "rulefmt.RuleGroup" "rulefmt.RuleGroup" {
        /// Its name, which no other group of the file has.
        name: String = "name" keep,
        /// How often; as often as all if zero.
        interval: Millis = "interval",
        /// How far back the rules look; as far as all if none.
        query_offset: Option<Millis> = "query_offset",
        /// Most series or alerts of a rule.
        limit: isize = "limit",
        /// The rules.
        rules: Vec<Rule> = "rules" keep,
        /// Labels of all that the rules make.
        labels: BTreeMap<String, String> = "labels",
    }
}
impl Section for RuleGroup {}

section! {
    /// A rule: it records or it alerts.
    Rule "rulefmt.Rule" "rulefmt.Rule" {
        /// The name of the recorded series.
        record: String = "record",
        /// The name of the alert.
        alert: String = "alert",
        /// What is evaluated.
        expr: String = "expr" keep,
        /// How long the expression must hold before the alert fires.
        hold: Millis = "for",
        /// How long the alert goes on firing when the expression holds no more.
        keep_firing_for: Millis = "keep_firing_for",
        /// Labels that are set.
        labels: BTreeMap<String, String> = "labels",
        /// What is told with an alert.
        annotations: BTreeMap<String, String> = "annotations",
    }
}
impl Section for Rule {}

section! {
    /// The file in Prometheus' second reading.
    #[allow(unreachable_pub, reason = "nobody else reads it")]
    FileNode "rulefmt.ruleGroups" "rulefmt.ruleGroups" {
        groups: Vec<GroupNode> = "groups",
    }
}
impl Section for FileNode {}

section! {
    /// A group in Prometheus' second reading.
    #[allow(unreachable_pub, reason = "nobody else reads it")]
    GroupNode "rulefmt.RuleGroupNode" "rulefmt.RuleGroupNode" {
        name: String = "name",
        interval: Millis = "interval",
        query_offset: Option<Millis> = "query_offset",
        limit: isize = "limit",
        rules: Vec<RuleNode> = "rules",
        labels: BTreeMap<String, String> = "labels",
    }
}
impl Section for GroupNode {}

section! {
    /// A rule in Prometheus' second reading.
    #[allow(unreachable_pub, reason = "nobody else reads it")]
    RuleNode "rulefmt.RuleNode" "rulefmt.RuleNode" {
        record: Anything = "record",
        alert: Anything = "alert",
        expr: Anything = "expr",
        hold: Millis = "for",
        keep_firing_for: Millis = "keep_firing_for",
        labels: BTreeMap<String, String> = "labels",
        annotations: BTreeMap<String, String> = "annotations",
    }
}
impl Section for RuleNode {}

impl Rule {
    /// The name of what it makes.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.alert.is_empty() { &self.record } else { &self.alert }
    }
}

/// How a file of rules is read.
#[derive(Debug, Clone, Default)]
pub struct RuleFileOptions {
    /// Unknown keys are passed over.
    pub ignore_unknown_fields: bool,
    /// Which language the expressions are written in.
    pub expressions: promql::ParseOptions,
}

/// A file of rules, as far as it could be read.
#[derive(Debug, Clone)]
pub struct LoadedRules {
    /// What Prometheus would refuse it for, in its words; empty for a file that is in order.
    pub refusals: Vec<String>,
    /// Its content; empty where the structure is refused.
    pub file: RuleFile,
    /// The text goes on after the first document, which is all that is read.
    pub several_documents: bool,
}

/// Reads and checks a file of rules.
#[must_use]
pub fn load_rules(content: impl AsRef<[u8]>, options: &RuleFileOptions) -> LoadedRules {
    let refused =
        |refusals, several_documents| LoadedRules { refusals, file: RuleFile::default(), several_documents };
    let read_text = text(content.as_ref());
    let read_root = read_text.and_then(|text| Ok((parse_as_version_3(&text)?, documents(&text) > 1)));
    let (root, several_documents) = match read_root {
        Ok(read) => read,
        // Each reading meets it, and the search for a second document does, too.
        Err(err) => return refused(vec![err.message.clone(), err.message], true),
    };
    let Some(root) = root.filter(|root| !root.is_null()) else {
        return refused(Vec::new(), several_documents);
    };
    let (file, first) = read::<RuleFile>(&root, options.ignore_unknown_fields);
    let (_, second) = read::<FileNode>(&root, true);
    let refusals: Vec<String> = first.into_iter().chain(second).collect();
    if !refusals.is_empty() {
        return refused(refusals, several_documents);
    }
    let refusals = check(&file, &root, &options.expressions);
    LoadedRules { refusals, file, several_documents }
}

/// One reading, with what is wrong by it.
fn read<T: Section + Keys>(root: &Node, ignore_unknown_fields: bool) -> (T, Option<String>) {
    let mut issues = Issues::of_rule_file(ignore_unknown_fields);
    match decode_section::<T>(root, &mut issues) {
        Err(stop) => (T::default(), Some(stop.line)),
        Ok(decoded) => match issues.finish() {
            Some((line, _)) => (T::default(), Some(line)),
            None => (decoded.unwrap_or_default(), None),
        },
    }
}

/// The value of a key, also where it comes from a merged mapping.
fn find<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Kind::Mapping(pairs) = &node.kind else { return None };
    node.get(key).or_else(|| {
        let merged = pairs.iter().filter(|(key, _)| key.is_merge());
        merged
            .flat_map(|(_, value)| match &value.kind {
                Kind::Sequence(items) => items.iter().collect(),
                _ => vec![value],
            })
            .find_map(|mapping| find(mapping, key))
    })
}

/// An element of a list, in which nulls do not count.
fn item(list: &Node, index: usize) -> Option<&Node> {
    let Kind::Sequence(items) = &list.kind else { return None };
    items.iter().filter(|item| !item.is_null()).nth(index)
}

/// `5:11`, or `0:0` for what is not written.
fn place_of(rule: Option<&Node>, key: &str) -> String {
    let Place { line, column } =
        rule.and_then(|rule| find(rule, key)).map_or_else(Place::default, |n| n.span.start);
    format!("{line}:{column}")
}

fn check(file: &RuleFile, root: &Node, expressions: &promql::ParseOptions) -> Vec<String> {
    let mut refusals = Vec::new();
    let mut names = std::collections::HashSet::new();
    let groups = find(root, "groups");
    for (i, group) in file.groups.iter().enumerate() {
        // Prometheus has no place for a group.
        if group.name.is_empty() {
            refusals.push("0:0: Groupname must not be empty".to_owned());
        }
        if !names.insert(group.name.as_str()) {
            refusals.push(format!("0:0: groupname: \"{}\" is repeated in the same file", group.name));
        }
        refusals.extend(group.labels.keys().filter(|name| !is_label(name)).map(|name| invalid_label(name)));
        let rules = groups.and_then(|groups| item(groups, i)).and_then(|group| find(group, "rules"));
        for (j, rule) in group.rules.iter().enumerate() {
            let node = rules.and_then(|rules| item(rules, j));
            let of_rule = format!("group {}, rule {}, {}", quote(&group.name), j + 1, quote(rule.name()));
            refusals.extend(check_rule(rule, node, expressions).into_iter().map(|(place, line)| {
                let place = if place.is_empty() { place } else { format!("{place}: ") };
                format!("{place}{of_rule}: {line}")
            }));
        }
    }
    refusals
}

/// What is wrong with a rule, each with its place, where Prometheus names one.
fn check_rule(rule: &Rule, node: Option<&Node>, expressions: &promql::ParseOptions) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut refuse = |place: String, line: String| found.push((place, line));
    let both_places = || format!("{}: {}", place_of(node, "record"), place_of(node, "alert"));
    match (rule.record.is_empty(), rule.alert.is_empty()) {
        (false, false) => refuse(both_places(), "only one of 'record' and 'alert' must be set".into()),
        (true, true) => refuse(both_places(), "one of 'record' or 'alert' must be set".into()),
        _ => {}
    }
    if rule.expr.is_empty() {
        refuse(place_of(node, "expr"), "field 'expr' must be set in rule".into());
    } else if let Err(err) = promql::parse(&rule.expr, expressions) {
        refuse(place_of(node, "expr"), format!("could not parse expression: {err}"));
    }
    if !rule.record.is_empty() {
        let mut refuse = |line: String| refuse(place_of(node, "record"), line);
        for (set, key) in [
            (!rule.annotations.is_empty(), "annotations"),
            (rule.hold.0 != 0, "for"),
            (rule.keep_firing_for.0 != 0, "keep_firing_for"),
        ] {
            if set {
                refuse(format!("invalid field '{key}' in recording rule"));
            }
        }
        if !ValidationScheme::Utf8.is_valid_metric_name(&rule.record) {
            refuse(format!("invalid recording rule name: {}", rule.record));
        }
        // Names may hold braces, and a rule where they do has its expression in the wrong place.
        if rule.record.contains(['{', '}']) {
            let record = &rule.record;
            refuse(format!("braces present in the recording rule name; should it be in expr?: {record}"));
        }
    }
    for name in rule.labels.keys().filter(|name| !is_label(name)) {
        refuse(String::new(), invalid_label(name));
    }
    for name in rule.annotations.keys().filter(|name| !ValidationScheme::Utf8.is_valid_label_name(name)) {
        refuse(String::new(), format!("invalid annotation name: {name}"));
    }
    if !rule.alert.is_empty() {
        for (kind, texts) in [("label", &rule.labels), ("annotation", &rule.annotations)] {
            for (name, text) in texts {
                if let Err(why) = rules::check_text(&rule.alert, text) {
                    refuse(String::new(), format!("{kind} {}: {why}", quote(name)));
                }
            }
        }
    }
    found
}

fn is_label(name: &str) -> bool {
    ValidationScheme::Utf8.is_valid_label_name(name) && name != model::METRIC_NAME
}

fn invalid_label(name: &str) -> String {
    format!("invalid label name: {name}")
}
