//! Numbers and durations. What is scanned here need not be a valid number: the parser finds that out.

use super::{Kind, Lexed, Lexer, State, is_alphanumeric, is_digit};

impl Lexer<'_> {
    /// A number or a duration whose first character has been read.
    pub(super) fn number_or_duration(&mut self, first: char) -> Lexed {
        self.pos -= first.len_utf8();
        if self.scan_number() {
            return self.emit(Kind::Number);
        }
        if self.accept_remaining_duration() {
            return self.emit(Kind::Duration);
        }
        let text = model::number::quote(self.pending());
        self.error(format!("bad number or duration syntax: {text}"))
    }

    pub(super) fn number(&mut self) -> Lexed {
        self.state = State::Statements;
        if self.scan_number() {
            return self.emit(Kind::Number);
        }
        let text = model::number::quote(self.pending());
        self.error(format!("bad number syntax: {text}"))
    }

    /// The unit behind a number, and further numbers with units. On failure the offending character has been read.
    fn accept_remaining_duration(&mut self) -> bool {
        if !self.accept(|c| "smhdwy".contains(c)) {
            return false;
        }
        // Milliseconds; units such as `hs` are refused when the duration is parsed.
        self.accept(|c| c == 's');
        while self.accept(is_digit) {
            self.accept_run(is_digit);
            if !self.accept(|c| "smhdw".contains(c)) {
                return false;
            }
            self.accept(|c| c == 's');
        }
        !self.accept(is_alphanumeric)
    }

    /// Reads a number; false when what follows cannot be one, or runs on into a word.
    fn scan_number(&mut self) -> bool {
        let start = self.pos;
        // In series descriptions `0x5` is five times zero more.
        let hex = !self.series_desc && self.accept(|c| c == '0') && self.accept(|c| matches!(c, 'x' | 'X'));
        if hex {
            self.accept(|c| c == '_');
        }
        let is_digit = move |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let is_exponent = |c: char| matches!(c, 'e' | 'E');

        self.accept(|c| c == '.');
        self.accept(is_digit);
        let (mut dot, mut exponent) = (false, false);
        while let Some(c) = self.peek().filter(|&c| is_digit(c) || is_exponent(c) || matches!(c, '.' | '_')) {
            if (c == '.' && dot) || (is_exponent(c) && exponent) {
                self.bump();
                return false;
            }
            if c == '.' {
                self.bump();
                dot = true;
                if self.accept(|c| matches!(c, '_' | '.')) || hex {
                    return false;
                }
            } else if is_exponent(c) {
                self.bump();
                exponent = true;
                self.accept(|c| matches!(c, '+' | '-'));
                if self.accept(|c| "._eE".contains(c)) || self.peek().is_none() {
                    return false;
                }
            } else if c == '_' {
                self.bump();
                if self.accept(|c| "._eE".contains(c)) || self.peek().is_none() {
                    return false;
                }
            } else {
                self.accept_run(is_digit);
            }
        }
        if self.pos == start {
            return false;
        }
        match self.peek() {
            Some('x') if self.series_desc => true,
            Some(c) => !is_alphanumeric(c),
            None => true,
        }
    }
}
