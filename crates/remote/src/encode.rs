//! Writing protobuf: fields one after the other, behind what is in the buffer already.

use exposition::protobuf_wire::{BYTES, FIXED64, VARINT};

/// Bytes of the longest length in front of a message that is moved for.
const MAX_LENGTH: usize = 10;

pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn tag(out: &mut Vec<u8>, field: u32, wire: u8) {
    varint(out, u64::from(field) << 3 | u64::from(wire));
}

pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// A whole number; 0 is the default and left out.
pub(crate) fn integer(out: &mut Vec<u8>, field: u32, number: u64) {
    if number != 0 {
        tag(out, field, VARINT);
        varint(out, number);
    }
}

/// A whole number that is written whatever it is: one of several of which exactly one is there.
pub(crate) fn chosen_integer(out: &mut Vec<u8>, field: u32, number: u64) {
    tag(out, field, VARINT);
    varint(out, number);
}

/// A double; positive zero is the default and left out.
pub(crate) fn double(out: &mut Vec<u8>, field: u32, v: f64) {
    if v.to_bits() != 0 {
        chosen_double(out, field, v);
    }
}

/// A double that is written whatever it is.
pub(crate) fn chosen_double(out: &mut Vec<u8>, field: u32, v: f64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&v.to_le_bytes());
}

/// Bytes, also none.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, BYTES);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A text; the empty one is the default and left out.
pub(crate) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

/// A message, or a packed list, that `write` appends.
pub(crate) fn nested(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, BYTES);
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
        tag(out, field, BYTES);
        varint(out, values.len() as u64 * 8);
        values.for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
    }
}
