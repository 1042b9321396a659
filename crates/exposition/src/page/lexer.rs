//! The tokens of the two text formats.
//!
//! Prometheus refuses a bad page with the token it stopped at and the text up to there, so where a lexer stops after a failed match is part of
//! the format: it stays on the byte that did not fit.

use super::cursor::{Cursor, State, Token, is_label_byte, is_label_start, is_name_byte, is_name_start};
use super::format::PageFormat;

impl Cursor<'_> {
    /// The next token that is not blank.
    pub(super) fn next_token(&mut self, format: PageFormat) -> Token {
        match format {
            PageFormat::Text => self.text_token(),
            PageFormat::OpenMetrics => self.openmetrics_token(),
        }
    }

    fn text_token(&mut self) -> Token {
        loop {
            if self.at_end() {
                return Token::Eof;
            }
            self.token = self.at;
            let b = self.byte();
            // Blanks separate everywhere, but the text of HELP and TYPE begins with them unless it is nothing else.
            let blank = |b: u8| matches!(b, b' ' | b'\t');
            if blank(b) && (self.state != State::MetaText || self.rest_of_line_is_blank()) {
                self.advance_while(blank);
                continue;
            }
            return self.text_token_at(b);
        }
    }

    fn rest_of_line_is_blank(&self) -> bool {
        let rest = self.data.get(self.at..).unwrap_or_default();
        rest.iter().find(|b| !matches!(b, b' ' | b'\t')).is_none_or(|&b| b == b'\n')
    }

    fn text_token_at(&mut self, b: u8) -> Token {
        match self.state {
            State::Init => match b {
                0 => {
                    self.advance();
                    Token::Eof
                }
                b'\n' => self.step(State::Init, Token::Linebreak),
                b'#' => self.text_comment(),
                b'{' => self.step(State::Labels, Token::BraceOpen),
                b if is_name_start(b) => {
                    self.advance_while(is_name_byte);
                    self.then(State::Value, Token::MetricName)
                }
                _ => Token::Invalid,
            },
            State::MetaName => self.meta_name(b),
            State::MetaText => {
                if !matches!(b, 0 | b'\n') {
                    self.advance_while(|b| !matches!(b, 0 | b'\n'));
                }
                self.then(State::Init, Token::Text)
            }
            State::Labels => self.in_labels(b, true, State::LabelValue, State::Value),
            State::LabelValue if b == b'"' => self.label_value(true, State::Labels),
            State::Value => match b {
                b'{' => self.step(State::Labels, Token::BraceOpen),
                0 | b'\n' => Token::Invalid,
                _ => {
                    self.advance_while(|b| !matches!(b, 0 | b'{' | b' ' | b'\t' | b'\n'));
                    self.then(State::Timestamp, Token::Value)
                }
            },
            State::Timestamp => match b {
                b'\n' => self.step(State::Init, Token::Linebreak),
                b'0'..=b'9' => {
                    self.advance_while(|b| b.is_ascii_digit());
                    Token::Timestamp
                }
                _ => Token::Invalid,
            },
            _ => Token::Invalid,
        }
    }

    /// A line that begins with `#`: metadata only if `HELP` or `TYPE` and a blank follow.
    fn text_comment(&mut self) -> Token {
        let blank = |b: u8| matches!(b, b' ' | b'\t');
        if blank(self.advance()) {
            self.advance_while(blank);
            self.state = State::Comment;
            let (word, token): (&[u8], Token) = match self.byte() {
                b'H' => (b"HELP", Token::Help),
                b'T' => (b"TYPE", Token::Type),
                _ => (b"", Token::Comment),
            };
            if token != Token::Comment && self.word(word) && blank(self.byte()) {
                self.advance_while(blank);
                return self.then(State::MetaName, token);
            }
        }
        loop {
            match self.byte() {
                0 => return Token::Eof,
                b'\n' => return self.then(State::Init, Token::Comment),
                _ => self.advance(),
            };
        }
    }

    fn openmetrics_token(&mut self) -> Token {
        if self.at_end() {
            return Token::Eof;
        }
        self.token = self.at;
        let b = self.byte();
        match self.state {
            State::Init => match b {
                b'#' => self.openmetrics_comment(),
                b'{' => self.step(State::Labels, Token::BraceOpen),
                b if is_name_start(b) => {
                    self.advance_while(is_name_byte);
                    self.then(State::Value, Token::MetricName)
                }
                _ => Token::Invalid,
            },
            State::Comment => self.openmetrics_keyword(),
            State::MetaName => self.meta_name(b),
            State::MetaText => {
                if b != b' ' {
                    return Token::Invalid;
                }
                self.advance_while(|b| !matches!(b, 0 | b'\n'));
                if self.byte() != b'\n' { Token::Invalid } else { self.step(State::Init, Token::Text) }
            }
            State::Labels => self.in_labels(b, true, State::LabelValue, State::Value),
            State::LabelValue if b == b'"' => self.label_value(false, State::Labels),
            State::LabelValue => Token::Invalid,
            State::Value => match b {
                b'{' => self.step(State::Labels, Token::BraceOpen),
                b' ' => self.word_after_blank(State::Timestamp, Token::Value),
                _ => Token::Invalid,
            },
            State::Timestamp => match b {
                b'\n' => self.step(State::Init, Token::Linebreak),
                b' ' => self.timestamp_or_exemplar(),
                _ => Token::Invalid,
            },
            State::Exemplar => self.in_labels(b, false, State::ExemplarValue, State::ExemplarValue),
            State::ExemplarValue => match b {
                b'"' => self.label_value(false, State::Exemplar),
                b' ' => self.word_after_blank(State::ExemplarTimestamp, Token::Value),
                _ => Token::Invalid,
            },
            State::ExemplarTimestamp => match b {
                b'\n' => self.step(State::Init, Token::Linebreak),
                b' ' => self.word_after_blank(State::ExemplarTimestamp, Token::Timestamp),
                _ => Token::Invalid,
            },
        }
    }

    fn openmetrics_comment(&mut self) -> Token {
        if self.advance() != b' ' {
            return Token::Invalid;
        }
        // The blank itself is read before free text begins.
        self.advance();
        self.state = State::Comment;
        self.openmetrics_keyword()
    }

    fn openmetrics_keyword(&mut self) -> Token {
        let (word, token): (&[u8], Token) = match self.byte() {
            b'H' => (b"HELP ", Token::Help),
            b'T' => (b"TYPE ", Token::Type),
            b'U' => (b"UNIT ", Token::Unit),
            b'E' => (b"EOF", Token::EofWord),
            _ => return Token::Invalid,
        };
        if !self.word(word) {
            return Token::Invalid;
        }
        if token != Token::EofWord {
            return self.then(State::MetaName, token);
        }
        if self.byte() == b'\n' {
            self.advance();
        }
        self.then(State::Init, token)
    }

    /// Both begin with a blank: a timestamp, or ` # {`.
    fn timestamp_or_exemplar(&mut self) -> Token {
        let first = self.advance();
        if matches!(first, 0 | b' ' | b'\n') {
            return Token::Invalid;
        }
        if first == b'#' && self.advance() == b' ' {
            return if self.advance() == b'{' {
                self.step(State::Exemplar, Token::Comment)
            } else {
                Token::Invalid
            };
        }
        while !matches!(self.byte(), 0 | b' ' | b'\n') {
            self.advance();
        }
        Token::Timestamp
    }

    fn word_after_blank(&mut self, then: State, token: Token) -> Token {
        if matches!(self.advance(), 0 | b' ' | b'\n') {
            return Token::Invalid;
        }
        self.advance_while(|b| !matches!(b, 0 | b' ' | b'\n'));
        self.then(then, token)
    }

    fn meta_name(&mut self, b: u8) -> Token {
        match b {
            b'"' if !self.quoted(true) => Token::Invalid,
            b'"' => self.then(State::MetaText, Token::MetricName),
            b if is_name_start(b) => {
                self.advance_while(is_name_byte);
                self.then(State::MetaText, Token::MetricName)
            }
            _ => Token::Invalid,
        }
    }

    fn in_labels(&mut self, b: u8, linebreaks: bool, value: State, end: State) -> Token {
        match b {
            b'}' => self.step(end, Token::BraceClose),
            b',' => self.step(self.state, Token::Comma),
            b'=' => self.step(value, Token::Equal),
            b'"' if self.quoted(linebreaks) => Token::QuotedString,
            b if is_label_start(b) => {
                self.advance_while(is_label_byte);
                Token::LabelName
            }
            _ => Token::Invalid,
        }
    }

    fn label_value(&mut self, linebreaks: bool, then: State) -> Token {
        if self.quoted(linebreaks) { self.then(then, Token::LabelValue) } else { Token::Invalid }
    }

    /// Ends a token of one more byte.
    fn step(&mut self, then: State, token: Token) -> Token {
        self.advance();
        self.then(then, token)
    }

    fn then(&mut self, then: State, token: Token) -> Token {
        self.state = then;
        token
    }
}
