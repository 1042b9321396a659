//! Tokens of a template: text, and what stands between `{{` and `}}`.
//!
//! The grammar and the words of errors are those of Go's `text/template/parse`.

use std::borrow::Cow;

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const LEFT_COMMENT: &str = "/*";
const RIGHT_COMMENT: &str = "*/";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    End,
    Text,
    LeftDelimiter,
    RightDelimiter,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParenthesis,
    RightParenthesis,
    Comma,
    OtherCharacter,
    Bool,
    Character,
    Complex,
    Number,
    String,
    RawString,
    Identifier,
    Field,
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

#[derive(Debug, Clone)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    /// Byte in the text at which it begins.
    pub(crate) at: usize,
    /// As written; of an error: what is wrong.
    pub(crate) text: Cow<'a, str>,
    /// Line in which it begins, from 1.
    pub(crate) line: usize,
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const SHOWN: usize = 10;
        match self.kind {
            Kind::End => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => write!(f, "<{}>", self.text),
            _ if self.text.len() > SHOWN => {
                let start: String = self.text.chars().take(SHOWN).collect();
                write!(f, "{}...", model::number::quote(&start))
            }
            _ => f.write_str(&model::number::quote(&self.text)),
        }
    }
}

/// All tokens of `text`; the last is `End` or `Error`.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut lexer =
        Lexer { text, at: 0, start: 0, line: 1, lines_until: 0, parentheses: 0, tokens: Vec::new() };
    let mut inside = false;
    loop {
        let done = if inside { lexer.action_token() } else { lexer.text_token() };
        match done {
            Ok(Step::Inside) => inside = true,
            Ok(Step::Outside) => inside = false,
            Ok(Step::Ended) => return lexer.tokens,
            Err(message) => {
                lexer.push(Kind::Error, message.into());
                return lexer.tokens;
            }
        }
    }
}

/// Where the next token is looked for.
enum Step {
    Inside,
    Outside,
    Ended,
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Where the token being read begins.
    start: usize,
    /// Line of the byte `lines_until`.
    line: usize,
    lines_until: usize,
    parentheses: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Takes the next character if it is one of `valid`.
    fn accept(&mut self, valid: &str) -> bool {
        let taken = self.peek().is_some_and(|c| valid.contains(c));
        if taken {
            self.at += 1;
        }
        taken
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn push(&mut self, kind: Kind, text: Cow<'a, str>) {
        let before = self.text.get(self.lines_until..self.start).unwrap_or_default();
        self.line += before.matches('\n').count();
        self.lines_until = self.start.max(self.lines_until);
        self.tokens.push(Token { kind, at: self.start, text, line: self.line });
        self.start = self.at;
    }

    /// Ends the token that began at `start` here.
    fn emit(&mut self, kind: Kind) {
        let text = self.text.get(self.start..self.at).unwrap_or_default();
        self.push(kind, Cow::Borrowed(text));
    }

    /// What lies between `start` and here is no token.
    fn skip(&mut self) {
        self.start = self.at;
    }

    fn text_token(&mut self) -> Result<Step, String> {
        let Some(found) = self.rest().find(LEFT) else {
            self.at = self.text.len();
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            self.emit(Kind::End);
            return Ok(Step::Ended);
        };
        let delimiter = self.at + found;
        let inside = self.text.get(delimiter + LEFT.len()..).unwrap_or_default();
        let trimmed = left_trim_marker(inside);
        let text = self.text.get(self.at..delimiter).unwrap_or_default();
        let kept = if trimmed { text.trim_end_matches(SPACES) } else { text };
        if !kept.is_empty() {
            self.at += kept.len();
            self.emit(Kind::Text);
        }
        self.at = delimiter;
        self.skip();
        self.left_delimiter(trimmed)
    }

    fn left_delimiter(&mut self, trimmed: bool) -> Result<Step, String> {
        self.at += LEFT.len();
        let marker = if trimmed { TRIM_MARKER } else { 0 };
        if self.text.get(self.at + marker..).unwrap_or_default().starts_with(LEFT_COMMENT) {
            self.at += marker;
            self.skip();
            return self.comment();
        }
        self.emit(Kind::LeftDelimiter);
        self.at += marker;
        self.skip();
        self.parentheses = 0;
        Ok(Step::Inside)
    }

    fn comment(&mut self) -> Result<Step, String> {
        let Some(end) = self.rest().get(LEFT_COMMENT.len()..).and_then(|rest| rest.find(RIGHT_COMMENT))
        else {
            return Err("unclosed comment".into());
        };
        self.at += LEFT_COMMENT.len() + end + RIGHT_COMMENT.len();
        let Some(trims) = self.at_right_delimiter() else {
            return Err("comment ends before closing delimiter".into());
        };
        self.pass_right_delimiter(trims);
        Ok(Step::Outside)
    }

    /// Whether the closing delimiter is here, and if so whether it trims.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if right_trim_marker(rest) && rest.get(TRIM_MARKER..).is_some_and(|r| r.starts_with(RIGHT)) {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn pass_right_delimiter(&mut self, trims: bool) {
        self.at += RIGHT.len() + if trims { TRIM_MARKER } else { 0 };
        self.skip_trimmed(trims);
    }

    fn skip_trimmed(&mut self, trims: bool) {
        if trims {
            self.at = self.text.len() - self.rest().trim_start_matches(SPACES).len();
        }
        self.skip();
    }

