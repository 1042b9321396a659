//! Templates with filters added to their actions, each for where in the document it stands: Go's `html/template`.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, Delimiter, State, UrlPart};
use super::filters::Filter;
use crate::tree::{Branch, Command, List, Node, Pipe, Source, Term, TermKind, Tree};

/// A template whose output could not be made safe. The message is near Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("html/template:{0}")]
pub struct EscapeError(String);

type Escaped<T> = Result<T, EscapeError>;

/// The template `name` and those that it executes, with filters; those that are executed in other contexts than text
/// under names of their own.
///
/// # Errors
/// When a place's context cannot be known.
pub(crate) fn escape<'t>(
    trees: &'t BTreeMap<String, Tree>,
    name: &'t str,
) -> Escaped<BTreeMap<String, Tree>> {
    let mut escaper = Escaper::new(trees, Memory::default(), name);
    let place = Place { source: None, at: 0, name };
    let (context, _) = escaper.template(&Context::default(), name, &place)?;
    if context.state != State::Text {
        return Err(place.error(&format!("ends in a non-text context: {context}")));
    }
    // Templates that are executed by name only are made safe as text, too, each for itself.
    let mut escaped = escaper.escaped;
    for name in trees.keys().filter(|name| !escaped.outputs.contains_key(*name)).collect::<Vec<_>>() {
        let place = Place { source: None, at: 0, name };
        let mut escaper = Escaper::new(trees, escaped.clone(), name);
        if let Ok((Context { state: State::Text, .. }, _)) =
            escaper.template(&Context::default(), name, &place)
        {
            escaped = escaper.escaped;
        }
    }
    Ok(escaped.trees)
}

/// Of what errors speak.
#[derive(Clone, Copy)]
struct Place<'t> {
    source: Option<&'t Source>,
    at: usize,
    name: &'t str,
}

impl Place<'_> {
    fn error(&self, message: &str) -> EscapeError {
        let place = self.source.map_or_else(|| self.name.to_owned(), |source| source.place(self.at));
        EscapeError(format!("{place}: {message}"))
    }
}

/// What is known about templates that were escaped.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// Context behind each.
    outputs: BTreeMap<String, Context>,
    called: BTreeSet<String>,
    trees: BTreeMap<String, Tree>,
}

struct Escaper<'t> {
    trees: &'t BTreeMap<String, Tree>,
    escaped: Memory,
    /// The `break`s and `continue`s of each range that one is in.
    ranges: Vec<Vec<Exit>>,
    /// The template that is asked for.
    top: &'t str,
    depth: usize,
    steps: usize,
}

/// How deeply nodes and templates may stand within one another: what the stack of a thread has room for.
const MAX_DEPTH: usize = 250;
/// A template within another counts for this many nodes.
const TEMPLATE_DEPTH: usize = 5;
/// Nodes that may be looked at; each range is looked at twice for each range that it is in.
const MAX_STEPS: usize = 1_000_000;

/// A way out of a round of a range.
struct Exit {
    at: usize,
    word: &'static str,
    context: Context,
}

impl<'t> Escaper<'t> {
    fn new(trees: &'t BTreeMap<String, Tree>, escaped: Memory, top: &'t str) -> Self {
        Escaper { trees, escaped, ranges: Vec::new(), top, depth: 0, steps: 0 }
    }

    /// The context behind the template `name` executed in `context`, and the name of that variant of it.
    fn template(&mut self, context: &Context, name: &str, place: &Place<'_>) -> Escaped<(Context, String)> {
        let variant = if context.state == State::Text {
            name.to_owned()
        } else {
            format!("{name}$htmltemplate_{context}")
        };
        self.escaped.called.insert(variant.clone());
        if let Some(output) = self.escaped.outputs.get(&variant) {
            return Ok((output.clone(), variant));
        }
        let Some((name, tree)) = self.trees.get_key_value(name) else {
            return Err(place.error(&format!("no such template {}", model::number::quote(name))));
        };
        // A template that executes itself ends where it began; if not, where its first pass ended.
        let (ended, settled) = self.body(context, &variant, name, tree)?;
        if settled {
            return Ok((ended, variant));
        }
        let (ended, settled) = self.body(&ended, &variant, name, tree)?;
        if settled {
            return Ok((ended, variant));
        }
        Err(place.error(&format!("cannot compute output context for template {name}")))
    }

