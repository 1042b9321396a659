//! Writing protobuf as proto3 has it: what is the default is left out. Messages are written in place.

use exposition::protobuf_wire::BYTES;
use exposition::protobuf_write::{push_bytes, push_double, push_tag, push_varint, varint};

/// Bytes of the longest length in front of a message that is moved for.
const MAX_LENGTH: usize = 10;

/// A whole number; 0 is the default and left out.
pub(crate) fn integer(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        push_varint(out, field, number);
    }
}

/// A double; positive zero is the default and left out.
pub(crate) fn double(out: &mut Vec<u8>, field: u32, v: f64) {
    if v.to_bits() != 0 {
        push_double(out, field, v);
    }
}

/// A text; the empty one is the default and left out.
pub(crate) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        push_bytes(out, field, text.as_bytes());
    }
}

/// A message, or a packed list, that `write` appends.
pub(crate) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    push_tag(out, field, BYTES);
    let start = out.len();
    // Nearly all are shorter than 128 bytes, or else shorter than 16 KiB: one byte more to move.
    out.push(0);
    write(out);
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return;
    }
    let mut prefix = Vec::with_capacity(MAX_LENGTH);
    varint(&mut prefix, length as u64);
    let more = prefix.len() - 1;
    out.resize(out.len() + more, 0);
    out.copy_within(start + 1..start + 1 + length, start + 1 + more);
    out[start..=start + more].copy_from_slice(&prefix);
}

/// A packed list of whole numbers; an empty one is left out.
pub(crate) fn packed(out: &mut Vec<u8>, field: u32, numbers: impl ExactSizeIterator<Item = u64>) {
    if numbers.len() > 0 {
        nested(out, field, |out| numbers.for_each(|number| varint(out, number)));
    }
}

/// A packed list of doubles; an empty one is left out.
pub(crate) fn packed_doubles(out: &mut Vec<u8>, field: u32, values: impl ExactSizeIterator<Item = f64>) {
    if values.len() > 0 {
        push_tag(out, field, BYTES);
        varint(out, values.len() as u64 * 8);
        values.for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    }
}
