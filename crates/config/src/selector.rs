//! Selectors of labels and fields as the API server of Kubernetes understands them: checked here, so that a typing error
//! is found when the configuration is read. The sentences are those of its own parser.

/// What may stand between a key and its values.
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";
const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const PREFIX_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
/// The longest name and value.
const LONGEST: usize = 63;
/// The longest prefix of a key.
const LONGEST_PREFIX: usize = 253;

/// Checks a selector of labels.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_labels(text: &str) -> Result<(), String> {
    Parser { tokens: tokens(text), at: 0 }.selector()
}

/// Checks a selector of fields.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_fields(text: &str) -> Result<(), String> {
    for term in split_unescaped(text).into_iter().filter(|term| !term.is_empty()) {
        let Some(at) = operator(term) else {
            return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
        };
        let value = &term[at..];
        let value = ["!=", "==", "="].iter().find_map(|sign| value.strip_prefix(sign)).unwrap_or_default();
        check_field_value(value)?;
    }
    Ok(())
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Where the first operator begins.
fn operator(term: &str) -> Option<usize> {
    (0..term.len()).find(|&i| {
        let rest = &term.as_bytes()[i..];
        rest.starts_with(b"!=") || rest.starts_with(b"=")
    })
}

fn check_field_value(value: &str) -> Result<(), String> {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\\' | ',' | '=') => {}
                next => {
                    let next = next.map(String::from).unwrap_or_default();
                    return Err(format!("invalid field selector: invalid escape sequence: \\{next}"));
                }
            },
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {}",
                    u32::from(c)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A piece of a selector: a word, a sign, or nothing at its end.
type Token<'a> = &'a str;

fn is_sign(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            at += 1;
            continue;
        }
        let length = if !is_sign(byte) {
            let ends = |b: &u8| is_sign(*b) || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
            bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at)
        } else if bytes[at..].starts_with(b"==") || bytes[at..].starts_with(b"!=") {
            2
        } else {
            1
        };
        tokens.push(&text[at..at + length]);
        at += length;
    }
    tokens
}

