//! Upper and lower case as Go's `strings.ToUpper` and `strings.ToLower`: one character becomes one character.
//!
//! Rust's mappings are the full ones of Unicode, where `ß` becomes `SS`; Go's are the simple ones. They differ
//! only where the full mapping has several characters.

/// `strings.ToUpper`.
pub(crate) fn to_upper(text: &str) -> String {
    text.chars().map(|c| simple(c, c.to_uppercase(), simple_upper)).collect()
}

/// `strings.ToLower`.
pub(crate) fn to_lower(text: &str) -> String {
    text.chars().map(|c| simple(c, c.to_lowercase(), |c| if c == 'İ' { 'i' } else { c })).collect()
}

fn simple(c: char, mut full: impl ExactSizeIterator<Item = char>, otherwise: fn(char) -> char) -> char {
    if full.len() == 1 { full.next().unwrap_or(c) } else { otherwise(c) }
}

/// Greek letters with iota subscript have a single title-case letter; the rest of the multi-character mappings
/// have no simple counterpart.
fn simple_upper(c: char) -> char {
    let code = c as u32;
    let title = match code {
        0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7 => code + 8,
        0x1fb3 | 0x1fc3 | 0x1ff3 => code + 9,
        _ => code,
    };
    char::from_u32(title).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_becomes_one_character() {
        let cases = [
            ("straße ǆ ŉ", "STRAßE Ǆ ŉ", "straße ǆ ŉ"),
            ("ÀÉÎ İ Σ", "ÀÉÎ İ Σ", "àéî i σ"),
            ("ᾀᾳῃῳ ﬁ ǰ", "ᾈᾼῌῼ ﬁ ǰ", "ᾀᾳῃῳ ﬁ ǰ"),
        ];
        for (text, upper, lower) in cases {
            assert_eq!((to_upper(text), to_lower(text)), (upper.into(), lower.into()));
        }
        assert_eq!(to_lower("ΑΣ"), "ασ", "a sigma at the end of a word stays an ordinary one");
    }
}
