//! Refusals: one line in Prometheus' words for programs, and place, reason and remedy for people.

use std::fmt::Write as _;

use crate::masking::masked_line;
use crate::yaml::{Place, Span};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it has a place.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}")]
pub struct ConfigError {
    /// Prometheus' words.
    line: String,
    problems: Vec<Problem>,
    /// The file, when it is not the one that was loaded.
    file: Option<String>,
    text: String,
}

impl ConfigError {
    pub(crate) fn new(line: String, problems: Vec<Problem>, text: &str) -> Self {
        ConfigError { line, problems, file: None, text: text.to_owned() }
    }

    /// Says that it is about another file than the one that was loaded, and adds that to Prometheus' words.
    pub(crate) fn in_file(mut self, file: &str) -> Self {
        self.line = format!("{}: {}", model::number::quote(file), self.line);
        self.file = Some(file.to_owned());
        self
    }

    /// What is wrong, in order of discovery.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// For people: each problem with its place in `file`, the line itself and what would be right.
    #[must_use]
    pub fn report(&self, file: &str) -> String {
        let file = self.file.as_deref().unwrap_or(file);
        report(&self.problems, file, &self.text)
    }
}

/// What the system says, as Go writes it: without capital and number.
pub(crate) fn of_system(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Why a file cannot be read, as Go writes it: `open a.yml: permission denied`.
pub(crate) fn of_reading(path: &str, error: &std::io::Error) -> String {
    // A directory can be opened, and then not be read.
    let call = if error.kind() == std::io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{call} {path}: {}", of_system(error))
}

/// Renders problems beside the lines that they are about.
pub(crate) fn report(problems: &[Problem], file: &str, text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for problem in problems {
        if !out.is_empty() {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "error: {}", problem.message);
        let Some(Span { start, end }) = problem.span else {
            let _ = writeln!(out, "  --> {file}");
            push_help(&mut out, 2, problem.help.as_deref());
            continue;
        };
        let number = start.line.to_string();
        let margin = number.len() + 1;
        let pad = " ".repeat(margin);
        let _ = writeln!(out, "{pad}--> {file}:{}:{}", start.line, start.column);
        if let Some(line) = lines.get(start.line.wrapping_sub(1)) {
            let line = masked_line(line.trim_end());
            let line = line.as_str();
            let carets = "^".repeat(width(line, start, end));
            // Tabs stay tabs, so that the caret stands below its character.
            let indent: String =
                line.chars().take(start.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let _ = writeln!(out, "{pad}|\n{number} | {line}\n{pad}| {indent}{carets}");
        }
        push_help(&mut out, margin, problem.help.as_deref());
    }
    out
}

/// How many characters of the first line are marked.
fn width(line: &str, start: Place, end: Place) -> usize {
    let until = if end.line == start.line { end.column } else { line.chars().count() + 1 };
    until.saturating_sub(start.column).max(1)
}

fn push_help(out: &mut String, margin: usize, help: Option<&str>) {
    if let Some(help) = help {
        let _ = writeln!(out, "{}= help: {help}", " ".repeat(margin));
    }
}

/// The candidate that was probably meant: fewest edits, at most a third of its length.
pub(crate) fn closest<'a>(written: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(written, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= (candidate.len() / 3).max(1))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two texts.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut edits = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                edits = edits.min(before[j - 2] + 1);
            }
            row.push(edits);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_key_is_the_one_that_was_meant() {
        let keys = ["scrape_interval", "scrape_timeout", "scheme", "params", "url"];
        assert_eq!(closest("scrape_intervall", &keys), Some("scrape_interval"));
        assert_eq!(closest("scarpe_timeout", &keys), Some("scrape_timeout"));
        assert_eq!(closest("schema", &keys), Some("scheme"));
        assert_eq!(closest("foo", &keys), None);
    }

    #[test]
    fn a_report_shows_the_line_and_marks_the_place() {
        let span = Span { start: Place { line: 2, column: 3 }, end: Place { line: 2, column: 6 } };
        let problem = Problem { span: Some(span), message: "bad".into(), help: Some("good".into()) };
        let want = "error: bad\n  --> f.yml:2:3\n  |\n2 |   foo: 1\n  |   ^^^\n  = help: good\n";
        assert_eq!(report(&[problem], "f.yml", "a:\n  foo: 1\n"), want);
    }
}
