//! Fields of messages, appended to bytes.

use super::wire::{BYTES, FIXED64, VARINT};

/// A signed number as `sint32` and `sint64` have it.
#[must_use]
pub fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)).cast_unsigned()
}

/// What stands before a field.
pub fn push_tag(out: &mut Vec<u8>, number: u32, wire_type: u8) {
    varint(out, u64::from(number) << 3 | u64::from(wire_type));
}

/// Bytes, a text or a message, also an empty one.
pub fn push_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    push_tag(out, number, BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A whole number, also zero.
pub fn push_varint(out: &mut Vec<u8>, number: u32, v: u64) {
    push_tag(out, number, VARINT);
    varint(out, v);
}

/// A double, also zero.
pub fn push_double(out: &mut Vec<u8>, number: u32, v: f64) {
    push_tag(out, number, FIXED64);
    out.extend_from_slice(&v.to_le_bytes());
}

/// A number alone: a length, or an element of a packed list.
pub fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}