    /// One pass over a template, taken for one that ends in the context in which it begins. Whether that was right, or
    /// of no matter.
    fn body(
        &mut self,
        context: &Context,
        variant: &str,
        name: &'t str,
        tree: &'t Tree,
    ) -> Escaped<(Context, bool)> {
        let before = self.escaped.clone();
        self.escaped.called.clear();
        self.escaped.outputs.insert(variant.to_owned(), context.clone());
        let ranges = std::mem::take(&mut self.ranges);
        self.depth += TEMPLATE_DEPTH;
        let (ended, root) =
            self.list(context.clone(), &tree.root, &Place { source: Some(&tree.source), at: 0, name })?;
        self.depth -= TEMPLATE_DEPTH;
        self.ranges = ranges;
        let settled = !self.escaped.called.contains(variant) || ended == *context;
        if !settled {
            self.escaped = before;
            return Ok((ended, false));
        }
        self.escaped.called.extend(before.called);
        self.escaped.outputs.insert(variant.to_owned(), ended.clone());
        self.escaped.trees.insert(variant.to_owned(), Tree { source: tree.source.clone(), root });
        Ok((ended, true))
    }

    fn list(&mut self, mut context: Context, list: &List, place: &Place<'t>) -> Escaped<(Context, List)> {
        let mut escaped = List::with_capacity(list.len());
        let mut nodes = list.iter();
        for node in nodes.by_ref() {
            let (after, node) = self.node(context, node, place)?;
            context = after;
            escaped.push(node);
            if context.state == State::Dead {
                break;
            }
        }
        // What cannot be reached stays as it is.
        escaped.extend(nodes.cloned());
        Ok((context, escaped))
    }

    fn node(&mut self, context: Context, node: &Node, place: &Place<'t>) -> Escaped<(Context, Node)> {
        self.steps += 1;
        if self.depth >= MAX_DEPTH || self.steps > MAX_STEPS {
            return Err(place.error("too much is nested to know the context of everything"));
        }
        self.depth += 1;
        let escaped = self.node_in_its_place(context, node, place);
        self.depth -= 1;
        escaped
    }

    fn node_in_its_place(
        &mut self,
        context: Context,
        node: &Node,
        place: &Place<'t>,
    ) -> Escaped<(Context, Node)> {
        match node {
            Node::Text { text } => {
                let (context, text) = escape_text(context, text.as_bytes())
                    .map_err(|why| Place { source: None, at: 0, name: self.top }.error(&why))?;
                Ok((context, Node::Text { text: String::from_utf8_lossy(&text).into() }))
            }
            Node::Action { pipe } => {
                let (context, pipe) = action(context, pipe, &Place { at: pipe.at, ..*place })?;
                Ok((context, Node::Action { pipe }))
            }
            Node::If(branch) => self.branch(context, branch, "if", place).map(|(c, b)| (c, Node::If(b))),
            Node::With(branch) => {
                self.branch(context, branch, "with", place).map(|(c, b)| (c, Node::With(b)))
            }
            Node::Range(branch) => self.range(context, branch, place).map(|(c, b)| (c, Node::Range(b))),
            Node::Template { at, name, pipe } => {
                let (context, name) = self.template(&context, name, &Place { at: *at, ..*place })?;
                Ok((context, Node::Template { at: *at, name, pipe: pipe.clone() }))
            }
            Node::Break { at } | Node::Continue { at } => {
                let word = if matches!(node, Node::Break { .. }) { "break" } else { "continue" };
                if let Some(exits) = self.ranges.last_mut() {
                    exits.push(Exit { at: *at, word, context });
                }
                Ok((Context::of(State::Dead), node.clone()))
            }
        }
    }

