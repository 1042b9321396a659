//! Text → tokens. What a character means depends on whether it stands in braces, in brackets or in a series
//! description, so the lexer is a machine of states; errors and their positions follow Prometheus' lexer.

mod number;
mod series;
mod token;

use model::number::quote;

pub(crate) use token::{HistogramKey, Keyword, Kind, Preprocessor, Token};

use crate::ast::{BinaryOp, Span};

/// What a histogram literal says about counter resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// `unknown`
    #[default]
    Unknown,
    /// `reset`
    Reset,
    /// `not_reset`
    NotReset,
    /// `gauge`
    Gauge,
}

/// A lexical error: where, and what.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) span: Span,
    pub(crate) message: String,
}

type Lexed = Result<Option<Token>, LexError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside of braces; inside brackets behind the first number.
    Statements,
    InsideBraces,
    /// Inside brackets up to the first number.
    DurationExpr,
    ValueSequence,
    Histogram,
    Buckets,
    Number,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HistogramState {
    Outside,
    Open,
    /// Behind `}}`, before this operator.
    Before(Kind),
}

/// The lexer of expressions and series descriptions.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    input: &'a str,
    state: State,
    pos: usize,
    /// Where the token being read starts.
    start: usize,
    paren_depth: i64,
    brace_open: bool,
    bracket_open: bool,
    /// Whether a colon was seen since the bracket was opened.
    got_colon: bool,
    /// Whether a number was seen in any bracket; never reset, as in Prometheus.
    got_duration: bool,
    series_desc: bool,
    histogram: HistogramState,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str, series_desc: bool) -> Self {
        Lexer {
            input,
            state: State::Statements,
            pos: 0,
            start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            series_desc,
            histogram: HistogramState::Outside,
        }
    }

    /// The next token; comments are skipped. Behind the end of the input, always [`Kind::Eof`].
    pub(crate) fn next_token(&mut self) -> Result<Token, LexError> {
        loop {
            let lexed = match self.state {
                State::Statements => self.statements(),
                State::InsideBraces => self.inside_braces(),
                State::DurationExpr => self.duration_expr(),
                State::ValueSequence => self.value_sequence(),
                State::Histogram => self.histogram(),
                State::Buckets => self.buckets(),
                State::Number => self.number(),
                State::End => self.emit(Kind::Eof),
            }?;
            if let Some(token) = lexed {
                return Ok(token);
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.input.get(self.pos..)?.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let found = self.peek().is_some_and(wanted);
        if found {
            self.bump();
        }
        found
    }

    fn accept_run(&mut self, wanted: impl Fn(char) -> bool + Copy) {
        while self.accept(wanted) {}
    }

    /// The text read since the last token.
    fn pending(&self) -> &'a str {
        self.input.get(self.start..self.pos).unwrap_or("")
    }

    fn emit(&mut self, kind: Kind) -> Lexed {
        let span = Span { start: self.start as u32, end: self.pos as u32 };
        self.start = self.pos;
        Ok(Some(Token { kind, span }))
    }

    fn ignore(&mut self) {
        self.start = self.pos;
    }

    fn error<T>(&self, message: String) -> Result<T, LexError> {
        let span = Span { start: self.start as u32, end: self.input.len() as u32 };
        Err(LexError { span, message })
    }

    fn skip_spaces(&mut self) {
        self.accept_run(is_space);
        self.ignore();
    }

    fn skip_comment(&mut self) {
        self.accept_run(|c| c != '\n' && c != '\r');
        self.ignore();
    }

    fn statements(&mut self) -> Lexed {
        if self.histogram != HistogramState::Outside {
            self.state = State::Histogram;
            return Ok(None);
        }
        if self.brace_open {
            self.state = State::InsideBraces;
            return Ok(None);
        }
        let Some(c) = self.bump() else {
            return self.end_of_statements();
        };
        match c {
            '#' => {
                self.skip_comment();
                Ok(None)
            }
            ',' => self.emit(Kind::Comma),
            c if is_space(c) => {
                self.skip_spaces();
                Ok(None)
            }
            '=' if self.peek() == Some('~') => self.error("unexpected character after '=': '~'".to_owned()),
            '=' if self.accept(|c| c == '=') => self.emit(Kind::Op(BinaryOp::Eql)),
            '=' => self.emit(Kind::Eql),
            '!' => match self.bump() {
                Some('=') => self.emit(Kind::Op(BinaryOp::Neq)),
                other => self.error(format!("unexpected character after '!': {}", quote_char(other))),
            },
            '<' if self.accept(|c| c == '=') => self.emit(Kind::Op(BinaryOp::Lte)),
            '<' if self.accept(|c| c == '/') => self.emit(Kind::Op(BinaryOp::TrimUpper)),
            '<' => self.emit(Kind::Op(BinaryOp::Lss)),
            '>' if self.accept(|c| c == '=') => self.emit(Kind::Op(BinaryOp::Gte)),
            '>' if self.accept(|c| c == '/') => self.emit(Kind::Op(BinaryOp::TrimLower)),
            '>' => self.emit(Kind::Op(BinaryOp::Gtr)),
            '0'..='9' => self.number_or_duration(c),
            '.' if self.peek().is_some_and(is_digit) => self.number_or_duration(c),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            c if is_alpha(c) || c == ':' => self.word(c),
            '(' | ')' => self.paren(c),
            '{' => {
                self.brace_open = true;
                self.state = State::InsideBraces;
                self.emit(Kind::LeftBrace)
            }
            '[' if self.bracket_open => self.error("unexpected left bracket '['".to_owned()),
            '[' => {
                self.got_colon = false;
                self.bracket_open = true;
                self.state = State::DurationExpr;
                self.emit(Kind::LeftBracket)
            }
            ']' if !self.bracket_open => self.error("unexpected right bracket ']'".to_owned()),
            ']' => {
                self.bracket_open = false;
                self.emit(Kind::RightBracket)
            }
            '@' => self.emit(Kind::At),
            c => match arithmetic(c) {
                Some(op) => self.emit(Kind::Op(op)),
                None => self.error(format!("unexpected character: {}", quote_char(Some(c)))),
            },
        }
    }

    fn end_of_statements(&mut self) -> Lexed {
        if self.paren_depth != 0 {
            return self.error("unclosed left parenthesis".to_owned());
        }
        if self.bracket_open {
            return self.error("unclosed left bracket".to_owned());
        }
        self.state = State::End;
        self.emit(Kind::Eof)
    }

    /// A parenthesis, already read. One too many is reported behind itself.
    fn paren(&mut self, c: char) -> Lexed {
        if c == '(' {
            self.paren_depth += 1;
            return self.emit(Kind::LeftParen);
        }
        self.paren_depth -= 1;
        let token = self.emit(Kind::RightParen);
        if self.paren_depth < 0 {
            return self.error("unexpected right parenthesis ')'".to_owned());
        }
        token
    }

    /// A word or colon outside braces, whose first character has been read.
    fn word(&mut self, first: char) -> Lexed {
        if !self.bracket_open {
            return self.keyword_or_identifier();
        }
        if first == ':' {
            if self.got_colon {
                return self.error("unexpected colon ':'".to_owned());
            }
            self.got_colon = true;
            return self.emit(Kind::Colon);
        }
        match self.duration_keyword() {
            Some(kind) => self.emit(kind),
            None => self.error(format!("unexpected character: {}, expected ':'", quote_char(Some(first)))),
        }
    }

    /// `step`, `range`, `min_of` or `max_of`, whose first letter has been read.
    fn duration_keyword(&mut self) -> Option<Kind> {
        if !matches!(self.pending().as_bytes(), [b's' | b'S' | b'r' | b'R' | b'm' | b'M']) {
            return None;
        }
        self.accept_run(is_alpha);
        match token::keyword(self.pending())? {
            kind @ Kind::Preprocessor(p) if !matches!(p, Preprocessor::Start | Preprocessor::End) => {
                Some(kind)
            }
            _ => None,
        }
    }

    fn keyword_or_identifier(&mut self) -> Lexed {
        self.accept_run(|c| is_alphanumeric(c) || c == ':');
        let word = self.pending();
        let kind = match token::keyword(word) {
            // Keywords only in front of a parenthesis, so that metrics of these names keep working.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest_starts_with_paren() =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None if word.contains(':') => Kind::MetricIdentifier,
            None => Kind::Identifier,
        };
        let sequence = self.series_desc && self.peek() != Some('{');
        self.state = if sequence { State::ValueSequence } else { State::Statements };
        self.emit(kind)
    }

    fn rest_starts_with_paren(&self) -> bool {
        self.input.get(self.pos..).is_some_and(|rest| rest.trim_start_matches(is_space).starts_with('('))
    }

    fn inside_braces(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error("unexpected end of input inside braces".to_owned());
        };
        match c {
            '#' => {
                self.skip_comment();
                Ok(None)
            }
            c if is_space(c) => {
                self.skip_spaces();
                Ok(None)
            }
            c if is_alpha(c) => {
                self.accept_run(is_alphanumeric);
                self.emit(Kind::Identifier)
            }
            ',' => self.emit(Kind::Comma),
            '"' | '\'' => self.string(c),
            '`' => self.raw_string(),
            '=' if self.accept(|c| c == '~') => self.emit(Kind::EqlRegex),
            '=' => self.emit(Kind::Eql),
            '!' => match self.bump() {
                Some('~') => self.emit(Kind::NeqRegex),
                Some('=') => self.emit(Kind::Op(BinaryOp::Neq)),
                other => {
                    self.error(format!("unexpected character after '!' inside braces: {}", quote_char(other)))
                }
            },
            '{' => self.error("unexpected left brace '{'".to_owned()),
            '}' => {
                self.brace_open = false;
                self.state = if self.series_desc { State::ValueSequence } else { State::Statements };
                self.emit(Kind::RightBrace)
            }
            c => self.error(format!("unexpected character inside braces: {}", quote_char(Some(c)))),
        }
    }

    fn duration_expr(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error("unexpected end of input in duration expression".to_owned());
        };
        match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.state = State::Statements;
                self.emit(Kind::RightBracket)
            }
            ':' => {
                let token = self.emit(Kind::Colon);
                if !self.got_duration {
                    return self.error("unexpected colon before duration in duration expression".to_owned());
                }
                if self.got_colon {
                    return self.error("unexpected repeated colon in duration expression".to_owned());
                }
                self.got_colon = true;
                token
            }
            '(' | ')' => self.paren(c),
            c if is_space(c) => {
                self.skip_spaces();
                Ok(None)
            }
            ',' => self.emit(Kind::Comma),
            c if is_digit(c) || (c == '.' && self.peek().is_some_and(is_digit)) => {
                self.got_duration = true;
                self.state = State::Statements;
                self.number_or_duration(c)
            }
            c => match arithmetic(c).map(Kind::Op).or_else(|| self.duration_keyword()) {
                Some(kind) => self.emit(kind),
                None => self
                    .error(format!("unexpected character in duration expression: {}", quote_char(Some(c)))),
            },
        }
    }

    /// A quoted text whose first quote has been read.
    fn string(&mut self, quote: char) -> Lexed {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune".to_owned()),
                None | Some('\n') => return self.error("unterminated quoted string".to_owned()),
                Some(c) if c == quote => return self.emit(Kind::String),
                Some(_) => {}
            }
        }
    }

    fn raw_string(&mut self) -> Lexed {
        loop {
            match self.bump() {
                Some(char::REPLACEMENT_CHARACTER) => return self.error("invalid UTF-8 rune".to_owned()),
                None => return self.error("unterminated raw string".to_owned()),
                Some('`') => return self.emit(Kind::String),
                Some(_) => {}
            }
        }
    }

    /// An escape sequence whose backslash has been read.
    fn escape(&mut self, quote: char) -> Result<(), LexError> {
        let not_terminated = || self.error("escape sequence not terminated".to_owned());
        let Some(first) = self.peek() else { return not_terminated() };
        self.bump();
        let (digits, radix, max) = match first {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            c if c == quote => return Ok(()),
            '0'..='7' => (2, 8, 255),
            'x' => (2, 16, 255),
            'u' => (4, 16, char::MAX as u32),
            'U' => (8, 16, char::MAX as u32),
            c => return self.error(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut value = if radix == 8 { first.to_digit(8).unwrap_or(0) } else { 0 };
        for _ in 0..digits {
            let Some(c) = self.bump() else {
                return self.error("escape sequence not terminated".to_owned());
            };
            let Some(digit) = c.to_digit(radix) else {
                return self.error(format!("illegal character {} in escape sequence", code_point(c)));
            };
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.error("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }
}

fn arithmetic(c: char) -> Option<BinaryOp> {
    Some(match c {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Sub,
        '*' => BinaryOp::Mul,
        '/' => BinaryOp::Div,
        '%' => BinaryOp::Mod,
        '^' => BinaryOp::Pow,
        _ => return None,
    })
}

pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || is_digit(c)
}

/// Go's `%q` of a rune; the end of the input shows as the replacement character.
fn quote_char(c: Option<char>) -> String {
    match c.unwrap_or(char::REPLACEMENT_CHARACTER) {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => quote(c.encode_utf8(&mut [0; 4])).replace('"', "'"),
    }
}

/// Go's `%#U`: `U+0078 'x'`, without the character when it is not printable.
fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", c as u32);
    let printable = matches!(c, '\\' | '"') || !quote(c.encode_utf8(&mut [0; 4])).contains('\\');
    if printable { format!("{number} '{c}'") } else { number }
}
