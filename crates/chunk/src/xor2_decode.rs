//! Reading XOR2 chunks.

use crate::{ChunkError, Columns, Encoding};

pub(crate) fn decode(_bytes: &[u8], _limit: u16, _out: &mut Columns) -> Result<(), ChunkError> {
    Err(ChunkError::WrongKind(Encoding::Xor2))
}

pub(crate) fn first_time(_bytes: &[u8]) -> Option<i64> {
    None
}