    fn branch(
        &mut self,
        context: Context,
        branch: &Branch,
        word: &str,
        place: &Place<'t>,
    ) -> Escaped<(Context, Box<Branch>)> {
        let place = Place { at: branch.at, ..*place };
        let (then_context, then) = self.list(context.clone(), &branch.then, &place)?;
        let (else_context, otherwise) = self.otherwise(context, branch, &place)?;
        let context = join(then_context, else_context, word).map_err(|why| place.error(&why))?;
        Ok((context, Box::new(Branch { at: branch.at, pipe: branch.pipe.clone(), then, otherwise })))
    }

    fn otherwise(
        &mut self,
        context: Context,
        branch: &Branch,
        place: &Place<'t>,
    ) -> Escaped<(Context, Option<List>)> {
        match &branch.otherwise {
            Some(list) => self.list(context, list, place).map(|(context, list)| (context, Some(list))),
            None => Ok((context, None)),
        }
    }

    fn range(
        &mut self,
        context: Context,
        branch: &Branch,
        place: &Place<'t>,
    ) -> Escaped<(Context, Box<Branch>)> {
        let place = Place { at: branch.at, ..*place };
        let (once, then) = self.round(context.clone(), branch, &place)?;
        // The second round must leave off where the first did.
        let before = self.escaped.clone();
        let (twice, _) = self.round(once.clone(), branch, &place)?;
        self.escaped = before;
        let around = join(once, twice, "range")
            .map_err(|why| place.error(&format!("on range loop re-entry: {why}")))?;
        let (else_context, otherwise) = self.otherwise(context, branch, &place)?;
        let context = join(around, else_context, "range").map_err(|why| place.error(&why))?;
        Ok((context, Box::new(Branch { at: branch.at, pipe: branch.pipe.clone(), then, otherwise })))
    }

    /// One round of a range, joined with the contexts in which it may be left.
    fn round(&mut self, context: Context, branch: &Branch, place: &Place<'t>) -> Escaped<(Context, List)> {
        self.ranges.push(Vec::new());
        let (mut after, then) = self.list(context, &branch.then, place)?;
        for Exit { at, word, context } in self.ranges.pop().unwrap_or_default() {
            after = join(after, context, "range")
                .map_err(|why| Place { at, ..*place }.error(&format!("at range loop {word}: {why}")))?;
        }
        Ok((after, then))
    }
}

/// The context behind two branches, of which either may have been taken.
fn join(a: Context, b: Context, word: &str) -> Result<Context, String> {
    if a.state == State::Dead || a == b {
        return Ok(b);
    }
    if b.state == State::Dead {
        return Ok(a);
    }
    if (Context { url_part: b.url_part, ..a.clone() }) == b {
        return Ok(Context { url_part: UrlPart::Unknown, ..b });
    }
    if (Context { slash: b.slash, ..a.clone() }) == b {
        return Ok(Context { slash: super::context::Slash::Unknown, ..b });
    }
    let (nudged_a, nudged_b) = (a.clone().nudged(), b.clone().nudged());
    if (nudged_a != a || nudged_b != b)
        && let Ok(joined) = join(nudged_a, nudged_b, word)
    {
        return Ok(joined);
    }
    Err(format!("{{{{{word}}}}} branches end in different contexts: {a}, {b}"))
}