    fn action_token(&mut self) -> Result<Step, String> {
        if let Some(trims) = self.at_right_delimiter() {
            if self.parentheses > 0 {
                return Err("unclosed left paren".into());
            }
            if trims {
                self.at += TRIM_MARKER;
                self.skip();
            }
            self.at += RIGHT.len();
            self.emit(Kind::RightDelimiter);
            self.skip_trimmed(trims);
            return Ok(Step::Outside);
        }
        let Some(c) = self.next() else {
            return Err("unclosed action".into());
        };
        match c {
            c if SPACES.contains(&c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.next() == Some('=') => self.emit(Kind::Declare),
            ':' => return Err("expected :=".into()),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::Character, "unterminated character constant")?,
            '`' => self.raw_string()?,
            '$' if self.at_terminator() => self.emit(Kind::Variable),
            '$' => self.field_or_variable(Kind::Variable)?,
            '.' if self.peek().is_some_and(|c| !c.is_ascii_digit()) => {
                if self.at_terminator() {
                    self.emit(Kind::Dot);
                } else {
                    self.field_or_variable(Kind::Field)?;
                }
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            c if is_alphanumeric(c) => self.identifier()?,
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParenthesis);
            }
            ')' => {
                let Some(left) = self.parentheses.checked_sub(1) else {
                    return Err("unexpected right paren".into());
                };
                self.parentheses = left;
                self.emit(Kind::RightParenthesis);
            }
            ',' => self.emit(Kind::Comma),
            ' '..='~' => self.emit(Kind::OtherCharacter),
            c => return Err(format!("unrecognized character in action: {}", code_point(Some(c)))),
        }
        Ok(Step::Inside)
    }

    /// Spaces, without the one that belongs to a trimming delimiter.
    fn space(&mut self) {
        while self.peek().is_some_and(|c| SPACES.contains(&c)) {
            self.at += 1;
        }
        // The last space and what follows may be ` -}}`.
        self.at -= 1;
        if self.at_right_delimiter() != Some(true) {
            self.at += 1;
        }
        if self.at > self.start {
            self.emit(Kind::Space);
        }
    }

    /// Up to the closing quote; a backslash takes the next character along.
    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if self.peek().is_some_and(|c| c != '\n') => {
                    self.at += self.peek().map_or(0, char::len_utf8);
                }
                None | Some('\n' | '\\') => return Err(unterminated.into()),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), String> {
        let Some(end) = self.rest().find('`') else {
            return Err("unterminated raw quoted string".into());
        };
        self.at += end + 1;
        self.emit(Kind::RawString);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.word()?;
        let kind = match self.text.get(self.start..self.at).unwrap_or_default() {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            "block" => Kind::Keyword(Keyword::Block),
            "break" => Kind::Keyword(Keyword::Break),
            "continue" => Kind::Keyword(Keyword::Continue),
            "define" => Kind::Keyword(Keyword::Define),
            "else" => Kind::Keyword(Keyword::Else),
            "end" => Kind::Keyword(Keyword::End),
            "if" => Kind::Keyword(Keyword::If),
            "range" => Kind::Keyword(Keyword::Range),
            "template" => Kind::Keyword(Keyword::Template),
            "with" => Kind::Keyword(Keyword::With),
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn field_or_variable(&mut self, kind: Kind) -> Result<(), String> {
        self.word()?;
        self.emit(kind);
        Ok(())
    }

    /// Letters and digits, which must be followed by something that can follow them.
    fn word(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if self.at_terminator() {
            return Ok(());
        }
        Err(format!("bad character {}", code_point(self.peek())))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(RIGHT),
        }
    }

    fn number(&mut self) -> Result<(), String> {
        self.at = self.start;
        let mut good = self.scan_number();
        let complex = good && self.peek().is_some_and(|c| c == '+' || c == '-');
        if complex {
            good = self.scan_number() && self.text.get(..self.at).is_some_and(|t| t.ends_with('i'));
        }
        if !good {
            let text = self.text.get(self.start..self.at).unwrap_or_default();
            return Err(format!("bad number syntax: {}", model::number::quote(text)));
        }
        self.emit(if complex { Kind::Complex } else { Kind::Number });
        Ok(())
    }

    /// A rough shape of a number; what it means, and whether it is one, is decided when it is read.
    fn scan_number(&mut self) -> bool {
        const DECIMAL: &str = "0123456789_";
        const HEXADECIMAL: &str = "0123456789abcdefABCDEF_";
        self.accept("+-");
        let mut digits = DECIMAL;
        if self.accept("0") {
            if self.accept("xX") {
                digits = HEXADECIMAL;
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits {
            DECIMAL => "eE",
            HEXADECIMAL => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run(DECIMAL);
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

/// Bytes of `- ` after the left delimiter and of ` -` before the right one.
const TRIM_MARKER: usize = 2;

fn left_trim_marker(inside: &str) -> bool {
    matches!(inside.as_bytes(), [b'-', b' ' | b'\t' | b'\r' | b'\n', ..])
}

fn right_trim_marker(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b' ' | b'\t' | b'\r' | b'\n', b'-', ..])
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Go's `%#U`: `U+0021 '!'`.
fn code_point(c: Option<char>) -> String {
    let Some(c) = c else {
        // The end of the text is -1 there.
        return "U+FFFFFFFFFFFFFFFF".into();
    };
    let number = format!("U+{:04X}", u32::from(c));
    if model::number::is_print(c) { format!("{number} '{c}'") } else { number }
}
