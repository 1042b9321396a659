//! Character classes and escapes of RE2.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange, HirKind};

use super::RegexError;
use super::parse::error;

/// Adds what is equal to the class's characters but for case.
pub(super) fn fold(class: &mut ClassUnicode) {
    // Fails only when built without the case tables.
    let _ = class.try_case_fold_simple();
}

fn of_ranges(ranges: &[(char, char)], negated: bool, fold_case: bool) -> ClassUnicode {
    let mut class = ClassUnicode::new(ranges.iter().map(|&(a, b)| ClassUnicodeRange::new(a, b)));
    if fold_case {
        fold(&mut class);
    }
    if negated {
        negate(&mut class);
    }
    class
}

/// Reads `[…]` at the start of `text`; returns the class and the rest.
pub(super) fn bracketed(text: &str, fold_case: bool) -> Result<(ClassUnicode, &str), RegexError> {
    let mut rest = &text[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let mut class = ClassUnicode::empty();
    let mut first = true; // A closing bracket may stand first and then is an ordinary character.
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((named, after)) = posix(rest, fold_case)? {
            class.union(&named);
            rest = after;
            continue;
        }
        if let Some((escaped, after)) = escaped(rest, fold_case)? {
            class.union(&escaped);
            rest = after;
            continue;
        }
        let start = rest;
        let (low, after) = bracketed_char(rest, text)?;
        rest = after;
        let mut high = low;
        if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
            let (end, after) = bracketed_char(&rest[1..], text)?;
            rest = after;
            high = end;
            if high < low {
                let range = &start[..start.len() - rest.len()];
                return Err(error("invalid character class range", range));
            }
        }
        push_range(&mut class, low, high);
    }
    if fold_case {
        // Classes in brackets are folded before they are negated; folding those again changes nothing.
        fold(&mut class);
    }
    if negated {
        negate(&mut class);
    }
    Ok((class, &rest[1..]))
}

/// Adds a range of code points, but for the surrogates at its ends, which no text can have.
fn push_range(class: &mut ClassUnicode, low: u32, high: u32) {
    let low = char::from_u32(low).unwrap_or(AFTER_SURROGATES);
    let high = char::from_u32(high).unwrap_or(BEFORE_SURROGATES);
    if low <= high {
        class.push(ClassUnicodeRange::new(low, high));
    }
}

const BEFORE_SURROGATES: char = '\u{d7ff}';
const AFTER_SURROGATES: char = '\u{e000}';

/// Every character that is not in the class.
fn negate(class: &mut ClassUnicode) {
    // To `regex-syntax` these two are not neighbours; negating one range that ends at the first and one that
    // starts at the second would leave a range between them.
    let ends = class.ranges().iter().any(|r| r.end() == BEFORE_SURROGATES);
    let starts = class.ranges().iter().any(|r| r.start() == AFTER_SURROGATES);
    if ends && starts {
        class.push(ClassUnicodeRange::new(BEFORE_SURROGATES, AFTER_SURROGATES));
    }
    class.negate();
}

fn bracketed_char<'a>(text: &'a str, whole: &str) -> Result<(u32, &'a str), RegexError> {
    match text.chars().next() {
        None => Err(error("missing closing ]", whole)),
        Some('\\') => escaped_char(text),
        Some(c) => Ok((c.into(), &text[c.len_utf8()..])),
    }
}

/// `[:alpha:]`, `[:^alpha:]`.
fn posix(text: &str, fold_case: bool) -> Result<Option<(ClassUnicode, &str)>, RegexError> {
    let Some(inner) = text.strip_prefix("[:") else { return Ok(None) };
    let Some((name, rest)) = inner.split_once(":]") else { return Ok(None) };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => {
            let whole = &text[..text.len() - rest.len()];
            return Err(error("invalid character class range", whole));
        }
    };
    Ok(Some((of_ranges(ranges, negated, fold_case), rest)))
}

const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// `\d`, `\pL`, `\P{Greek}` at the start of `text`; `None` when it is no class.
pub(super) fn escaped(text: &str, fold_case: bool) -> Result<Option<(ClassUnicode, &str)>, RegexError> {
    let Some(after) = text.strip_prefix('\\') else { return Ok(None) };
    let Some(letter) = after.bytes().next() else { return Ok(None) };
    let ranges: &[(char, char)] = match letter {
        b'd' | b'D' => &[('0', '9')],
        b's' | b'S' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        b'w' | b'W' => WORD,
        b'p' | b'P' => return unicode(text, fold_case).map(Some),
        _ => return Ok(None),
    };
    Ok(Some((of_ranges(ranges, letter.is_ascii_uppercase(), fold_case), &after[1..])))
}

/// `\pN`, `\p{Name}`, `\p{^Name}` and the same with `P`.
fn unicode(text: &str, fold_case: bool) -> Result<(ClassUnicode, &str), RegexError> {
    let mut negated = text.starts_with("\\P");
    let body = &text[2..];
    let (mut name, rest) = match body.chars().next() {
        // Nothing follows: no name, and no table of that name.
        None => ("", ""),
        Some('{') => match body[1..].split_once('}') {
            Some(found) => found,
            None => return Err(error("invalid character class range", text)),
        },
        Some(c) => body.split_at(c.len_utf8()),
    };
    if let Some(positive) = name.strip_prefix('^') {
        negated = !negated;
        name = positive;
    }
    let Some(mut class) = property(name) else {
        return Err(error("invalid character class range", &text[..text.len() - rest.len()]));
    };
    if fold_case {
        fold(&mut class);
    }
    if negated {
        negate(&mut class);
    }
    Ok((class, rest))
}

