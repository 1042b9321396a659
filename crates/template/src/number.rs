//! Constants of templates: numbers, characters and quoted strings as Go writes them.

/// A number, which is what it is used as: `1e3` may be an integer.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    /// As written.
    pub(crate) text: String,
    pub(crate) integer: Option<i64>,
    pub(crate) unsigned: Option<u64>,
    pub(crate) float: Option<f64>,
}

impl Number {
    /// A number, but not one of two parts.
    ///
    /// # Errors
    /// In Go's words.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let quoted = || model::number::quote(text);
        if text.ends_with('i') {
            return Err(format!("complex number {} is not supported", quoted()));
        }
        let mut number = Number { text: text.into(), integer: None, unsigned: None, float: None };
        if let Some((negative, magnitude)) = whole(text) {
            number.unsigned = (!text.starts_with(['+', '-']) || magnitude == 0).then_some(magnitude);
            number.integer = match i64::try_from(magnitude) {
                Ok(value) => Some(if negative { -value } else { value }),
                Err(_) if negative && magnitude == 1 << 63 => Some(i64::MIN),
                Err(_) => None,
            };
        }
        if let Some(integer) = number.integer {
            number.float = Some(integer as f64);
        } else if let Some(unsigned) = number.unsigned {
            number.float = Some(unsigned as f64);
        } else if let Some(float) = model::number::parse_float(text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quoted()));
            }
            number.float = Some(float);
            number.integer =
                (float.trunc() == float && float.abs() < i64::MAX as f64).then_some(float as i64);
            number.unsigned =
                (float.trunc() == float && (0.0..u64::MAX as f64).contains(&float)).then_some(float as u64);
        } else {
            return Err(format!("illegal number syntax: {}", quoted()));
        }
        Ok(number)
    }

    /// `'x'`: the number of the character.
    ///
    /// # Errors
    /// In Go's words.
    pub(crate) fn of_character(text: &str) -> Result<Self, String> {
        let inside = text.strip_prefix('\'').unwrap_or(text);
        let (value, rest) = character(inside, '\'').ok_or("invalid syntax")?;
        if rest != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let code = match value {
            Unquoted::Character(c) => u32::from(c),
            Unquoted::Byte(byte) => u32::from(byte),
        };
        Ok(Number {
            text: text.into(),
            integer: Some(i64::from(code)),
            unsigned: Some(u64::from(code)),
            float: Some(f64::from(code)),
        })
    }

    /// Whether an argument of any type takes it as a float.
    pub(crate) fn looks_like_float(&self) -> bool {
        let hexadecimal = self.text.get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x"))
            && !self.text.contains(['p', 'P']);
        !hexadecimal && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

/// Go's integer syntax with its prefixes and underscores: whether negative, and the magnitude.
fn whole(text: &str) -> Option<(bool, u64)> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    let after_prefix = radix != 10;
    let mut before_is_digit = after_prefix;
    for c in digits.chars() {
        if c == '_' && !before_is_digit {
            return None;
        }
        before_is_digit = c != '_';
    }
    if !before_is_digit || digits.is_empty() {
        return None;
    }
    let plain = digits.replace('_', "");
    if plain.starts_with(['+', '-']) {
        return None;
    }
    Some((negative, u64::from_str_radix(&plain, radix).ok()?))
}

enum Unquoted {
    Character(char),
    /// `\x80` and `\200` are bytes, not characters.
    Byte(u8),
}

/// What the first character or escape of `text` stands for, and what follows (`strconv.UnquoteChar`).
fn character(text: &str, quote: char) -> Option<(Unquoted, &str)> {
    let mut rest = text.chars();
    let first = rest.next()?;
    if first == quote {
        return None;
    }
    if first != '\\' {
        return Some((Unquoted::Character(first), rest.as_str()));
    }
    let escaped = rest.next()?;
    let plain = |c: char, rest| Some((Unquoted::Character(c), rest));
    match escaped {
        'a' => plain('\x07', rest.as_str()),
        'b' => plain('\x08', rest.as_str()),
        'f' => plain('\x0c', rest.as_str()),
        'n' => plain('\n', rest.as_str()),
        'r' => plain('\r', rest.as_str()),
        't' => plain('\t', rest.as_str()),
        'v' => plain('\x0b', rest.as_str()),
        '\\' => plain('\\', rest.as_str()),
        '\'' | '"' if escaped == quote => plain(escaped, rest.as_str()),
        'x' | 'u' | 'U' => {
            let length = match escaped {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let digits = rest.as_str().get(..length)?;
            let code = digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then(|| u32::from_str_radix(digits, 16).ok())??;
            let rest = rest.as_str().get(length..)?;
            match u8::try_from(code) {
                Ok(byte) if escaped == 'x' => Some((Unquoted::Byte(byte), rest)),
                _ => plain(char::from_u32(code)?, rest),
            }
        }
        '0'..='7' => {
            let digits = text.get(1..4)?;
            let code = u32::from_str_radix(digits, 8).ok()?;
            Some((Unquoted::Byte(u8::try_from(code).ok()?), text.get(4..)?))
        }
        _ => None,
    }
}

/// A string as written, in double or back quotes, to what it stands for (`strconv.Unquote`).
///
/// Bytes that are no UTF-8 become U+FFFD.
pub(crate) fn unquote(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let (value, after) = character(rest, '"')?;
        match value {
            Unquoted::Character(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Unquoted::Byte(byte) => bytes.push(byte),
        }
        rest = after;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
