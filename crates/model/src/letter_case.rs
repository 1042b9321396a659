//! Upper and lower case as Go's `strings.ToUpper` and `strings.ToLower`: one character becomes one character.
//!
//! Rust's mappings are the full ones of Unicode, where `ß` becomes `SS`; Go's are the simple ones. They differ
//! only where the full mapping has several characters.

/// `strings.ToUpper`.
#[must_use]
pub fn to_upper(text: &str) -> String {
    text.chars().map(|c| simple(c, c.to_uppercase(), simple_upper)).collect()
}

/// `strings.ToLower`.
#[must_use]
pub fn to_lower(text: &str) -> String {
    text.chars().map(|c| simple(c, c.to_lowercase(), |c| if c == 'İ' { 'i' } else { c })).collect()
}

/// Go's `cases.Title(language.AmericanEnglish, cases.NoLower)`: the first letter of each word in title case.
///
/// Words are as in Unicode's word boundaries, roughly: letters, marks, digits and `_`, and an apostrophe, a colon or a
/// dot between letters.
#[must_use]
pub fn to_title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut titled = false;
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let joins = matches!(c, '\'' | '.' | ':' | '’' | '·')
            && before.is_some_and(char::is_alphabetic)
            && characters.peek().is_some_and(|next| next.is_alphabetic());
        let combining = ('\u{300}'..='\u{36f}').contains(&c);
        if c.is_alphanumeric() || c == '_' || joins || combining {
            let first_letter = !titled && c.is_alphabetic();
            titled |= first_letter;
            out.push(if first_letter { title(c) } else { c });
        } else {
            titled = false;
            out.push(c);
        }
        before = Some(c);
    }
    out
}

/// Four letters are two letters in one, of which only the first becomes large.
fn title(c: char) -> char {
    match c {
        'Ǆ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǳ' => 'ǲ',
        c => simple(c, c.to_uppercase(), simple_upper),
    }
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
