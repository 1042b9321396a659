//! Names of block directories.

/// Whether a name is a ULID: 26 characters of Crockford's base 32, not above 128 bits.
#[must_use]
pub fn is_ulid(name: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || b.is_ascii_alphabetic() && !b"ILOUilou".contains(&b);
    name.len() == 26 && name.bytes().all(digit) && name.as_bytes().first().is_some_and(|&b| b <= b'7')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ulids_name_blocks() {
        assert!(is_ulid("01M7YKC5ZBBZ15Z0VZEQSYF7VP"));
        assert!(is_ulid("01AAAAAAAAAAAAAAAAAAAAAAAA"));
        for name in ["", "wal", "01M7YKC5ZBBZ15Z0VZEQSYF7V", "01M7YKC5ZBBZ15Z0VZEQSYF7VP.tmp-for-creation"] {
            assert!(!is_ulid(name), "{name}");
        }
        assert!(!is_ulid("81M7YKC5ZBBZ15Z0VZEQSYF7VP") && !is_ulid("01U7YKC5ZBBZ15Z0VZEQSYF7VP"));
    }
}
