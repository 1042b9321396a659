//! Where a lexer stands in a page, and the errors it can tell from there.

use std::fmt::Write as _;

/// Why a page was refused: Prometheus' sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParseError(Box<str>);

impl ParseError {
    /// Of what a reader built on this crate finds wrong.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        ParseError(text.into())
    }
}

/// What a lexer recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Invalid,
    Eof,
    Linebreak,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    /// The name that error texts give it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Token::Invalid => "INVALID",
            Token::Eof => "EOF",
            Token::Linebreak => "LINEBREAK",
            Token::Help => "HELP",
            Token::Type => "TYPE",
            Token::Unit => "UNIT",
            Token::EofWord => "EOFWORD",
            Token::Text => "TEXT",
            Token::Comment => "COMMENT",
            Token::MetricName => "MNAME",
            Token::QuotedString => "QSTRING",
            Token::BraceOpen => "BOPEN",
            Token::BraceClose => "BCLOSE",
            Token::LabelName => "LNAME",
            Token::LabelValue => "LVALUE",
            Token::Comma => "COMMA",
            Token::Equal => "EQUAL",
            Token::Timestamp => "TIMESTAMP",
            Token::Value => "VALUE",
        }
    }
}

/// What a lexer expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Comment,
    /// After `HELP`, `TYPE`, `UNIT`.
    MetaName,
    MetaText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    /// The value of an exemplar's label, and what follows its labels.
    ExemplarValue,
    ExemplarTimestamp,
}

/// A half-open range of offsets in the page.
pub(super) type Span = (usize, usize);

/// The position of a lexer.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    pub(super) data: &'a [u8],
    /// Length of the page, with the line feed that the text format has after its last byte whatever that is.
    pub(super) len: usize,
    /// The next byte to be read.
    pub(super) at: usize,
    /// Start of the last token.
    pub(super) token: usize,
    /// Start of the present entry.
    pub(super) entry: usize,
    pub(super) state: State,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(data: &'a [u8], ends_with_linebreak: bool) -> Self {
        let len = data.len() + usize::from(ends_with_linebreak);
        Cursor { data, len, at: 0, token: 0, entry: 0, state: State::Init }
    }

    /// The byte at the cursor; 0 at the end of the page.
    #[inline]
    pub(super) fn byte(&self) -> u8 {
        match self.data.get(self.at) {
            Some(&b) => b,
            None if self.at < self.len => b'\n',
            None => 0,
        }
    }

    #[inline]
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.len
    }

    /// Goes one byte on and returns it. NUL bytes are stepped over where free text stands.
    #[inline]
    pub(super) fn advance(&mut self) -> u8 {
        self.at += 1;
        let mut b = self.byte();
        if b == 0 && matches!(self.state, State::LabelValue | State::MetaText | State::Comment) {
            while b == 0 && !self.at_end() {
                self.at += 1;
                b = self.byte();
            }
        }
        b
    }

    #[inline]
    pub(super) fn advance_while(&mut self, accept: impl Fn(u8) -> bool) {
        while accept(self.advance()) {}
    }

    /// Reads a quoted string whose opening quote is under the cursor. `false` when it has no end: then the cursor stands where it failed.
    pub(super) fn quoted(&mut self, linebreaks: bool) -> bool {
        let mut b = self.advance();
        loop {
            match b {
                b'"' => {
                    self.advance();
                    return true;
                }
                0 => return false,
                b'\n' if !linebreaks => return false,
                b'\\' => {
                    if matches!(self.advance(), 0 | b'\n') {
                        return false;
                    }
                    b = self.advance();
                }
                _ => {
                    while self.data.get(self.at + 1).is_some_and(|&next| PLAIN[usize::from(next)]) {
                        self.at += 1;
                    }
                    b = self.advance();
                }
            }
        }
    }

    /// Reads `word` from the cursor on; stops at the first byte that differs.
    pub(super) fn word(&mut self, word: &[u8]) -> bool {
        for &wanted in word {
            if self.byte() != wanted {
                return false;
            }
            self.advance();
        }
        true
    }

    /// The bytes between two offsets; the implied line feed is left out.
    #[inline]
    pub(super) fn slice(&self, (from, to): Span) -> &'a [u8] {
        self.data.get(from..to.min(self.data.len())).unwrap_or_default()
    }

    /// The bytes of the last token.
    #[inline]
    pub(super) fn token_bytes(&self) -> &'a [u8] {
        self.slice((self.token, self.at))
    }

    pub(super) fn token_span(&self) -> Span {
        (self.token, self.at)
    }

    /// The bytes between two offsets as Go quotes them.
    pub(super) fn quote(&self, from: usize, to: usize) -> String {
        let mut bytes = self.slice((from, to)).to_vec();
        if to > self.data.len() && self.len > self.data.len() {
            bytes.push(b'\n');
        }
        quote_bytes(&bytes)
    }

    /// What is read of the entry so far, quoted.
    pub(super) fn entry_so_far(&self) -> String {
        self.quote(self.entry, self.at)
    }

    pub(super) fn unexpected(&self, expected: &str, got: Token) -> ParseError {
        let to = self.len.min(self.at + 1);
        let (token, entry) = (self.quote(self.token, to), self.quote(self.entry, to));
        ParseError::new(format!("{expected}, got {token} (\"{}\") while parsing: {entry}", got.name()))
    }
}

/// `strconv.Quote` of bytes that need not be UTF-8: a byte that is part of no character is `\xNN`.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        let quoted = model::number::quote(chunk.valid());
        out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

pub(super) fn is_label_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_'
}

pub(super) fn is_label_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

pub(super) fn is_name_start(b: u8) -> bool {
    is_label_start(b) || b == b':'
}

pub(super) fn is_name_byte(b: u8) -> bool {
    is_label_byte(b) || b == b':'
}

/// Bytes that stand for themselves in a quoted string.
pub(super) const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = b' ';
    while b < 0x7f {
        plain[b as usize] = !matches!(b, b'"' | b'\\');
        b += 1;
    }
    plain
};
