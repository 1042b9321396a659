//! RE2 syntax to `regex-syntax`'s intermediate form.
//!
//! Go's `regexp/syntax` with the flags `Perl`: what it accepts, what it means and how it words its refusals.
//! One pass over the pattern; open groups are on an explicit stack, so nesting costs heap, not call stack.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Dot, Hir, Look, Repetition};

use super::RegexError;
use super::class;

/// Copies of the innermost part that nested `{n,m}` may add up to.
const MAX_REPEAT: u32 = 1000;
/// Depth of the expression tree. Go allows 1000; what walks the tree here recurses on stacks of 2 MB.
const MAX_HEIGHT: u32 = 250;

/// A parsed expression.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// Names of the groups by number; the whole match, number 0, and unnamed groups have none.
    pub(super) groups: Vec<Option<Box<str>>>,
    /// `\Q` without `\E`: whatever is appended to the pattern would be quoted too.
    pub(super) open_quote: bool,
}

pub(super) fn error(what: &str, expr: &str) -> RegexError {
    RegexError(format!("{what}: `{expr}`"))
}

#[derive(Debug, Clone, Copy)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
    swap_greed: bool,
}

/// An expression, with what is needed to refuse ones that are too large.
struct Node {
    hir: Hir,
    /// Copies of its innermost part that its counted repetitions make.
    copies: u32,
    height: u32,
}

impl Node {
    fn leaf(hir: Hir) -> Self {
        Node { hir, copies: 1, height: 1 }
    }

    /// Joins several nodes under one parent; one alone needs no parent.
    fn join(mut nodes: Vec<Node>, parent: fn(Vec<Hir>) -> Hir) -> Self {
        if nodes.len() == 1
            && let Some(only) = nodes.pop()
        {
            return only;
        }
        let copies = nodes.iter().map(|n| n.copies).max().unwrap_or(1);
        let height = nodes.iter().map(|n| n.height).max().unwrap_or(0) + 1;
        Node { hir: parent(nodes.into_iter().map(|n| n.hir).collect()), copies, height }
    }
}

/// A group whose parenthesis is open; the outermost one is the pattern itself.
struct Frame {
    /// Finished branches of the alternation.
    branches: Vec<Node>,
    /// The branch that is being read.
    sequence: Vec<Node>,
    /// Number of the capture, for capturing groups.
    capture: Option<u32>,
    /// To be restored after the closing parenthesis.
    flags_outside: Flags,
}

impl Frame {
    fn new(capture: Option<u32>, flags_outside: Flags) -> Self {
        Frame { branches: Vec::new(), sequence: Vec::new(), capture, flags_outside }
    }

    fn end_branch(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        self.branches.push(Node::join(sequence, Hir::concat));
    }

    fn finish(mut self) -> Node {
        self.end_branch();
        let inner = Node::join(self.branches, Hir::alternation);
        let Some(index) = self.capture else { return inner };
        let Node { hir, copies, height } = inner;
        // Names stay outside the intermediate form, which does not allow one name twice.
        let hir = Hir::capture(Capture { index, name: None, sub: Box::new(hir) });
        Node { hir, copies, height: height + 1 }
    }
}

struct Parser<'a> {
    pattern: &'a str,
    rest: &'a str,
    flags: Flags,
    open: Vec<Frame>,
    /// The group that is being read.
    frame: Frame,
    groups: Vec<Option<Box<str>>>,
    open_quote: bool,
}

/// Parses `pattern`; with `dot_matches_newline` as if it stood in `(?s:…)`.
pub(super) fn parse(pattern: &str, dot_matches_newline: bool) -> Result<Parsed, RegexError> {
    let flags = Flags { fold_case: false, multi_line: false, dot_matches_newline, swap_greed: false };
    let mut parser = Parser {
        pattern,
        rest: pattern,
        flags,
        open: Vec::new(),
        frame: Frame::new(None, flags),
        groups: vec![None],
        open_quote: false,
    };
    // Where the repetition operator that was read last began, if nothing came after it.
    let mut last_repeat = None;
    while let Some(c) = parser.rest.chars().next() {
        last_repeat = parser.step(c, last_repeat)?;
    }
    if !parser.open.is_empty() {
        return Err(error("missing closing )", pattern));
    }
    let Parser { frame, groups, open_quote, .. } = parser;
    let node = frame.finish();
    if node.height > MAX_HEIGHT {
        return Err(error("expression nests too deeply", pattern));
    }
    Ok(Parsed { hir: node.hir, groups, open_quote })
}

