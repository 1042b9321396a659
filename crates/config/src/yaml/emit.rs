//! Writes YAML as Go's YAML package does: two blanks of indent, sequences not indented, lines folded past 80
//! columns, quotes only where a reader would otherwise see something else.

use super::{Resolved, resolve_plain};

/// What is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    Null,
    /// Written as it is: numbers and booleans.
    Literal(String),
    /// Quoted where needed.
    Text(String),
    Sequence(Vec<Out>),
    /// `[a, b]`
    Flow(Vec<Out>),
    Mapping(Vec<(String, Out)>),
}

/// Past this column lines are folded where they may be.
const BEST_WIDTH: usize = 80;

/// The document as text.
pub(crate) fn to_string(out: &Out) -> String {
    let mut writer = Writer { text: String::new(), column: 0 };
    writer.block(out, 0, Position::Top);
    if writer.column > 0 {
        writer.newline(0);
    }
    writer.text
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq)]
enum Position {
    /// On a line of its own.
    Top,
    /// After `key:`.
    Value,
    /// After `- `.
    Item,
}

struct Writer {
    text: String,
    column: usize,
}

impl Writer {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn newline(&mut self, indent: usize) {
        self.text.push('\n');
        self.column = 0;
        self.push(&" ".repeat(indent));
    }

