//! Regular expressions with RE2's syntax and meaning, anchored at both ends.
//!
//! `parse` reads RE2's syntax, `shape` answers what needs no automaton, `regex-automata` does the rest.

mod class;
mod parse;
mod shape;

use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::meta;
use regex_automata::util::captures::Captures as Slots;
use regex_syntax::hir::{Hir, Look};

use self::parse::{Parsed, parse};
use self::shape::Shape;

/// Memory that the automaton of one expression may take, in bytes.
const MAX_AUTOMATON: usize = 32 << 20;

/// An anchored RE2 expression. Equal when written equally.
#[derive(Debug, Clone)]
pub struct Regex {
    source: Box<str>,
    shape: Shape,
    /// Names of the groups by number; number 0 is the whole match.
    groups: Box<[Option<Box<str>>]>,
    /// Built at once where the shape does not decide every match, else when groups are first asked for.
    automaton: OnceLock<meta::Regex>,
}

/// Why an expression was refused, in the words of Go's `regexp/syntax`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(pub String);

impl Regex {
    /// Compiles `pattern`; it must match a whole text, and a dot matches newlines too.
    ///
    /// # Errors
    /// When the pattern is not valid RE2, or its automaton would take too much memory.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let parsed = parse(pattern, true)?;
        if parsed.open_quote {
            // Prometheus compiles `^(?s:pattern)$`, where the quote swallows the parenthesis.
            parse(&enclosed(pattern), false)?;
        }
        Self::build(pattern, parsed)
    }

    /// Compiles `^(?s:pattern)$` as one text, the way relabelling rules and `label_replace` are compiled:
    /// errors quote that text, and `a)|(b` is valid.
    ///
    /// # Errors
    /// As [`Regex::new`].
    pub fn new_enclosed(pattern: &str) -> Result<Self, RegexError> {
        match parse(pattern, true) {
            Ok(parsed) if !parsed.open_quote => Self::build(pattern, parsed),
            _ => {
                let parsed = parse(&enclosed(pattern), false)?;
                let unanchored = Hir::concat(vec![anything(), parsed.hir, anything()]);
                Self::build(pattern, Parsed { hir: unanchored, ..parsed })
            }
        }
    }

    /// `(.*)`, the expression of a relabelling rule that names none.
    #[must_use]
    pub fn anything_captured() -> Self {
        Regex {
            source: "(.*)".into(),
            shape: Shape::Gapped { before: shape::Gap::Any, text: String::new(), after: shape::Gap::None },
            groups: Box::new([None, None]),
            automaton: OnceLock::new(),
        }
    }

    fn build(pattern: &str, parsed: Parsed) -> Result<Self, RegexError> {
        let shape = Shape::of(&parsed.hir);
        let automaton = match shape {
            Shape::Other { .. } => OnceLock::from(compile(parsed.hir, pattern)?),
            Shape::Literals(_) | Shape::Gapped { .. } => OnceLock::new(),
        };
        Ok(Regex { source: pattern.into(), shape, groups: parsed.groups.into(), automaton })
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.shape.is_match(text).unwrap_or_else(|| self.automaton().is_some_and(|a| a.is_match(text)))
    }

    /// When the whole of `text` matches: what its groups are.
    #[must_use]
    pub fn captures<'a>(&'a self, text: &'a str) -> Option<Captures<'a>> {
        if &*self.source == "(.*)" {
            return Some(Captures { text, groups: &self.groups, spans: vec![Some(0..text.len()); 2] });
        }
        if self.shape.is_match(text) == Some(false) {
            return None;
        }
        let automaton = self.automaton()?;
        let mut slots: Slots = automaton.create_captures();
        automaton.captures(text, &mut slots);
        slots.is_match().then(|| Captures {
            text,
            groups: &self.groups,
            spans: slots.iter().map(|span| span.map(|s| s.range())).collect(),
        })
    }

    /// When the whole of `text` matches: `template` with `$1`, `${1}`, `$name` replaced as Go's `Expand` does.
    #[must_use]
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        self.captures(text).map(|captures| captures.expand(template))
    }

    /// When the expression matches exactly a finite set of texts that is not too large: that set, sorted.
    #[must_use]
    pub fn literals(&self) -> Option<&[String]> {
        match &self.shape {
            Shape::Literals(texts) => Some(texts),
            Shape::Gapped { .. } | Shape::Other { .. } => None,
        }
    }

    /// A text that every match starts with; empty when there is none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.shape.prefix()
    }

    /// A text that every match ends with; empty when there is none.
    #[must_use]
    pub fn suffix(&self) -> &str {
        self.shape.suffix()
    }

    /// Number of capturing groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len() - 1
    }

    /// `None` only if an expression whose shape is simple still is too large for an automaton.
    fn automaton(&self) -> Option<&meta::Regex> {
        if let Some(automaton) = self.automaton.get() {
            return Some(automaton);
        }
        let compiled = compile(parse(&self.source, true).ok()?.hir, &self.source).ok()?;
        Some(self.automaton.get_or_init(|| compiled))
    }
}

