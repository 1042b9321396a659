//! Frames of a stream of chunks.
//!
//! ```text
//! frame  ┌────────────────┬───────────────────────┬───────────────────────────────┐
//!        │ length uvarint │ crc32c u32 big endian │ prometheus.ChunkedReadResponse │
//!        └────────────────┴───────────────────────┴───────────────────────────────┘
//! ```

use crate::encode;
use crate::send::checksum;

/// Appends a frame.
pub(crate) fn push(out: &mut Vec<u8>, message: &[u8]) {
    encode::varint(out, message.len() as u64);
    out.extend_from_slice(&checksum(message).to_be_bytes());
    out.extend_from_slice(message);
}
