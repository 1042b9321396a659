//! Frames of a stream of chunks.
//!
//! ```text
//! frame  ┌────────────────┬───────────────────────┬───────────────────────────────┐
//!        │ length uvarint │ crc32c u32 big endian │ prometheus.ChunkedReadResponse │
//!        └────────────────┴───────────────────────┴───────────────────────────────┘
//! ```

use crate::send::checksum;
use exposition::protobuf_write;

/// Appends a frame.
pub(crate) fn push(out: &mut Vec<u8>, message: &[u8]) {
    protobuf_write::varint(out, message.len() as u64);
    out.extend_from_slice(&checksum(message).to_be_bytes());
    out.extend_from_slice(message);
}
