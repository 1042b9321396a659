//! The values of a series description and the insides of histogram literals.

use super::{
    HistogramKey, HistogramState, Kind, Lexed, Lexer, ResetHint, State, is_alpha, is_digit, is_space,
    quote_char, token,
};
use crate::ast::BinaryOp;

impl Lexer<'_> {
    pub(super) fn value_sequence(&mut self) -> Lexed {
        if self.histogram != HistogramState::Outside {
            self.state = State::Histogram;
            return Ok(None);
        }
        let Some(c) = self.bump() else {
            self.state = State::Statements;
            return Ok(None);
        };
        match c {
            '{' if self.accept(|c| c == '{') => {
                self.histogram = HistogramState::Open;
                self.state = State::Histogram;
                self.emit(Kind::OpenHist)
            }
            c if is_space(c) => {
                let token = self.emit(Kind::Space);
                self.skip_spaces();
                token
            }
            '+' => self.emit(Kind::Op(BinaryOp::Add)),
            '-' => self.emit(Kind::Op(BinaryOp::Sub)),
            'x' => self.emit(Kind::Times),
            '_' => self.emit(Kind::Blank),
            c if is_digit(c) || (c == '.' && self.peek().is_some_and(is_digit)) => {
                self.pos -= c.len_utf8();
                let token = self.number();
                self.state = State::ValueSequence;
                token
            }
            c if is_alpha(c) => self.keyword_or_identifier(),
            c => self.error(format!("unexpected character in series sequence: {}", quote_char(Some(c)))),
        }
    }

    pub(super) fn histogram(&mut self) -> Lexed {
        if let HistogramState::Before(operator) = self.histogram {
            self.histogram = HistogramState::Outside;
            self.state = State::ValueSequence;
            self.bump();
            return self.emit(operator);
        }
        if self.bracket_open {
            self.state = State::Buckets;
            return Ok(None);
        }
        match self.bump() {
            Some(c) if is_space(c) => {
                let token = self.emit(Kind::Space);
                self.skip_spaces();
                token
            }
            Some(c) if is_alpha(c) => self.histogram_key(),
            Some(':') => self.emit(Kind::Colon),
            Some('-') => self.emit(Kind::Op(BinaryOp::Sub)),
            Some(c) if is_digit(c) => {
                self.pos -= c.len_utf8();
                self.number()
            }
            Some('[') => {
                self.bracket_open = true;
                self.got_colon = false;
                self.got_duration = false;
                self.state = State::Buckets;
                self.emit(Kind::LeftBracket)
            }
            Some('}') if self.accept(|c| c == '}') => {
                self.histogram = match self.peek() {
                    Some('x') => HistogramState::Before(Kind::Times),
                    Some('+') => HistogramState::Before(Kind::Op(BinaryOp::Add)),
                    Some('-') => HistogramState::Before(Kind::Op(BinaryOp::Sub)),
                    _ => HistogramState::Outside,
                };
                self.state = State::ValueSequence;
                self.emit(Kind::CloseHist)
            }
            other => {
                self.error(format!("histogram description incomplete unexpected: {}", quote_char(other)))
            }
        }
    }

    fn histogram_key(&mut self) -> Lexed {
        self.accept_run(is_alpha);
        let word = self.pending();
        let lower = word.to_ascii_lowercase();
        if let Some(key) = histogram_key(&lower) {
            if self.peek() == Some(':') {
                return self.emit(Kind::HistogramKey(key));
            }
            return self.error("missing `:` for histogram descriptor".to_owned());
        }
        if token::keyword(word) == Some(Kind::Number) {
            return self.emit(Kind::Number);
        }
        match reset_hint(&lower) {
            Some(hint) => self.emit(Kind::ResetHint(hint)),
            None => self.error(format!("bad histogram descriptor found: {}", model::number::quote(word))),
        }
    }

    pub(super) fn buckets(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error(format!("invalid character in buckets description: {}", quote_char(None)));
        };
        match c {
            c if is_space(c) => {
                let token = self.emit(Kind::Space);
                self.skip_spaces();
                token
            }
            '-' => {
                self.state = State::Number;
                self.emit(Kind::Op(BinaryOp::Sub))
            }
            c if is_digit(c) => {
                self.pos -= c.len_utf8();
                self.number()
            }
            ']' => {
                self.bracket_open = false;
                self.state = State::Histogram;
                self.emit(Kind::RightBracket)
            }
            // Letters gather until they are a number.
            c if is_alpha(c) => match token::keyword(self.pending()) {
                Some(Kind::Number) => self.emit(Kind::Number),
                _ => Ok(None),
            },
            c => self.error(format!("invalid character in buckets description: {}", quote_char(Some(c)))),
        }
    }
}

fn histogram_key(lower: &str) -> Option<HistogramKey> {
    Some(match lower {
        "sum" => HistogramKey::Sum,
        "count" => HistogramKey::Count,
        "schema" => HistogramKey::Schema,
        "offset" => HistogramKey::Offset,
        "n_offset" => HistogramKey::NegativeOffset,
        "buckets" => HistogramKey::Buckets,
        "n_buckets" => HistogramKey::NegativeBuckets,
        "z_bucket" => HistogramKey::ZeroBucket,
        "z_bucket_w" => HistogramKey::ZeroBucketWidth,
        "custom_values" => HistogramKey::CustomValues,
        "counter_reset_hint" => HistogramKey::CounterResetHint,
        _ => return None,
    })
}

fn reset_hint(lower: &str) -> Option<ResetHint> {
    Some(match lower {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return None,
    })
}
