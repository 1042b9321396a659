//! Whatever clouds may answer when they are asked for credentials, for fuzzing.

use std::time::SystemTime;

use crate::aws;
use crate::token::Token;

/// Reads `body` as each kind of answer; how often there was something in it.
#[must_use]
pub fn answers_read(body: &[u8]) -> usize {
    usize::from(Token::parse(body, SystemTime::UNIX_EPOCH).is_ok()) + aws::read_any(body)
}
