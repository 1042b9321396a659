//! Files of recording and alerting rules: their structure, their expressions, and what Prometheus refuses in them.
//!
//! Prometheus reads such a file twice, the second time for the places of expressions and names, and reports what it
//! finds each time; so the lines of a file with a wrong type come twice, with two names of the type.

use std::collections::BTreeMap;

use model::ValidationScheme;
use model::number::quote;

use crate::decode::{Issues, Keys, Section, decode_section, section};
use crate::error::{Problem, report};
use crate::kinds::{Anything, Millis};
use crate::yaml::{Kind, Node, Place, Span, documents, parse_as_version_3, text};

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
    /// The same as the refusals, with places; what both readings refuse is there once.
    problems: Vec<Problem>,
    text: String,
}

impl LoadedRules {
    /// For people: each problem with its place in `file`, the line itself and what would be right.
    #[must_use]
    pub fn report(&self, file: &str) -> String {
        report(&self.problems, file, &self.text)
    }
}

/// Reads and checks a file of rules.
#[must_use]
pub fn load_rules(content: impl AsRef<[u8]>, options: &RuleFileOptions) -> LoadedRules {
    let mut loaded = LoadedRules {
        refusals: Vec::new(),
        file: RuleFile::default(),
        several_documents: false,
        problems: Vec::new(),
        text: String::new(),
    };
    let read_root = text(content.as_ref()).and_then(|text| {
        loaded.text = text.into_owned();
        Ok((parse_as_version_3(&loaded.text)?, documents(&loaded.text) > 1))
    });
    let root = match read_root {
        Ok((root, several_documents)) => {
            loaded.several_documents = several_documents;
            root
        }
        // Each reading meets it, and the search for a second document does, too.
        Err(err) => {
            loaded.several_documents = true;
            let span = (err.place.line > 0).then_some(Span { start: err.place, end: err.place });
            loaded.problems = vec![Problem { span, message: err.message.clone(), help: None }];
            loaded.refusals = vec![err.message.clone(), err.message];
            return loaded;
        }
    };
    let Some(root) = root.filter(|root| !root.is_null()) else { return loaded };
    let (file, first) = read::<RuleFile>(&root, options.ignore_unknown_fields);
    let (_, second) = read::<FileNode>(&root, true);
    if first.is_some() || second.is_some() {
        let problems = first.iter().chain(&second).map(|(_, problems)| problems.clone()).next();
        loaded.problems = problems.unwrap_or_default();
        loaded.refusals = first.into_iter().chain(second).map(|(line, _)| line).collect();
        return loaded;
    }
    let checker = Checker { lines: loaded.text.lines().collect(), expressions: &options.expressions };
    (loaded.refusals, loaded.problems) = checker.file(&file, &root).into_iter().unzip();
    loaded.file = file;
    loaded
}

/// What is wrong by a reading: Prometheus' words, and the problems.
type Refused = (String, Vec<Problem>);