    /// Writes a node whose own lines begin at `indent`.
    fn block(&mut self, out: &Out, indent: usize, position: Position) {
        let space = if position == Position::Value { " " } else { "" };
        match out {
            Out::Null => {
                self.push(space);
                self.push("null");
            }
            Out::Literal(text) => {
                self.push(space);
                self.push(text);
            }
            Out::Text(text) => {
                self.push(space);
                // Folded lines are indented below the key or the dash.
                let inner = if position == Position::Top { indent } else { indent + 2 };
                self.scalar(text, inner, Context::Block);
            }
            Out::Flow(items) => {
                self.push(space);
                self.flow(items, indent + 2);
            }
            Out::Sequence(items) if items.is_empty() => {
                self.push(space);
                self.push("[]");
            }
            Out::Mapping(pairs) if pairs.is_empty() => {
                self.push(space);
                self.push("{}");
            }
            Out::Sequence(items) => {
                for (i, item) in items.iter().enumerate() {
                    if i > 0 || position == Position::Value {
                        self.newline(indent);
                    }
                    self.push("- ");
                    let inner =
                        if matches!(item, Out::Sequence(_) | Out::Mapping(_)) { indent + 2 } else { indent };
                    self.block(item, inner, Position::Item);
                }
            }
            Out::Mapping(pairs) => {
                let indent = if position == Position::Value { indent + 2 } else { indent };
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 || position == Position::Value {
                        self.newline(indent);
                    }
                    self.scalar(key, indent, Context::Key);
                    self.push(":");
                    self.block(value, indent, Position::Value);
                }
            }
        }
        if position == Position::Top && self.column > 0 {
            self.newline(0);
        }
    }

    fn flow(&mut self, items: &[Out], indent: usize) {
        self.push("[");
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.push(",");
            }
            if self.column > BEST_WIDTH {
                self.newline(indent);
            } else if i > 0 {
                self.push(" ");
            }
            match item {
                Out::Text(text) => self.scalar(text, indent + 2, Context::Flow),
                Out::Literal(text) => self.push(text),
                other => self.block(other, indent, Position::Item),
            }
        }
        self.push("]");
    }

    fn scalar(&mut self, text: &str, indent: usize, context: Context) {
        let allowed = Allowed::of(text);
        let plain = resolve_plain(text) == Resolved::Text && !is_base_60(text);
        let plain_fits = match context {
            Context::Flow => allowed.flow_plain && !text.is_empty(),
            Context::Block => allowed.block_plain,
            Context::Key => allowed.block_plain && !text.is_empty() && !allowed.several_lines,
        };
        if text.contains('\n') && context == Context::Block && allowed.literal {
            self.literal(text, indent);
        } else if plain && plain_fits && !text.contains('\n') {
            self.folded(text, indent, context, "");
        } else if plain && !text.contains('\n') && allowed.single_quoted {
            self.push("'");
            self.folded(&text.replace('\'', "''"), indent, context, "'");
            self.push("'");
        } else {
            self.double_quoted(text, indent, context);
        }
    }

    /// Plain or single-quoted text, broken at single blanks past the best width. Inside quotes neither the first
    /// nor the last character is broken at.
    fn folded(&mut self, text: &str, indent: usize, context: Context, quote: &str) {
        let chars: Vec<char> = text.chars().collect();
        let mut after_blank = false;
        for (i, &c) in chars.iter().enumerate() {
            let inside = quote.is_empty() || (i > 0 && i + 1 < chars.len());
            let next_is_blank = chars.get(i + 1) == Some(&' ');
            let may_break = c == ' ' && !after_blank && !next_is_blank && inside && context != Context::Key;
            after_blank = c == ' ';
            if may_break && self.column > BEST_WIDTH {
                self.newline(indent);
            } else {
                self.push(c.encode_utf8(&mut [0; 4]));
            }
        }
    }

    fn double_quoted(&mut self, text: &str, indent: usize, context: Context) {
        let chars: Vec<char> = text.chars().collect();
        self.push("\"");
        let mut after_blank = false;
        for (i, &c) in chars.iter().enumerate() {
            let blank = c == ' ';
            let may_break = blank && !after_blank && i > 0 && i + 1 < chars.len() && context != Context::Key;
            after_blank = blank;
            if may_break && self.column > BEST_WIDTH {
                self.newline(indent);
                if chars.get(i + 1) == Some(&' ') {
                    self.push("\\");
                }
                continue;
            }
            let escaped = match c {
                '"' => "\\\"".into(),
                '\\' => "\\\\".into(),
                '\0' => "\\0".into(),
                '\x07' => "\\a".into(),
                '\x08' => "\\b".into(),
                '\t' => "\\t".into(),
                '\n' => "\\n".into(),
                '\x0b' => "\\v".into(),
                '\x0c' => "\\f".into(),
                '\r' => "\\r".into(),
                '\x1b' => "\\e".into(),
                '\u{85}' => "\\N".into(),
                '\u{a0}' => "\\_".into(),
                '\u{2028}' => "\\L".into(),
                '\u{2029}' => "\\P".into(),
                c if is_printable(c) => c.to_string(),
                c if (c as u32) <= 0xff => format!("\\x{:02X}", c as u32),
                c if (c as u32) <= 0xffff => format!("\\u{:04X}", c as u32),
                c => format!("\\U{:08X}", c as u32),
            };
            self.push(&escaped);
        }
        self.push("\"");
    }

    /// `|` with the text below it.
    fn literal(&mut self, text: &str, indent: usize) {
        self.push("|");
        if text.starts_with([' ', '\n']) {
            self.push("2");
        }
        let body = match text.strip_suffix('\n') {
            None => {
                self.push("-");
                text
            }
            Some(body) => {
                if body.is_empty() || body.ends_with('\n') {
                    self.push("+");
                }
                body
            }
        };
        for line in body.split('\n') {
            self.newline(if line.is_empty() { 0 } else { indent });
            self.push(line);
        }
    }
}

/// What a scalar stands in.
#[derive(Clone, Copy, PartialEq)]
enum Context {
    Block,
    Flow,
    /// A key of a mapping: on one line.
    Key,
}