impl<'a> Parser<'a> {
    /// Reads one element; returns the text from its start if it was a repetition operator.
    fn step(&mut self, c: char, last_repeat: Option<&'a str>) -> Result<Option<&'a str>, RegexError> {
        let start = self.rest;
        let after = &start[c.len_utf8()..];
        match c {
            '(' => self.open_group()?,
            '|' => {
                self.rest = after;
                self.frame.end_branch();
            }
            ')' => {
                self.rest = after;
                self.close_group()?;
            }
            '^' => {
                self.rest = after;
                self.push(Hir::look(if self.flags.multi_line { Look::StartLF } else { Look::Start }))?;
            }
            '$' => {
                self.rest = after;
                self.push(Hir::look(if self.flags.multi_line { Look::EndLF } else { Look::End }))?;
            }
            '.' => {
                self.rest = after;
                let dot = if self.flags.dot_matches_newline { Dot::AnyChar } else { Dot::AnyCharExceptLF };
                self.push(Hir::dot(dot))?;
            }
            '[' => {
                let (class, rest) = class::bracketed(start, self.flags.fold_case)?;
                self.rest = rest;
                self.push_class(class)?;
            }
            '*' | '+' | '?' => {
                self.rest = after;
                let (min, max) = match c {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                self.repeat(min, max, false, start, last_repeat)?;
                return Ok(Some(start));
            }
            '{' => {
                let Some((min, max, rest)) = counts(start) else {
                    self.rest = after;
                    self.push_literal('{'.into())?;
                    return Ok(None);
                };
                let text = &start[..start.len() - rest.len()];
                if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || min > max) {
                    return Err(error("invalid repeat count", text));
                }
                self.rest = rest;
                self.repeat(min, max, true, start, last_repeat)?;
                return Ok(Some(start));
            }
            '\\' => self.escape(start)?,
            c => {
                self.rest = after;
                self.push_literal(c.into())?;
            }
        }
        Ok(None)
    }

    fn push(&mut self, hir: Hir) -> Result<(), RegexError> {
        self.push_node(Node::leaf(hir))
    }

    fn push_node(&mut self, node: Node) -> Result<(), RegexError> {
        if node.height > MAX_HEIGHT {
            return Err(error("expression nests too deeply", self.pattern));
        }
        self.frame.sequence.push(node);
        Ok(())
    }

    /// Pushes a code point; a surrogate is none that a text can have.
    fn push_literal(&mut self, code: u32) -> Result<(), RegexError> {
        let Some(c) = char::from_u32(code) else { return self.push(Hir::fail()) };
        if !self.flags.fold_case {
            return self.push(Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()));
        }
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        class::fold(&mut class);
        self.push_class(class)
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), RegexError> {
        self.push(Hir::class(Class::Unicode(class)))
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        let Some(outer) = self.open.pop() else { return Err(error("unexpected )", self.pattern)) };
        let group = std::mem::replace(&mut self.frame, outer);
        self.flags = group.flags_outside;
        self.push_node(group.finish())
    }

