//! The parser's refusals in the words of Go's YAML package, with the line that it would name.
//!
//! Go names the line of a mistake one too low where its grammar, not its scanner, found it, and names none for
//! the first line. Programs compare that text; the place for people is the right one.

use granit_parser::{ErrorKind, ScanError};

use super::node::{Place, SyntaxError};

/// Which half of Go's parser finds a mistake.
#[derive(Clone, Copy, PartialEq)]
enum Finder {
    Scanner,
    Grammar,
}

const NO_CONTENT: &str = "did not find expected node content";

/// Words an error as Go does where the two parsers see the same mistake, else in the parser's own words.
///
/// `within` is where the innermost open collection begins: version 3 of Go's package names the line before that.
pub(super) fn explain(err: &ScanError, text: &str, within: Option<Place>) -> SyntaxError {
    use Finder::{Grammar, Scanner};
    let marker = err.marker();
    let column = match err.kind() {
        // The parser stands behind the tab.
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation => text
            .lines()
            .nth(marker.line().saturating_sub(1))
            .and_then(|l| l.chars().position(|c| c == '\t'))
            .unwrap_or(marker.col()),
        _ => marker.col(),
    };
    let place = Place { line: marker.line(), column: column + 1 };
    let own = err.info();
    let own = own
        .split_once(", ")
        .filter(|(context, _)| context.starts_with("while "))
        .map_or(own.as_str(), |(_, w)| w);
    // Lines are counted from 0 here; past the end of a text a new line begins.
    let end = text.matches('\n').count() + usize::from(!text.ends_with('\n'));
    let here = marker.line().saturating_sub(1);
    let (message, finder, line) = match err.kind() {
        ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEof => (unclosed(err.kind(), text), Grammar, end),
        ErrorKind::ExpectedNodeContent => (NO_CONTENT, Grammar, here),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::InvalidIndentation
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => ("did not find expected key", Grammar, here),
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::UnexpectedEofBlockSequence => {
            ("did not find expected '-' indicator", Grammar, here)
        }
        ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::InvalidColonPlacement => {
            ("did not find expected ',' or ']'", Grammar, here)
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::FlowMappingValueAdjacentCollection => {
            ("did not find expected ',' or '}'", Grammar, here)
        }
        ErrorKind::CommentInterceptedScalar => {
            // The comment ends the scalar; what is deeper than a key below it is none.
            ("did not find expected key", Grammar, next_content(text, marker.line()).unwrap_or(here))
        }
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::UnexpectedCharacter { .. } => {
            ("found character that cannot start any token", Scanner, here)
        }
        ErrorKind::UnclosedQuotedScalar | ErrorKind::InvalidQuotedScalarIndent => {
            ("found unexpected end of stream", Scanner, if text.contains('\n') { end } else { 0 })
        }
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => {
            // Go notices at the next token, which may stand some lines below.
            let next = next_content(text, marker.line());
            ("could not find expected ':'", Scanner, next.unwrap_or(here + usize::from(here + 1 == end)))
        }
        ErrorKind::TabInPlainScalar => {
            let tab = (here..end).find(|&i| begins_with_tab(text, i));
            ("found a tab character that violates indentation", Scanner, tab.unwrap_or(here))
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, .. } => {
            let before: String = text.lines().nth(here).unwrap_or("").chars().take(marker.col()).collect();
            let message = match open {
                _ if before.trim_end().ends_with(['[', '{', ',']) => NO_CONTENT,
                '[' => "did not find expected ',' or ']'",
                _ => "did not find expected ',' or '}'",
            };
            (message, Grammar, here)
        }
        ErrorKind::InvalidQuotedScalarHexEscape => ("did not find expected hexdecimal number", Scanner, here),
        ErrorKind::UnknownAnchor => return unknown_anchor(text, place),
        _ => (own, Scanner, here),
    };
    let of_collection = message.starts_with("did not find expected") && message != NO_CONTENT;
    let line = match within {
        Some(Place { line: begin, .. }) if of_collection && begin > 1 => begin - 1,
        _ => line,
    };
    let message = match (line, finder) {
        (0, _) => format!("yaml: {message}"),
        (line, Grammar) => format!("yaml: line {line}: {message}"),
        (line, Scanner) => format!("yaml: line {}: {message}", line + 1),
    };
    SyntaxError { message, place }
}

/// The next line from `from` on, counted from 0, that is neither blank nor a comment.
fn next_content(text: &str, from: usize) -> Option<usize> {
    let mut lines = text.lines().enumerate().skip(from);
    lines.find(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#')).map(|(i, _)| i)
}

fn begins_with_tab(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line).unwrap_or("");
    line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t')
}

/// Refuses what Go's reader refuses before it looks at the structure, and a tab before the first token, which our
/// parser lets pass.
pub(super) fn check_characters(text: &str) -> Result<(), SyntaxError> {
    let refused = |line: usize, column: usize, message: String| {
        Err(SyntaxError { message, place: Place { line: line + 1, column: column + 1 } })
    };
    for (i, line) in text.split('\n').enumerate() {
        if let Some(column) = line.chars().position(|c| !is_printable(c)) {
            return refused(i, column, "yaml: control characters are not allowed".into());
        }
    }
    if let Some(i) = next_content(text, 0)
        && let Some(line) = text.lines().nth(i)
        && let Some(column) = line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t')
    {
        let place = if i == 0 { String::new() } else { format!("line {}: ", i + 1) };
        return refused(i, column, format!("yaml: {place}found character that cannot start any token"));
    }
    Ok(())
}

fn is_printable(c: char) -> bool {
    matches!(c, '\t' | '\r' | '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// What Go misses at the end of a text with an open bracket: another element, or the bracket.
fn unclosed(kind: &ErrorKind, text: &str) -> &'static str {
    let in_sequence = matches!(
        kind,
        ErrorKind::UnexpectedEofFlowSequence | ErrorKind::UnclosedFlowCollection { open: '[' }
    );
    let wants_element = text.trim_end().ends_with(['[', '{', ',']);
    match (wants_element, in_sequence) {
        (true, _) => NO_CONTENT,
        (false, true) => "did not find expected ',' or ']'",
        (false, false) => "did not find expected ',' or '}'",
    }
}

fn unknown_anchor(text: &str, place: Place) -> SyntaxError {
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or("");
    let name: String = line
        .chars()
        .skip(place.column)
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        .collect();
    SyntaxError { message: format!("yaml: unknown anchor '{name}' referenced"), place }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn mistakes_are_told_in_gos_words() {
        for (text, message) in [
            ("g:\nscrape: 15s # why\n  external: x\n", "yaml: line 2: did not find expected key"),
            ("g:\n  scrape:15s # why\n  external:\n    x: y\n", "yaml: line 2: did not find expected key"),
        ] {
            assert_eq!(parse(text).unwrap_err().message, message, "{text}");
        }
    }
}