/// General categories, as Go names them.
const CATEGORIES: &str = "C Cc Cf Cn Co Cs L Lc Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc \
    Sk Sm So Z Zl Zp Zs Casedletter Closepunctuation Cntrl Combiningmark Connectorpunctuation Control \
    Currencysymbol Dashpunctuation Decimalnumber Digit Enclosingmark Finalpunctuation Format Initialpunctuation \
    Letter Letternumber Lineseparator Lowercaseletter Mark Mathsymbol Modifierletter Modifiersymbol \
    Nonspacingmark Number Openpunctuation Other Otherletter Othernumber Otherpunctuation Othersymbol \
    Paragraphseparator Privateuse Punct Punctuation Separator Spaceseparator Spacingmark Surrogate Symbol \
    Titlecaseletter Unassigned Uppercaseletter";

/// Scripts that Go finds under the name that it makes of what was written.
const SCRIPTS: &str = "Adlam Ahom Arabic Armenian Avestan Balinese Bamum Batak Bengali Bhaiksuki Bopomofo Brahmi Braille \
    Buginese Buhid Carian Chakma Cham Cherokee Chorasmian Common Coptic Cuneiform Cypriot Cyrillic \
    Deseret Devanagari Dogra Duployan Elbasan Elymaic Ethiopic Georgian Glagolitic Gothic Grantha Greek \
    Gujarati Gurmukhi Han Hangul Hanunoo Hatran Hebrew Hiragana Inherited Javanese Kaithi Kannada \
    Katakana Kawi Kharoshthi Khmer Khojki Khudawadi Lao Latin Lepcha Limbu Lisu Lycian Lydian Mahajani \
    Makasar Malayalam Mandaic Manichaean Marchen Medefaidrin Miao Modi Mongolian Mro Multani Myanmar \
    Nabataean Nandinagari Newa Nko Nushu Ogham Oriya Osage Osmanya Palmyrene Phoenician Rejang Runic \
    Samaritan Saurashtra Sharada Shavian Siddham Sinhala Sogdian Soyombo Sundanese Syriac Tagalog \
    Tagbanwa Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Toto Ugaritic Vai \
    Vithkuqi Wancho Yezidi Yi";

/// The characters of a general category or a script.
fn property(name: &str) -> Option<ClassUnicode> {
    let name = canonical(name);
    let listed = |list: &str| list.split_ascii_whitespace().any(|n| n == name);
    let query = match name.as_str() {
        "Any" => r"\p{Any}".into(),
        "Assigned" => r"\p{Assigned}".into(),
        "Ascii" => r"\p{Ascii}".into(),
        // Surrogates are no characters of a text.
        "Cs" | "Surrogate" => return Some(ClassUnicode::empty()),
        _ if listed(CATEGORIES) => format!(r"\p{{gc={name}}}"),
        _ if listed(SCRIPTS) => format!(r"\p{{sc={name}}}"),
        _ => return None,
    };
    match regex_syntax::parse(&query).ok()?.into_kind() {
        HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

/// First letter upper case, the rest lower case, without blanks, hyphens and underscores.
fn canonical(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')) {
        out.push(if out.is_empty() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
    }
    out
}

/// Reads an escape that stands for one code point; it may be a surrogate.
pub(super) fn escaped_char(text: &str) -> Result<(u32, &str), RegexError> {
    let mut rest = Rest(text.get(1..).unwrap_or(""));
    let Some(c) = rest.next() else { return Err(error("trailing backslash at end of expression", "")) };
    let code = match c {
        '0' => Some(octal(c, &mut rest)),
        '1'..='7' if rest.0.starts_with(|d| ('0'..='7').contains(&d)) => Some(octal(c, &mut rest)),
        'x' => hexadecimal(&mut rest),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c.into()),
        _ => None,
    };
    match code {
        Some(code) => Ok((code, rest.0)),
        None => Err(error("invalid escape sequence", &text[..text.len() - rest.0.len()])),
    }
}

/// What is left to read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.0.chars().next()?;
        self.0 = &self.0[c.len_utf8()..];
        Some(c)
    }
}

/// Up to three octal digits, the first of them already read.
fn octal(first: char, rest: &mut Rest<'_>) -> u32 {
    let mut code = first.to_digit(8).unwrap_or(0);
    for _ in 1..3 {
        let Some(digit) = rest.0.chars().next().and_then(|c| c.to_digit(8)) else { break };
        code = code * 8 + digit;
        rest.next();
    }
    code
}

/// `\xhh` or `\x{h…}`, after the `x`. `None` when it is not that.
fn hexadecimal(rest: &mut Rest<'_>) -> Option<u32> {
    let first = rest.next()?;
    if first != '{' {
        let second = rest.next();
        let digits = first.to_digit(16).zip(second.and_then(|c| c.to_digit(16)));
        return digits.map(|(high, low)| high * 16 + low);
    }
    let mut code = None;
    while let Some(c) = rest.next() {
        if c == '}' {
            return code;
        }
        let digit = c.to_digit(16)?;
        let next = code.unwrap_or(0) * 16 + digit;
        if next > char::MAX as u32 {
            return None;
        }
        code = Some(next);
    }
    None
}

/// Whether Go's `unicode.IsLetter` or `unicode.IsDigit` takes the character.
pub(super) fn is_letter_or_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    let in_category = |name| {
        property(name).is_some_and(|class| {
            class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&c))
        })
    };
    in_category("L") || in_category("Nd")
}