/// An action with the filters for its context, and the context behind it.
fn action(context: Context, pipe: &Pipe, place: &Place<'_>) -> Escaped<(Context, Pipe)> {
    if !pipe.variables.is_empty() {
        return Ok((context, pipe.clone()));
    }
    let mut context = context.nudged();
    for (i, command) in pipe.commands.iter().enumerate() {
        let Some(name @ ("html" | "urlquery")) = identifier(command) else {
            continue;
        };
        let unquoted = context.state == State::Attribute && context.delimiter == Delimiter::SpaceOrTagEnd;
        if i + 1 < pipe.commands.len() || (unquoted && name == "html") {
            let name = model::number::quote(name);
            return Err(place.error(&format!("predefined escaper {name} disallowed in template")));
        }
    }
    let mut filters = Vec::with_capacity(3);
    match context.state {
        State::Url
        | State::CssDoubleQuoted
        | State::CssSingleQuoted
        | State::CssDoubleQuotedUrl
        | State::CssSingleQuotedUrl
        | State::CssUrl => {
            if context.url_part == UrlPart::None {
                filters.push(Filter::UrlProtocol);
            }
            match context.url_part {
                UrlPart::None | UrlPart::PreQuery => filters.push(match context.state {
                    State::CssDoubleQuoted | State::CssSingleQuoted => Filter::Css,
                    _ => Filter::UrlNormalized,
                }),
                UrlPart::QueryOrFragment => filters.push(Filter::Url),
                UrlPart::Unknown => {
                    return Err(
                        place.error(&format!("{{{{{pipe}}}}} appears in an ambiguous context within a URL"))
                    );
                }
            }
        }
        State::MetaContentUrl => filters.push(Filter::UrlProtocol),
        State::MetaContent | State::Attribute | State::Dead => {}
        State::Js => {
            filters.push(Filter::JsValue);
            context.slash = super::context::Slash::Division;
        }
        State::JsDoubleQuoted | State::JsSingleQuoted => filters.push(Filter::JsString),
        State::JsTemplate => filters.push(Filter::JsTemplate),
        State::JsRegexp => filters.push(Filter::JsRegexp),
        State::Css => filters.push(Filter::CssValue),
        State::Text => filters.push(Filter::Html),
        State::RcData => filters.push(Filter::RcData),
        State::AttributeName | State::Tag | State::AfterName | State::BeforeValue => {
            context.state = State::AttributeName;
            filters.push(Filter::HtmlName);
        }
        State::Srcset => filters.push(Filter::Srcset),
        State::HtmlComment
        | State::JsBlockComment
        | State::JsLineComment
        | State::JsHtmlOpenComment
        | State::JsHtmlCloseComment
        | State::CssBlockComment
        | State::CssLineComment => filters.push(Filter::Comment),
    }
    match context.delimiter {
        Delimiter::None => {}
        Delimiter::SpaceOrTagEnd => filters.push(Filter::NoSpace),
        Delimiter::DoubleQuote | Delimiter::SingleQuote => filters.push(Filter::Attribute),
    }
    Ok((context, filtered(pipe, &filters)))
}

fn identifier(command: &Command) -> Option<&str> {
    match command.terms.first().map(|term| &term.kind) {
        Some(TermKind::Identifier(name)) => Some(name),
        _ => None,
    }
}

/// Filters of which one makes another needless count as the same.
fn kind(name: &str) -> &str {
    match Filter::of(name) {
        Some(Filter::Attribute | Filter::Html | Filter::RcData) => "html",
        Some(Filter::Url | Filter::UrlNormalized) => "urlquery",
        _ => name,
    }
}

fn is_redundant(last: &str, next: Filter) -> bool {
    match Filter::of(last) {
        Some(Filter::Comment) => matches!(next, Filter::Attribute | Filter::Html),
        Some(Filter::Css | Filter::JsRegexp | Filter::JsString | Filter::JsTemplate) => {
            next == Filter::Attribute
        }
        Some(Filter::Url) => next == Filter::UrlNormalized,
        _ => false,
    }
}