/// An RE2 expression that is looked for anywhere in a text, as Go's `regexp` does.
#[derive(Debug, Clone)]
pub struct Search {
    groups: Box<[Option<Box<str>>]>,
    automaton: meta::Regex,
}

impl Search {
    /// Compiles `pattern`; a dot does not match newlines.
    ///
    /// # Errors
    /// As [`Regex::new`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let parsed = parse(pattern, false)?;
        Ok(Search { automaton: build_automaton(&parsed.hir, pattern)?, groups: parsed.groups.into() })
    }

    /// Whether it matches somewhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.automaton.is_match(text)
    }

    /// `text` with each match replaced by `template`, of which groups are expanded: Go's `ReplaceAllString`.
    #[must_use]
    pub fn replace_all(&self, text: &str, template: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        for slots in self.automaton.captures_iter(text) {
            let Some(matched) = slots.get_match() else {
                continue;
            };
            let spans = slots.iter().map(|span| span.map(|s| s.range())).collect();
            out.push_str(text.get(copied..matched.start()).unwrap_or_default());
            out.push_str(&Captures { text, groups: &self.groups, spans }.expand(template));
            copied = matched.end();
        }
        out.push_str(text.get(copied..).unwrap_or_default());
        out
    }
}

fn enclosed(pattern: &str) -> String {
    format!("^(?s:{pattern})$")
}

/// `(?s:.*?)`
fn anything() -> Hir {
    use regex_syntax::hir::{Dot, Repetition};
    let sub = Box::new(Hir::dot(Dot::AnyChar));
    Hir::repetition(Repetition { min: 0, max: None, greedy: false, sub })
}

fn compile(hir: Hir, pattern: &str) -> Result<meta::Regex, RegexError> {
    build_automaton(&Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]), pattern)
}

fn build_automaton(hir: &Hir, pattern: &str) -> Result<meta::Regex, RegexError> {
    meta::Builder::new()
        .configure(meta::Config::new().nfa_size_limit(Some(MAX_AUTOMATON)))
        .build_from_hir(hir)
        .map_err(|_| parse::error("expression too large", pattern))
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Regex {}

/// The groups of one match.
#[derive(Debug, Clone)]
pub struct Captures<'a> {
    text: &'a str,
    groups: &'a [Option<Box<str>>],
    spans: Vec<Option<Range<usize>>>,
}

impl<'a> Captures<'a> {
    /// The text of group `number`; `None` when there is no such group or it took no part in the match.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&'a str> {
        self.text.get(self.spans.get(number)?.clone()?)
    }

    /// The text of the first group of that name that took part in the match.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<&'a str> {
        let numbers = self.groups.iter().enumerate().filter(|(_, n)| n.as_deref() == Some(name));
        numbers.into_iter().find_map(|(number, _)| self.get(number))
    }

    /// `template` with `$1`, `${1}`, `$name` and `${name}` replaced by groups, `$$` by a dollar sign: Go's
    /// `Regexp.Expand`. A name is as long as possible, groups that do not exist are empty, and any other
    /// dollar sign stands for itself.
    #[must_use]
    pub fn expand(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = variable(after) {
                let value = match group_number(name) {
                    Some(number) => self.get(number),
                    None => self.name(name),
                };
                out.push_str(value.unwrap_or_default());
                rest = after;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        out
    }
}

/// Splits `name…` or `{name}…` into the name and what follows.
fn variable(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let len = body.find(|c: char| c != '_' && !class::is_letter_or_digit(c)).unwrap_or(body.len());
    let (name, rest) = body.split_at(len);
    if name.is_empty() {
        return None;
    }
    if braced.is_some() { Some((name, rest.strip_prefix('}')?)) } else { Some((name, rest)) }
}

