//! JSON with the complaints of Go's `encoding/json`.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool,
    Number,
    Text(String),
    Array(Vec<Json>),
    /// Members in their order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// What Go calls a value of this kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool => "bool",
            Json::Number => "number",
            Json::Text(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }
}

/// Deepest nesting that is read. Go reads 10,000 levels; nothing that is meant has more than a few.
const MAX_DEPTH: usize = 128;
const END: &str = "unexpected end of JSON input";

/// Reads a text.
///
/// # Errors
/// In Go's words.
pub(crate) fn parse(text: &[u8]) -> Result<Json, String> {
    let mut reader = Reader { rest: text, depth: 0 };
    let value = reader.value()?;
    match reader.next_token() {
        None => Ok(value),
        Some(c) => Err(unexpected(c, "after top-level value")),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

fn unexpected(c: u8, place: &str) -> String {
    let shown = match c {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        c => {
            let quoted = model::number::quote(&char::from(c).to_string());
            format!("'{}'", quoted.trim_start_matches('"').trim_end_matches('"'))
        }
    };
    format!("invalid character {shown} {place}")
}

impl Reader<'_> {
    /// The next byte that is not blank; it stays.
    fn next_token(&mut self) -> Option<u8> {
        let blanks = self.rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.rest = self.rest.get(blanks..).unwrap_or_default();
        self.rest.first().copied()
    }

    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.next_token() {
            None => Err(END.into()),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b't') => self.literal("true", Json::Bool),
            Some(b'f') => self.literal("false", Json::Bool),
            Some(b'n') => self.literal("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(c) => Err(unexpected(c, "looking for beginning of value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, String>) -> Result<Json, String> {
        self.skip();
        if self.depth == MAX_DEPTH {
            return Err("exceeded max depth".into());
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn array(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        if self.next_token() == Some(b']') {
            self.skip();
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            match self.next_token() {
                Some(b',') => self.skip(),
                Some(b']') => {
                    self.skip();
                    return Ok(Json::Array(items));
                }
                Some(c) => return Err(unexpected(c, "after array element")),
                None => return Err(END.into()),
            }
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut members = Vec::new();
        if self.next_token() == Some(b'}') {
            self.skip();
            return Ok(Json::Object(members));
        }
        loop {
            let key = match self.next_token() {
                Some(b'"') => self.string()?,
                Some(c) => return Err(unexpected(c, "looking for beginning of object key string")),
                None => return Err(END.into()),
            };
            match self.next_token() {
                Some(b':') => self.skip(),
                Some(c) => return Err(unexpected(c, "after object key")),
                None => return Err(END.into()),
            }
            members.push((key, self.value()?));
            match self.next_token() {
                Some(b',') => self.skip(),
                Some(b'}') => {
                    self.skip();
                    return Ok(Json::Object(members));
                }
                Some(c) => return Err(unexpected(c, "after object key:value pair")),
                None => return Err(END.into()),
            }
        }
    }

    fn literal(&mut self, word: &str, value: Json) -> Result<Json, String> {
        for expected in word.bytes() {
            match self.peek() {
                Some(c) if c == expected => self.skip(),
                Some(c) => {
                    let expecting = char::from(expected);
                    return Err(unexpected(c, &format!("in literal {word} (expecting '{expecting}')")));
                }
                None => return Err(END.into()),
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Json, String> {
        if self.peek() == Some(b'-') {
            self.skip();
        }
        if self.peek() == Some(b'0') {
            self.skip();
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.skip();
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.skip();
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.skip();
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(Json::Number)
    }

    /// At least one.
    fn digits(&mut self, place: &str) -> Result<(), String> {
        match self.peek() {
            Some(b'0'..=b'9') => {}
            Some(c) => return Err(unexpected(c, place)),
            None => return Err(END.into()),
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.skip();
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, String> {
        self.skip();
        let mut out: Vec<u8> = Vec::new();
        loop {
            let Some(c) = self.peek() else { return Err(END.into()) };
            match c {
                b'"' => {
                    self.skip();
                    return Ok(String::from_utf8_lossy(&out).into_owned());
                }
                b'\\' => {
                    self.skip();
                    out.extend(self.escape()?.encode_utf8(&mut [0; 4]).bytes());
                }
                c if c < b' ' => return Err(unexpected(c, "in string literal")),
                c => {
                    self.skip();
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(c) = self.peek() else { return Err(END.into()) };
        let plain = match c {
            b'"' | b'\\' | b'/' => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.skip();
                return self.unicode();
            }
            c => return Err(unexpected(c, "in string escape code")),
        };
        self.skip();
        Ok(plain)
    }

    /// After `\u`; two halves of a pair make one character, and a half alone is the replacement character.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) || !self.rest.starts_with(b"\\u") {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.rest;
        self.rest = self.rest.get(2..).unwrap_or_default();
        let second = self.four_digits()?;
        if (0xdc00..0xe000).contains(&second) {
            let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Ok(char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.rest = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(c) = self.peek() else { return Err(END.into()) };
            let Some(digit) = char::from(c).to_digit(16) else {
                return Err(unexpected(c, r"in \u hexadecimal character escape"));
            };
            value = value * 16 + digit;
            self.skip();
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_in_gos_words() {
        let cases = [
            ("", END),
            ("{", END),
            ("{n", "invalid character 'n' looking for beginning of object key string"),
            (r#"{"a" "b"}"#, "invalid character '\"' after object key"),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[tru]", "invalid character ']' in literal true (expecting 'e')"),
            ("[01]", "invalid character '1' after array element"),
            ("[-]", "invalid character ']' in numeric literal"),
            ("[1.]", "invalid character ']' after decimal point in numeric literal"),
            ("[1e]", "invalid character ']' in exponent of numeric literal"),
            (r#"["\q"]"#, "invalid character 'q' in string escape code"),
            ("[\"a\nb\"]", r"invalid character '\n' in string literal"),
            (r#"["\u00g0"]"#, r"invalid character 'g' in \u hexadecimal character escape"),
            ("[] x", "invalid character 'x' after top-level value"),
            ("'", r"invalid character '\'' looking for beginning of value"),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text.as_bytes()), Err(want.into()), "{text}");
        }
    }

    #[test]
    fn texts_are_read_with_their_escapes() {
        let text = r#"{"a":["\u00e9\ud83d\ude00\ud83dx\n",null,-1.5e3,true,{}]}"#;
        let items = vec![
            Json::Text("é😀\u{fffd}x\n".into()),
            Json::Null,
            Json::Number,
            Json::Bool,
            Json::Object(Vec::new()),
        ];
        assert_eq!(parse(text.as_bytes()), Ok(Json::Object(vec![("a".into(), Json::Array(items))])));
    }
}
