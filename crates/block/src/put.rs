//! Numbers and texts as the formats write them.

/// Unsigned LEB128.
pub(crate) fn uvarint(out: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        out.push(x as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

/// Signed, zigzag.
pub(crate) fn varint(out: &mut Vec<u8>, x: i64) {
    uvarint(out, (x << 1 ^ x >> 63) as u64);
}

/// A text preceded by its length.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
