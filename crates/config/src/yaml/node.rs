//! YAML as a tree that remembers where everything stood.
//!
//! Prometheus' rules need more than a value: a password `0123` is the text as written, a wrong value is quoted in
//! the error, and every complaint names a line. So the events of the parser become this tree and nothing is
//! interpreted before it is asked for.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::syntax;

/// Most nodes that a document may have after its aliases are copied in.
const MAX_NODES: usize = 2_000_000;
/// Deepest nesting of a document.
const MAX_DEPTH: usize = 100;

/// A place in the text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// From here to before there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The first character.
    pub start: Place,
    /// After the last character.
    pub end: Place,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
    /// A tag where one was written, as `!!name` or `!name`.
    pub(crate) tag: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// The text without its quotes, and whether it had none.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// Why a text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// In the words of Go's YAML package.
    pub(crate) message: String,
    pub(crate) place: Place,
}

impl Node {
    /// Whether Go would leave the target at its zero value.
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, plain } => {
                self.tag.as_deref() == Some("!!null")
                    || (self.tag.is_none()
                        && *plain
                        && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
            }
            _ => false,
        }
    }

    /// Whether this is the key `<<`, which takes over other mappings.
    pub(crate) fn is_merge(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if text == "<<")
    }

    /// The value of a key of a mapping; the last one, should it be there twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value of a key of a mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        match &self.kind {
            Kind::Mapping(pairs) => pairs.iter().rev().find(|(k, _)| k.text() == Some(key)),
            _ => None,
        }
    }

    /// The element of a sequence.
    pub(crate) fn index(&self, index: usize) -> Option<&Node> {
        match &self.kind {
            Kind::Sequence(items) => items.get(index),
            _ => None,
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Reads the first document of a text. `None` when there is none.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    read(text, false)
}

/// As [`parse`], with the complaints of version 3 of Go's YAML package.
pub(crate) fn parse_as_version_3(text: &str) -> Result<Option<Node>, SyntaxError> {
    read(text, true)
}

fn read(text: &str, version_3: bool) -> Result<Option<Node>, SyntaxError> {
    syntax::check_characters(text)?;
    let mut builder = Builder { lines: text.lines().collect(), ..Builder::default() };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|err| {
            let within = builder.open.last().filter(|_| version_3);
            syntax::explain(&err, text, within.map(|open| open.node.span.start))
        })?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, of_parser(&span))?;
    }
    Ok(builder.root)
}

/// How many documents a text has; what cannot be read counts as one more.
pub(crate) fn documents(text: &str) -> usize {
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        match event {
            Ok((Event::DocumentStart(..), _)) => count += 1,
            Ok(_) => {}
            Err(_) => return count + 1,
        }
    }
    count
}

fn of_parser(span: &granit_parser::Span) -> Span {
    let place = |m: &granit_parser::Marker| Place { line: m.line(), column: m.col() + 1 };
    Span { start: place(&span.start), end: place(&span.end) }
}

/// A collection that is being read.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<Node>,
}

#[derive(Default)]
struct Builder<'a> {
    lines: Vec<&'a str>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let mut span = span;
                // Nothing after a colon stands behind it.
                if plain && text.is_empty() && self.char_at(span.start) == Some(':') {
                    span.start.column += 1;
                    span.end = span.start;
                }
                if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                    span.start = self.indicator_above(span.start);
                }
                let kind = Kind::Scalar { text: text.into_owned(), plain };
                self.finish(Node { kind, span, tag: tag_name(tag.as_deref()) }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.start(Kind::Sequence(Vec::new()), span, anchor, tag.as_deref())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.start(Kind::Mapping(Vec::new()), span, anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else { return Ok(()) };
                open.node.span.end = span.end;
                self.finish(open.node, open.anchor, 1)
            }
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((node, size)) => self.finish(node, 0, size),
                None => Err(error("anchor value contains itself", span.start)),
            },
            _ => Ok(()),
        }
    }

    fn char_at(&self, place: Place) -> Option<char> {
        self.lines.get(place.line.checked_sub(1)?)?.chars().nth(place.column.checked_sub(1)?)
    }

    /// Where the `|` or `>` of a block of text stands whose content begins at a place: the parser tells of the
    /// content alone.
    fn indicator_above(&self, content: Place) -> Place {
        for (i, line) in self.lines.iter().enumerate().take(content.line).rev() {
            let told = line.split(" #").next().unwrap_or_default().trim_end();
            let head = told.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
            if head.ends_with(['|', '>']) {
                return Place { line: i + 1, column: head.chars().count() };
            }
            if !line.trim().is_empty() && i + 1 < content.line {
                break;
            }
        }
        content
    }

    fn start(&mut self, kind: Kind, span: Span, anchor: usize, tag: Option<&Tag>) -> Result<(), SyntaxError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(error("exceeded max depth", span.start));
        }
        self.open.push(Open { node: Node { kind, span, tag: tag_name(tag) }, anchor, key: None });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize, size: usize) -> Result<(), SyntaxError> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            return Err(error("document contains excessive aliasing", node.span.start));
        }
        if anchor != 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root.get_or_insert(node);
            return Ok(());
        };
        match &mut parent.node.kind {
            Kind::Sequence(items) => items.push(node),
            Kind::Mapping(pairs) => match parent.key.take() {
                Some(key) => pairs.push((key, node)),
                None => parent.key = Some(node),
            },
            Kind::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn error(message: &str, place: Place) -> SyntaxError {
    SyntaxError { message: format!("yaml: {message}"), place }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar { .. } => 0,
        Kind::Sequence(items) => items.iter().map(count).sum(),
        Kind::Mapping(pairs) => pairs.iter().map(|(k, v)| count(k) + count(v)).sum(),
    }
}

fn tag_name(tag: Option<&Tag>) -> Option<String> {
    let tag = tag?;
    let name = match tag.core_suffix() {
        Some(name) => format!("!!{name}"),
        None if tag.handle() == "tag:yaml.org,2002:" => format!("!!{}", tag.suffix()),
        None => format!("{}{}", tag.handle(), tag.suffix()),
    };
    // A lone `!` says no more than quotes do.
    (name != "!").then_some(name)
}