/// One reading, with what is wrong by it.
fn read<T: Section + Keys>(root: &Node, ignore_unknown_fields: bool) -> (T, Option<Refused>) {
    let mut issues = Issues::of_rule_file(ignore_unknown_fields);
    match decode_section::<T>(root, &mut issues) {
        Err(stop) => (T::default(), Some((stop.line, vec![stop.problem]))),
        Ok(decoded) => match issues.finish() {
            Some(refused) => (T::default(), Some(refused)),
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

fn span_of(node: Option<&Node>, key: &str) -> Option<Span> {
    let node = node?;
    Some(find(node, key).unwrap_or(node).span)
}

/// Where the key `name` stands in the mapping at `key`, and where its value does.
fn spans_of_member(node: Option<&Node>, key: &str, name: &str) -> Option<(Span, Span)> {
    let Kind::Mapping(pairs) = &find(node?, key)?.kind else { return None };
    let found = pairs.iter().find(|(key, _)| key.text() == Some(name));
    found.map(|(key, value)| (key.span, value.span))
}

/// What is wrong with a rule or a group.
struct Flaw {
    /// With a blank behind it, where Prometheus names a place.
    place: String,
    line: String,
    span: Option<Span>,
    help: Option<String>,
}

impl Flaw {
    fn new(place: &str, line: impl Into<String>, span: Option<Span>) -> Self {
        let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
        Flaw { place, line: line.into(), span, help: None }
    }

    /// Prometheus' words, and the problem.
    fn told(self, of: &str) -> (String, Problem) {
        let message = format!("{of}{}", self.line);
        let refusal = format!("{}{message}", self.place);
        (refusal, Problem { span: self.span, message, help: self.help })
    }
}

struct Checker<'a> {
    /// Of the file.
    lines: Vec<&'a str>,
    expressions: &'a promql::ParseOptions,
}

impl Checker<'_> {
    fn file(&self, file: &RuleFile, root: &Node) -> Vec<(String, Problem)> {
        let mut told = Vec::new();
        let mut names = std::collections::HashSet::new();
        let groups = find(root, "groups");
        for (i, group) in file.groups.iter().enumerate() {
            let node = groups.and_then(|groups| item(groups, i));
            // Prometheus has no place for a group.
            let mut refuse = |line: String| {
                told.push(Flaw::new("0:0", line, span_of(node, "name")).told(""));
            };
            if group.name.is_empty() {
                refuse("Groupname must not be empty".to_owned());
            }
            if !names.insert(group.name.as_str()) {
                refuse(format!("groupname: \"{}\" is repeated in the same file", group.name));
            }
            for name in group.labels.keys().filter(|name| !is_label(name)) {
                let span = spans_of_member(node, "labels", name).map(|(key, _)| key);
                told.push(Flaw::new("", invalid_label(name), span).told(""));
            }
            let rules = node.and_then(|group| find(group, "rules"));
            for (j, rule) in group.rules.iter().enumerate() {
                let node = rules.and_then(|rules| item(rules, j));
                let of = format!("group {}, rule {}, {}: ", quote(&group.name), j + 1, quote(rule.name()));
                told.extend(self.rule(rule, node).into_iter().map(|flaw| flaw.told(&of)));
            }
        }
        told
    }

    fn rule(&self, rule: &Rule, node: Option<&Node>) -> Vec<Flaw> {
        let mut found = Vec::new();
        let both_places = || format!("{}: {}", place_of(node, "record"), place_of(node, "alert"));
        let mut refuse = |line: &str| found.push(Flaw::new(&both_places(), line, span_of(node, "alert")));
        match (rule.record.is_empty(), rule.alert.is_empty()) {
            (false, false) => refuse("only one of 'record' and 'alert' must be set"),
            (true, true) => refuse("one of 'record' or 'alert' must be set"),
            _ => {}
        }
        let place = place_of(node, "expr");
        if rule.expr.is_empty() {
            found.push(Flaw::new(&place, "field 'expr' must be set in rule", span_of(node, "expr")));
        } else if let Err(errors) = promql::parse(&rule.expr, self.expressions) {
            let first = errors.as_slice().first();
            let span = first.and_then(|error| self.span_in_expression(&rule.expr, node, error));
            let line = format!("could not parse expression: {errors}");
            let flaw = Flaw::new(&place, line, span.or(span_of(node, "expr")));
            found.push(Flaw { help: first.and_then(|error| error.help.clone()), ..flaw });
        }
        if !rule.record.is_empty() {
            recording(rule, node, &mut found);
        }
        names_and_templates(rule, node, &mut found);
        found
    }

    /// Where in the file an expression is wrong, if its text stands there as it is.
    fn span_in_expression(
        &self,
        expr: &str,
        node: Option<&Node>,
        error: &promql::ParseError,
    ) -> Option<Span> {
        let start = find(node?, "expr")?.span.start;
        let wrong = expr.lines().nth(error.line.checked_sub(1)? as usize)?;
        let text = wrong.trim();
        let (at, found) =
            self.lines.iter().enumerate().skip(start.line.checked_sub(1)?).find_map(|(i, line)| {
                // Another key of the rule may stand before the expression on its line.
                let from = if i + 1 == start.line { start.column.saturating_sub(1) } else { 0 };
                let from = line.char_indices().nth(from).map_or(line.len(), |(byte, _)| byte);
                Some((i, from + line.get(from..)?.find(text)?))
            })?;
        let skipped = wrong.len() - wrong.trim_start().len();
        let byte = found + (error.column as usize).checked_sub(1 + skipped)?;
        let column = self.lines.get(at)?.get(..byte)?.chars().count() + 1;
        let width = error.span.end.saturating_sub(error.span.start).max(1) as usize;
        let (line, last) = (at + 1, self.lines.get(at)?.chars().count() + 1);
        let end = Place { line, column: (column + width).min(last.max(column + 1)) };
        Some(Span { start: Place { line, column }, end })
    }
}

fn recording(rule: &Rule, node: Option<&Node>, found: &mut Vec<Flaw>) {
    let place = place_of(node, "record");
    let mut refuse = |line: String, key| found.push(Flaw::new(&place, line, span_of(node, key)));
    for (set, key) in [
        (!rule.annotations.is_empty(), "annotations"),
        (rule.hold.0 != 0, "for"),
        (rule.keep_firing_for.0 != 0, "keep_firing_for"),
    ] {
        if set {
            refuse(format!("invalid field '{key}' in recording rule"), key);
        }
    }
    let record = &rule.record;
    if !ValidationScheme::Utf8.is_valid_metric_name(record) {
        refuse(format!("invalid recording rule name: {record}"), "record");
    }
    // Names may hold braces, and a rule where they do has its expression in the wrong place.
    if record.contains(['{', '}']) {
        refuse(
            format!("braces present in the recording rule name; should it be in expr?: {record}"),
            "record",
        );
    }
}

fn names_and_templates(rule: &Rule, node: Option<&Node>, found: &mut Vec<Flaw>) {
    let mut refuse = |line, span| found.push(Flaw::new("", line, span));
    let key_span = |key, name| spans_of_member(node, key, name).map(|(key, _)| key);
    for name in rule.labels.keys().filter(|name| !is_label(name)) {
        refuse(invalid_label(name), key_span("labels", name));
    }
    for name in rule.annotations.keys().filter(|name| !ValidationScheme::Utf8.is_valid_label_name(name)) {
        refuse(format!("invalid annotation name: {name}"), key_span("annotations", name));
    }
    if rule.alert.is_empty() {
        return;
    }
    for (kind, key, texts) in
        [("label", "labels", &rule.labels), ("annotation", "annotations", &rule.annotations)]
    {
        for (name, text) in texts {
            if let Err(why) = rules::check_text(&rule.alert, text) {
                let span = spans_of_member(node, key, name).map(|(_, value)| value);
                refuse(format!("{kind} {}: {why}", quote(name)), span);
            }
        }
    }
}

fn is_label(name: &str) -> bool {
    ValidationScheme::Utf8.is_valid_label_name(name) && name != model::METRIC_NAME
}

fn invalid_label(name: &str) -> String {
    format!("invalid label name: {name}")
}