    /// Reads what starts with `(`: a capturing group, or `(?` with a name, flags or a colon.
    fn open_group(&mut self) -> Result<(), RegexError> {
        let start = self.rest;
        if !start.starts_with("(?") {
            self.rest = &start[1..];
            self.enter(None);
            return Ok(());
        }
        let named = start.strip_prefix("(?P<").or_else(|| start.strip_prefix("(?<"));
        // The shortest that is taken for a name are `(?<` and `(?P<` with one more character.
        if let Some(named) = named.filter(|n| !n.is_empty()) {
            let Some(end) = named.find('>') else { return Err(error("invalid named capture", start)) };
            let (name, rest) = (&named[..end], &named[end + 1..]);
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(error("invalid named capture", &start[..start.len() - rest.len()]));
            }
            self.rest = rest;
            self.enter(Some(name));
            return Ok(());
        }
        self.flags_or_group(start)
    }

    fn enter(&mut self, name: Option<&str>) {
        let index = self.groups.len() as u32;
        self.groups.push(name.map(Into::into));
        self.enter_frame(Frame::new(Some(index), self.flags));
    }

    fn enter_frame(&mut self, frame: Frame) {
        self.open.push(std::mem::replace(&mut self.frame, frame));
    }

    /// `(?i)`, `(?i-s:`, `(?:`: flags to set, then after a minus flags to clear, then the end or a group.
    fn flags_or_group(&mut self, start: &'a str) -> Result<(), RegexError> {
        let mut flags = self.flags;
        let mut value = true;
        let mut flag_since_minus = true;

        let mut read = start.len();
        for (at, c) in start[2..].char_indices() {
            read = 2 + at + c.len_utf8();
            match c {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_matches_newline = value,
                'U' => flags.swap_greed = value,
                '-' if value => {
                    value = false;
                    flag_since_minus = false;
                    continue;
                }
                ':' | ')' if flag_since_minus => {
                    self.rest = &start[read..];
                    if c == ':' {
                        self.enter_frame(Frame::new(None, self.flags));
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            }
            flag_since_minus = true;
            read = start.len();
        }
        Err(error("invalid or unsupported Perl syntax", &start[..read]))
    }

    /// Repeats the last element. `before` is the text from the operator on.
    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        counted: bool,
        before: &'a str,
        last_repeat: Option<&'a str>,
    ) -> Result<(), RegexError> {
        let mut greedy = !self.flags.swap_greed;
        if let Some(rest) = self.rest.strip_prefix('?') {
            self.rest = rest;
            greedy = !greedy;
        }
        let up_to_here = |from: &'a str| &from[..from.len() - self.rest.len()];
        if let Some(last) = last_repeat {
            return Err(error("invalid nested repetition operator", up_to_here(last)));
        }
        let operator = up_to_here(before);
        let Some(Node { hir, copies, height }) = self.frame.sequence.pop() else {
            return Err(error("missing argument to repetition operator", operator));
        };
        let copies = match (counted, max) {
            (false, _) => copies,
            (true, Some(0)) => 1,
            (true, max) => copies.saturating_mul(max.unwrap_or(min).max(1)),
        };
        if counted && (min >= 2 || max.is_some_and(|m| m >= 2)) && copies > MAX_REPEAT {
            return Err(error("invalid repeat count", operator));
        }
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(hir) });
        self.push_node(Node { hir, copies, height: height + 1 })
    }

    /// Reads what starts with a backslash outside of brackets.
    fn escape(&mut self, start: &'a str) -> Result<(), RegexError> {
        let after = start.get(2..).unwrap_or("");
        match start.as_bytes().get(1) {
            Some(b'C') => return Err(error("invalid escape sequence", &start[..2])),
            Some(b'Q') => {
                let (quoted, rest) = match after.split_once("\\E") {
                    Some(found) => found,
                    None => {
                        self.open_quote = true;
                        (after, "")
                    }
                };
                self.rest = rest;
                return quoted.chars().try_for_each(|c| self.push_literal(c.into()));
            }
            Some(look @ (b'A' | b'z' | b'b' | b'B')) => {
                self.rest = after;
                return self.push(Hir::look(match look {
                    b'A' => Look::Start,
                    b'z' => Look::End,
                    b'b' => Look::WordAscii,
                    _ => Look::WordAsciiNegate,
                }));
            }
            _ => {}
        }
        if let Some((class, rest)) = class::escaped(start, self.flags.fold_case)? {
            self.rest = rest;
            return self.push_class(class);
        }
        let (code, rest) = class::escaped_char(start)?;
        self.rest = rest;
        self.push_literal(code)
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}`; anything else is not a repetition, and its brace stands for itself.
fn counts(text: &str) -> Option<(u32, Option<u32>, &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, Some(min), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = count(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

/// A decimal number without leading zeros; one that is far too large stays too large.
fn count(text: &str) -> Option<(u32, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(len);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}