/// `pipe` with `filters` behind it, in the place of what the author put there for the same.
fn filtered(pipe: &Pipe, filters: &[Filter]) -> Pipe {
    let mut pipe = pipe.clone();
    let command = |name: &str, at| Command {
        at,
        terms: vec![Term { at, kind: TermKind::Identifier(name.to_owned()) }],
    };
    let mut names: Vec<String> = filters.iter().map(|filter| filter.name().to_owned()).collect();
    let last = pipe.commands.last().and_then(identifier).map(str::to_owned);
    if let Some(own) = last.filter(|name| matches!(name.as_str(), "html" | "urlquery")) {
        let only = pipe.commands.len() == 1;
        if let Some(last) = pipe.commands.last_mut().filter(|last| only && last.terms.len() > 1) {
            // `html .A .B`: first one text, then the filter.
            if let Some(first) = last.terms.first_mut() {
                first.kind = TermKind::Identifier(Filter::Joined.name().to_owned());
            }
            pipe.commands.push(command(&own, pipe.at));
        }
        let mut replaced = false;
        for name in names.iter_mut().filter(|name| kind(name) == own) {
            name.clone_from(&own);
            replaced = true;
        }
        if replaced {
            pipe.commands.pop();
        }
    }
    let present: BTreeSet<String> =
        pipe.commands.iter().filter_map(identifier).map(|name| kind(name).to_owned()).collect();
    for name in names {
        if present.contains(kind(&name)) {
            continue;
        }
        let last = pipe.commands.last().and_then(identifier).unwrap_or_default();
        if Filter::of(&name).is_some_and(|filter| is_redundant(last, filter)) {
            continue;
        }
        pipe.commands.push(command(&name, pipe.at));
    }
    pipe
}

/// Text of a template as it goes into the document: without comments, and no tag where none can be.
fn escape_text(mut context: Context, text: &[u8]) -> Result<(Context, Vec<u8>), String> {
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut written) = (0, 0);
    let piece = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    while at < text.len() {
        let rest = piece(at, text.len());
        let (after, read) = context.clone().after(rest)?;
        let end = at + read;
        if matches!(context.state, State::Text | State::RcData) {
            let mut plain = end;
            if after.state != context.state {
                plain = piece(at, end).iter().rposition(|byte| *byte == b'<').map_or(end, |tag| at + tag);
            }
            for lone in at..plain {
                let here = piece(lone, text.len());
                let doctype = here.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"<!doctype"));
                if here.first() == Some(&b'<') && !doctype {
                    out.extend_from_slice(piece(written, lone));
                    out.extend_from_slice(b"&lt;");
                    written = lone + 1;
                }
            }
        } else if context.state.is_comment() && context.delimiter == Delimiter::None {
            match context.state {
                State::JsBlockComment => {
                    let comment = String::from_utf8_lossy(piece(written, end));
                    let lines = comment.contains(['\n', '\r', '\u{2028}', '\u{2029}']);
                    out.push(if lines { b'\n' } else { b' ' });
                }
                State::CssBlockComment => out.push(b' '),
                _ => {}
            }
            written = end;
        }
        if after.state != context.state && after.state.is_comment() && after.delimiter == Delimiter::None {
            let opening = match after.state {
                State::HtmlComment | State::JsHtmlOpenComment => 4,
                State::JsHtmlCloseComment => 3,
                _ => 2,
            };
            out.extend_from_slice(piece(written, end.saturating_sub(opening)));
            written = end;
        }
        if context.state.is_script_literal() {
            let literal = piece(at, end);
            if let Some(escaped) = without_script_tags(literal) {
                out.extend_from_slice(piece(written, at));
                out.extend_from_slice(&escaped);
                written = end;
            }
        }
        if read == 0 && after == context {
            return Err(format!("no way on from {context}"));
        }
        (context, at) = (after, end);
    }
    if !context.state.is_comment() || context.delimiter != Delimiter::None {
        out.extend_from_slice(piece(written, text.len()));
    }
    Ok((context, out))
}

/// `<script`, `</script` and `<!--` in a literal of a script with the first character as a number; `None` without any.
fn without_script_tags(literal: &[u8]) -> Option<Vec<u8>> {
    let begins =
        |text: &[u8], word: &[u8]| text.get(..word.len()).is_some_and(|t| t.eq_ignore_ascii_case(word));
    let mut out = Vec::with_capacity(literal.len());
    let mut found = false;
    for (at, byte) in literal.iter().enumerate() {
        let rest = literal.get(at..).unwrap_or_default();
        if begins(rest, b"<script") || begins(rest, b"</script") || begins(rest, b"<!--") {
            out.extend_from_slice(b"\\x3C");
            found = true;
        } else {
            out.push(*byte);
        }
    }
    found.then_some(out)
}
