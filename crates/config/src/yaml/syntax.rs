//! The parser's refusals in the words of Go's YAML package, with the line that it would name.

use granit_parser::{ErrorKind, ScanError};

use super::node::{Place, SyntaxError};

/// Words an error as Go does where the two parsers see the same mistake, else in the parser's own words.
pub(super) fn explain(err: &ScanError, text: &str) -> SyntaxError {
    let marker = err.marker();
    let place = Place { line: marker.line(), column: marker.col() + 1 };
    let own = err.info();
    let message = match err.kind() {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
            "found character that cannot start any token"
        }
        ErrorKind::UnexpectedCharacter { .. } => "found character that cannot start any token",
        ErrorKind::UnexpectedEof
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::ExpectedNodeContent => "did not find expected node content",
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::UnexpectedEofBlockMapping
        | ErrorKind::InvalidIndentation => "did not find expected key",
        ErrorKind::ExpectedBlockSequenceEntry | ErrorKind::UnexpectedEofBlockSequence => {
            "did not find expected '-' indicator"
        }
        ErrorKind::ExpectedFlowSequenceSeparator => "did not find expected ',' or ']'",
        ErrorKind::ExpectedFlowMappingSeparator => "did not find expected ',' or '}'",
        ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey => "could not find expected ':'",
        ErrorKind::UnknownAnchor => return unknown_anchor(text, place),
        _ => own.as_str(),
    };
    // Go counts the end of the text as part of the line before.
    let lines = text.trim_end_matches('\n').matches('\n').count() + 1;
    let line = place.line.min(lines).max(1);
    SyntaxError { message: format!("yaml: line {line}: {message}"), place: Place { line, ..place } }
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