/// The notations that keep a text what it is.
struct Allowed {
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
    literal: bool,
    several_lines: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            let (flow_plain, block_plain) = (false, true);
            return Allowed {
                flow_plain,
                block_plain,
                single_quoted: true,
                literal: false,
                several_lines: false,
            };
        }
        let chars: Vec<char> = text.chars().collect();
        let (mut flow_sign, mut block_sign) = (false, false);
        if text.starts_with("---") || text.starts_with("...") {
            (flow_sign, block_sign) = (true, true);
        }
        let (mut special, mut breaks, mut space_break, mut break_space) = (false, false, false, false);
        for (i, &c) in chars.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| chars[i]);
            let blank_before = before.is_none_or(is_blank_or_break);
            let blank_after = chars.get(i + 1).copied().is_none_or(is_blank_or_break);
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`'
                    if i == 0 =>
                {
                    (flow_sign, block_sign) = (true, true);
                }
                '?' | ':' if i == 0 => {
                    flow_sign = true;
                    block_sign |= blank_after;
                }
                '-' if i == 0 && blank_after => (flow_sign, block_sign) = (true, true),
                ',' | '?' | '[' | ']' | '{' | '}' => flow_sign = true,
                ':' => {
                    flow_sign = true;
                    block_sign |= blank_after;
                }
                '#' if blank_before => (flow_sign, block_sign) = (true, true),
                _ => {}
            }
            special |= !is_printable(c);
            breaks |= is_break(c);
            break_space |= c == ' ' && before.is_some_and(is_break);
            space_break |= is_break(c) && before == Some(' ');
        }
        let at_edge = |c: Option<&char>| c.is_some_and(|&c| c == ' ' || is_break(c));
        let edges = at_edge(chars.first()) || at_edge(chars.last());
        let broken = break_space || space_break || special;
        Allowed {
            flow_plain: !flow_sign && !edges && !breaks && !broken,
            block_plain: !block_sign && !edges && !breaks && !broken,
            single_quoted: !broken,
            literal: !text.ends_with(' ') && !space_break && !special,
            several_lines: breaks,
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_break(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\0') || is_break(c)
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// `1:20` and the like, numbers to old readers.
fn is_base_60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or("");
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut count = 0;
    let rest_fits = parts.all(|part| {
        count += 1;
        matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    first.starts_with(|c: char| c.is_ascii_digit())
        && is_digits(first)
        && count > 0
        && rest_fits
        && is_digits(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Out {
        Out::Text(s.into())
    }

    #[test]
    fn texts_are_quoted_only_where_they_must_be() {
        let cases = [
            ("foo", "foo"),
            ("n", "\"n\""),
            ("5", "\"5\""),
            ("", "\"\""),
            (",", "','"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("1:20", "\"1:20\""),
            ("$1", "$1"),
            ("<secret>", "<secret>"),
            ("#x", "'#x'"),
            ("it's", "it's"),
            ("'x", "'''x'"),
            (" x", "' x'"),
            ("a\tb", "\"a\\tb\""),
            ("-", "'-'"),
            ("*.yml", "'*.yml'"),
            ("a\nb", "|-\n  a\n  b"),
            ("é😀", "\"é\\U0001F600\""),
            ("%", "'%'"),
            ("(.*)", "(.*)"),
            ("[a-z]+", "'[a-z]+'"),
        ];
        for (given, want) in cases {
            let out = Out::Mapping(vec![("k".into(), text(given))]);
            assert_eq!(to_string(&out), format!("k: {want}\n"), "{given:?}");
        }
    }

    #[test]
    fn collections_nest_as_go_nests_them() {
        let out = Out::Mapping(vec![
            (
                "a".into(),
                Out::Sequence(vec![
                    text("x"),
                    Out::Mapping(vec![("b".into(), text("y")), ("c".into(), Out::Null)]),
                ]),
            ),
            ("d".into(), Out::Mapping(vec![("e".into(), Out::Flow(vec![text("f"), text("g,h")]))])),
            ("i".into(), Out::Sequence(vec![])),
            ("j".into(), Out::Mapping(vec![])),
        ]);
        let want = "a:\n- x\n- b: \"y\"\n  c: null\nd:\n  e: [f, 'g,h']\ni: []\nj: {}\n";
        assert_eq!(to_string(&out), want);
    }

    #[test]
    fn long_lines_are_folded() {
        let long = ["word"; 30].join(" ");
        let folded = to_string(&Out::Mapping(vec![("k".into(), text(&long))]));
        assert_eq!(folded.lines().count(), 2);
        assert!(folded.lines().nth(1).unwrap().starts_with("  word"));
    }
}
