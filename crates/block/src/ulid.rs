//! Names of block directories.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Of the text.
const LENGTH: usize = 26;
const RANDOM_BITS: u32 = 80;

/// A name that sorts by the time at which it was made: 48 bits of milliseconds, 80 random ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ulid(u128);

impl Ulid {
    /// Of a time in milliseconds since the Unix epoch and 80 random bits (the low ones of `random`).
    #[must_use]
    pub fn new(time_ms: i64, random: u128) -> Self {
        let time = (time_ms.max(0) as u64).min((1 << 48) - 1);
        Ulid(u128::from(time) << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1))
    }

    /// With bits of the operating system's generator.
    #[must_use]
    pub fn generate(time_ms: i64) -> Self {
        // Each state is keyed with random bits of its own; hashing anything gives a random function of them.
        let word = || u128::from(RandomState::new().hash_one(time_ms));
        Self::new(time_ms, word() << 64 | word())
    }

    /// Reads the text; letters may be small.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !is_ulid(text) {
            return None;
        }
        let digit = |b: u8| DIGITS.iter().position(|&d| d == b.to_ascii_uppercase());
        text.bytes().try_fold(0u128, |all, b| Some(all << 5 | digit(b)? as u128)).map(Ulid)
    }

    /// When it was made, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn time_ms(self) -> i64 {
        (self.0 >> RANDOM_BITS) as i64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; LENGTH];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = DIGITS.get((rest & 31) as usize).copied().unwrap_or_default();
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Whether a name is a ULID: 26 characters of Crockford's base 32, not above 128 bits.
#[must_use]
pub fn is_ulid(name: &str) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || b.is_ascii_alphabetic() && !b"ILOUilou".contains(&b);
    name.len() == LENGTH && name.bytes().all(digit) && name.as_bytes().first().is_some_and(|&b| b <= b'7')
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

    #[test]
    fn a_name_is_its_time_and_its_random_bits() {
        let text = "01M7YKC5ZBBZ15Z0VZEQSYF7VP";
        let known = Ulid::parse(text).unwrap();
        assert_eq!(known.to_string(), text);
        assert_eq!(Ulid::parse(&text.to_lowercase()), Some(known));
        assert_eq!(Ulid::new(known.time_ms(), known.0), known);
        assert_eq!(Ulid::new(-1, 0).to_string(), "0".repeat(26));
        assert_eq!(Ulid::new(i64::MAX, u128::MAX).to_string(), format!("7{}", "Z".repeat(25)));
        let made: Vec<Ulid> = (0..100).map(|_| Ulid::generate(known.time_ms())).collect();
        assert!(made.iter().all(|u| u.time_ms() == known.time_ms() && is_ulid(&u.to_string())));
        assert_eq!(made.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    }
}
