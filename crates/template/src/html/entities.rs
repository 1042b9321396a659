//! Character references of HTML, as they appear in the attributes of templates.

/// `text` with its character references replaced: numbers and the names that stand for ASCII characters.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'&') {
        let (before, reference) = rest.split_at(at);
        out.extend_from_slice(before);
        match character(reference) {
            Some((c, length)) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = reference.get(length..).unwrap_or_default();
            }
            None => {
                out.push(b'&');
                rest = reference.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// What the reference at the start of `text` stands for, and its length.
fn character(text: &[u8]) -> Option<(char, usize)> {
    const NAMES: [(&[u8], char); 22] = [
        (b"&amp", '&'),
        (b"&lt", '<'),
        (b"&gt", '>'),
        (b"&quot", '"'),
        (b"&apos;", '\''),
        (b"&nbsp", '\u{a0}'),
        (b"&colon;", ':'),
        (b"&sol;", '/'),
        (b"&bsol;", '\\'),
        (b"&lpar;", '('),
        (b"&rpar;", ')'),
        (b"&num;", '#'),
        (b"&quest;", '?'),
        (b"&equals;", '='),
        (b"&semi;", ';'),
        (b"&comma;", ','),
        (b"&period;", '.'),
        (b"&grave;", '`'),
        (b"&lbrace;", '{'),
        (b"&rbrace;", '}'),
        (b"&NewLine;", '\n'),
        (b"&Tab;", '\t'),
    ];
    if let Some(number) = text.strip_prefix(b"&#") {
        let (radix, digits, prefix) = match number {
            [b'x' | b'X', digits @ ..] => (16, digits, 3),
            digits => (10, digits, 2),
        };
        let length = digits.iter().take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let digits = std::str::from_utf8(digits.get(..length)?).ok().filter(|digits| !digits.is_empty())?;
        let code = u32::from_str_radix(digits, radix).unwrap_or(0);
        let closed = usize::from(text.get(prefix + length) == Some(&b';'));
        let c = char::from_u32(code).filter(|c| *c != '\0').unwrap_or('\u{fffd}');
        return Some((c, prefix + length + closed));
    }
    let (name, c) = NAMES.iter().find(|(name, _)| text.starts_with(name))?;
    let closed = usize::from(!name.ends_with(b";") && text.get(name.len()) == Some(&b';'));
    Some((*c, name.len() + closed))
}
