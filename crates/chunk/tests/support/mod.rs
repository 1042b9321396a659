//! What tests that compare with recorded bytes need.

/// Bytes from their standard base64 form.
pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|c| DIGITS.iter().position(|d| *d == c));
    let (mut acc, mut n, mut out) = (0usize, 0, Vec::new());
    for digit in digits {
        (acc, n) = ((acc << 6 | digit) & 0xffff, n + 6);
        if n >= 8 {
            n -= 8;
            out.push((acc >> n) as u8);
        }
    }
    out
}