fn is_word(token: Token<'_>) -> bool {
    token.bytes().next().is_some_and(|byte| !is_sign(byte))
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(&mut self) -> Result<(), String> {
        loop {
            let token = self.peek();
            if token.is_empty() {
                return Ok(());
            }
            if !is_word(token) && token != "!" {
                return Err(format!("found '{token}', expected: !, identifier, or 'end of string'"));
            }
            self.requirement().map_err(|line| format!("unable to parse requirement: {line}"))?;
            match self.next() {
                "" => return Ok(()),
                "," => {
                    let after = self.peek();
                    if !is_word(after) && after != "!" {
                        return Err(format!("found '{after}', expected: identifier after ','"));
                    }
                }
                other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<(), String> {
        let mut key = self.next();
        let absent = key == "!";
        if absent {
            key = self.next();
        }
        if !is_word(key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        check_key(key)?;
        if absent || matches!(self.peek(), "" | ",") {
            return Ok(());
        }
        let values = match self.next() {
            "in" | "notin" => self.values()?,
            "=" | "==" | "!=" => vec![self.value()?],
            ">" | "<" => {
                let value = self.value()?;
                if value.parse::<i64>().is_err() {
                    return Err(format!(
                        "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                    ));
                }
                vec![value]
            }
            other => return Err(format!("found '{other}', expected: {OPERATORS}")),
        };
        values.iter().enumerate().try_for_each(|(i, value)| check_value(key, i, value))
    }

    fn value(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            "" | "," => Ok(""),
            word if is_word(word) => Ok(self.next()),
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    /// In parentheses; sorted.
    fn values(&mut self) -> Result<Vec<&'a str>, String> {
        let open = self.next();
        if open != "(" {
            return Err(format!("found '{open}' expected: '('"));
        }
        let mut values = Vec::new();
        match self.peek() {
            ")" => {}
            token if is_word(token) || token == "," => self.list(&mut values)?,
            other => return Err(format!("found '{other}', expected: ',', ')' or identifier")),
        }
        self.at += 1;
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// Up to the closing parenthesis.
    fn list(&mut self, values: &mut Vec<&'a str>) -> Result<(), String> {
        loop {
            match self.next() {
                word if is_word(word) => {
                    values.push(word);
                    match self.peek() {
                        "," => {}
                        ")" => return Ok(()),
                        other => return Err(format!("found '{other}', expected: ',' or ')'")),
                    }
                }
                "," => match self.peek() {
                    ")" => return Ok(()),
                    "," => self.at += 1,
                    _ => {}
                },
                other => return Err(format!("found '{other}', expected: ',', or identifier")),
            }
        }
    }
}

/// Alphanumeric at both ends, with `inner` between.
fn is_name(text: &str, inner: &[u8], letter: fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(letter)
        && bytes.last().is_some_and(letter)
        && bytes.iter().all(|byte| letter(byte) || inner.contains(byte))
}

fn check_key(key: &str) -> Result<(), String> {
    let mut wrong = Vec::new();
    let parts: Vec<&str> = key.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > LONGEST_PREFIX {
                    wrong.push(format!("prefix part must be no more than {LONGEST_PREFIX} bytes"));
                }
                let lower = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                if !prefix.split('.').all(|part| is_name(part, b"-", lower)) {
                    wrong.push(format!("prefix part {PREFIX_RULE}"));
                }
            }
            name
        }
        _ => {
            let line = format!(
                "a valid label key {NAME_RULE} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            );
            return Err(format!("<nil>: Invalid value: {key:?}: {line}"));
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LONGEST {
        wrong.push(format!("name part must be no more than {LONGEST} bytes"));
    }
    if !is_name(name, b"-_.", u8::is_ascii_alphanumeric) {
        wrong.push(format!("name part {NAME_RULE}"));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; ")))
}

fn check_value(key: &str, index: usize, value: &str) -> Result<(), String> {
    let mut wrong = Vec::new();
    if value.len() > LONGEST {
        wrong.push(format!("must be no more than {LONGEST} bytes"));
    }
    if !value.is_empty() && !is_name(value, b"-_.", u8::is_ascii_alphanumeric) {
        wrong.push(VALUE_RULE.to_owned());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("values[{index}][{key}]: Invalid value: {value:?}: {}", wrong.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As promtool 3.14 answers.
    #[test]
    fn label_selectors_are_read_as_the_api_server_reads_them() {
        for good in [
            "",
            "a in ()",
            "a in (,)",
            "a in (b,,c)",
            "a=",
            "a==b",
            "a = b",
            "a.b/c",
            "a>5",
            "in=b",
            "notin",
            "a  ,b",
            "a,b in (x,y),!c",
            "! a",
            "a!=b",
        ] {
            assert_eq!(check_labels(good), Ok(()), "{good}");
        }
        for (bad, line) in [
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a in x", "unable to parse requirement: found 'x' expected: '('"),
            ("a in", "unable to parse requirement: found '' expected: '('"),
            ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
            ("a in ((b)", "unable to parse requirement: found '(', expected: ',', ')' or identifier"),
            ("a in (b))", "found ')', expected: ',' or 'end of string'"),
            ("!!", "unable to parse requirement: found '!', expected: identifier"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("!a b", "found 'b', expected: ',' or 'end of string'"),
            ("a!", "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a===b", "unable to parse requirement: found '=', expected: identifier"),
            ("a>=5", "unable to parse requirement: found '=', expected: identifier"),
            ("a<>b", "unable to parse requirement: found '>', expected: identifier"),
            ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
            ("(a)", "found '(', expected: !, identifier, or 'end of string'"),
            ("<a", "found '<', expected: !, identifier, or 'end of string'"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a=b,", "found '', expected: identifier after ','"),
            ("a,!", "unable to parse requirement: found '', expected: identifier"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
            (
                "/c",
                "unable to parse requirement: <nil>: Invalid value: \"/c\": prefix part must be non-empty",
            ),
        ] {
            assert_eq!(check_labels(bad).unwrap_err(), line, "{bad}");
        }
        for (bad, piece) in [
            ("-a=b", "<nil>: Invalid value: \"-a\": name part must consist of"),
            ("a/", "<nil>: Invalid value: \"a/\": name part must be non-empty; name part must consist of"),
            ("A/B/c=d", "<nil>: Invalid value: \"A/B/c\": a valid label key must consist of"),
            (
                "UP.x/c",
                "<nil>: Invalid value: \"UP.x/c\": prefix part a lowercase RFC 1123 subdomain must consist of",
            ),
            ("a in (b,%)", "values[0][a]: Invalid value: \"%\": a valid label must be an empty string or"),
        ] {
            let line = check_labels(bad).unwrap_err();
            assert!(line.starts_with(&format!("unable to parse requirement: {piece}")), "{bad}: {line}");
        }
        let long = "x".repeat(64);
        assert!(
            check_labels(&format!("{long}=y"))
                .unwrap_err()
                .ends_with("name part must be no more than 63 bytes")
        );
        assert!(check_labels(&format!("a={long}")).unwrap_err().ends_with(": must be no more than 63 bytes"));
    }
}
