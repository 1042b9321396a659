//! Fields of messages, appended to bytes.

pub(crate) fn zigzag(v: i32) -> u64 {
    u64::from(((v << 1) ^ (v >> 31)).cast_unsigned())
}

pub(crate) fn push_tag(out: &mut Vec<u8>, number: u32, wire_type: u64) {
    varint(out, u64::from(number) << 3 | wire_type);
}

pub(crate) fn push_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    push_tag(out, number, 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn push_varint(out: &mut Vec<u8>, number: u32, v: u64) {
    push_tag(out, number, 0);
    varint(out, v);
}

pub(crate) fn push_double(out: &mut Vec<u8>, number: u32, v: f64) {
    push_tag(out, number, 1);
    out.extend_from_slice(&v.to_le_bytes());
}

pub(crate) fn varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}