/// The number of a group that is named by digits alone, without leading zeros.
fn group_number(name: &str) -> Option<usize> {
    let leading_zero = name.len() > 1 && name.starts_with('0');
    if leading_zero || !name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What Go 1.26 says about a pattern, and the groups of each text that it matches.
    #[derive(serde::Deserialize)]
    struct Row {
        p: String,
        #[serde(default)]
        err: String,
        #[serde(default)]
        enclosed_err: String,
        #[serde(default)]
        m: BTreeMap<String, Vec<Option<String>>>,
    }

    fn rows() -> Vec<Row> {
        let lines = include_str!("../testdata/regex.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn patterns_are_refused_in_the_words_of_go() {
        for row in rows() {
            let want = if row.err.is_empty() { &row.enclosed_err } else { &row.err };
            let got = Regex::new(&row.p).map_or_else(|e| e.to_string(), |_| String::new());
            assert_eq!(&got, want, "pattern {:?}", row.p);
            let got = Regex::new_enclosed(&row.p).map_or_else(|e| e.to_string(), |_| String::new());
            assert_eq!(got, row.enclosed_err, "enclosed pattern {:?}", row.p);
        }
    }

    #[test]
    fn patterns_match_what_go_matches_with_the_same_groups() {
        let rows = rows();
        let texts: std::collections::BTreeSet<&String> = rows.iter().flat_map(|row| row.m.keys()).collect();
        assert!(texts.len() > 50, "the table has lost its texts");
        for row in &rows {
            let Ok(re) = Regex::new_enclosed(&row.p) else { continue };
            for text in &texts {
                let want = row.m.get(*text);
                let at = || format!("pattern {:?} text {text:?}", row.p);
                assert_eq!(re.is_match(text), want.is_some(), "{}", at());
                let groups = re.captures(text).map(|captures| {
                    (1..=re.group_count()).map(|n| captures.get(n).map(str::to_owned)).collect::<Vec<_>>()
                });
                assert_eq!(groups.as_ref(), want, "{}", at());
                if let Some(texts) = re.literals() {
                    assert_eq!(texts.contains(text), want.is_some(), "literals, {}", at());
                }
                if want.is_some() {
                    assert!(text.starts_with(re.prefix()), "prefix {:?}, {}", re.prefix(), at());
                    assert!(text.ends_with(re.suffix()), "suffix {:?}, {}", re.suffix(), at());
                }
            }
        }
    }

    #[test]
    fn templates_are_filled_in_as_by_go() {
        for line in include_str!("../testdata/expand.jsonl").lines() {
            let [pattern, text, template, want]: [String; 4] = serde_json::from_str(line).unwrap();
            let got = Regex::new(&pattern).unwrap().expand(&text, &template);
            assert_eq!(got, Some(want), "{line}");
        }
    }

    #[test]
    fn finite_sets_prefixes_and_suffixes_are_taken_out() {
        let literals = |p: &str| Regex::new(p).unwrap().literals().map(<[String]>::to_vec);
        assert_eq!(literals("b|a|b").unwrap(), ["a", "b"]);
        assert_eq!(literals("^foo(bar|-[12])?$").unwrap(), ["foo", "foo-1", "foo-2", "foobar"]);
        assert_eq!(literals("(?i)ab").unwrap(), ["AB", "Ab", "aB", "ab"]);
        assert_eq!(literals("").unwrap(), [""]);
        assert_eq!(literals("a{0,2}").unwrap(), ["", "a", "aa"]);
        assert_eq!(literals("[^\\x00-\\x{10FFFF}]").unwrap(), [""; 0]);
        assert_eq!(literals("[^\\x00-\\x{D7FF}\\x{E000}-\\x{10FFFF}]").unwrap(), [""; 0]);
        assert_eq!(literals(".*"), None);
        assert_eq!(literals("[a-z]{3}"), None);
        let many: Vec<String> = (0..5000).map(|n| format!("10.0.0.{n}:9100")).collect();
        assert_eq!(literals(&many.join("|").replace('.', "\\.")).map(|l| l.len()), Some(5000));

        let ends = |p: &str| {
            let re = Regex::new(p).unwrap();
            (re.prefix().to_owned(), re.suffix().to_owned())
        };
        assert_eq!(ends("foo.*"), ("foo".into(), String::new()));
        assert_eq!(ends(".+bar"), (String::new(), "bar".into()));
        assert_eq!(ends("foo(a|b)+x.*[0-9]bar"), ("foo".into(), "bar".into()));
        assert_eq!(ends("(foo|fob)\\d+é"), ("fo".into(), "é".into()));
    }

    #[test]
    fn patterns_that_would_take_too_much_memory_or_depth_are_refused() {
        let too_large = Regex::new(r"(?:\pL{30}){30}x").unwrap_err().to_string();
        assert_eq!(too_large, r"error parsing regexp: expression too large: `(?:\pL{30}){30}x`");
        let deep = format!("{}a{}", "(".repeat(2000), ")".repeat(2000));
        assert!(Regex::new(&deep).unwrap_err().to_string().contains("expression nests too deeply"));
        let deep_enough = format!("{}[a-z]+{}", "(".repeat(240), ")".repeat(240));
        assert!(Regex::new(&deep_enough).unwrap().is_match("abc"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

        #[test]
        fn no_pattern_panics(pattern in r"[\\\[\]\(\){}|*+?.^$a-c0-3:,<>PQEpdwi!é-]{0,16}", text in "[a-c0-3é\n]{0,6}") {
            if let Ok(re) = Regex::new(&pattern) {
                let captures = re.captures(&text);
                proptest::prop_assert_eq!(captures.is_some(), re.is_match(&text));
            }
        }
    }
}
