//! Just enough of Rust's lexical grammar to tell code from comments and to read string literals.

/// A token with the line that it starts on (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Identifiers, keywords and numbers.
    Word(String),
    /// A string literal of any form, escapes resolved as far as names and help texts need them.
    Text(String),
    /// Any other character; also stands for character literals and lifetimes, as `'`.
    Mark(char),
}

/// Splits source text into tokens; comments and white space are left out.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token() {
        tokens.push(token);
    }
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn token(&mut self) -> Option<Token> {
        self.skip_blank_and_comments();
        let line = self.line;
        let first = self.peek(0)?;
        let kind = if let Some(hashes) = self.raw_string_ahead() {
            TokenKind::Text(self.raw_string(hashes))
        } else if first == '"' || (matches!(first, 'b' | 'c') && self.peek(1) == Some('"')) {
            self.at += usize::from(first != '"');
            TokenKind::Text(self.string())
        } else if is_word(first) {
            TokenKind::Word(self.word())
        } else if first == '\'' {
            self.character_or_lifetime();
            TokenKind::Mark('\'')
        } else {
            self.bump();
            TokenKind::Mark(first)
        };
        Some(Token { line, kind })
    }

    fn skip_blank_and_comments(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some(c), _) if c.is_whitespace() => drop(self.bump()),
                (Some('/'), Some('/')) => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.bump();
                    }
                }
                (Some('/'), Some('*')) => self.skip_block_comment(),
                _ => return,
            }
        }
    }

    /// Block comments nest in Rust.
    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while let Some(c) = self.bump() {
            match (c, self.peek(0)) {
                ('/', Some('*')) => depth += 1,
                ('*', Some('/')) => depth -= 1,
                _ => continue,
            }
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    /// The number of `#` of the raw string that starts here, if one does: `r"`, `r#"`, `br#"`.
    fn raw_string_ahead(&self) -> Option<usize> {
        let prefix = match (self.peek(0)?, self.peek(1)?) {
            ('r', _) => 1,
            ('b' | 'c', 'r') => 2,
            _ => return None,
        };
        let hashes = (0..).take_while(|i| self.peek(prefix + i) == Some('#')).count();
        (self.peek(prefix + hashes) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self, hashes: usize) -> String {
        while self.bump().is_some_and(|c| c != '"') {}
        let mut text = String::new();
        while let Some(c) = self.bump() {
            if c == '"' && (0..hashes).all(|i| self.peek(i) == Some('#')) {
                self.at += hashes;
                break;
            }
            text.push(c);
        }
        text
    }

    fn string(&mut self) -> String {
        self.bump();
        let mut text = String::new();
        while let Some(c) = self.bump() {
            match c {
                '"' => break,
                '\\' => match self.bump() {
                    Some('\n') => {
                        while self.peek(0).is_some_and(char::is_whitespace) {
                            self.bump();
                        }
                    }
                    Some('n') => text.push('\n'),
                    Some(other) => text.push(other),
                    None => break,
                },
                other => text.push(other),
            }
        }
        text
    }

    fn word(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.peek(0).filter(|&c| is_word(c)) {
            text.push(c);
            self.at += 1;
        }
        text
    }

    fn character_or_lifetime(&mut self) {
        self.bump();
        match (self.peek(0), self.peek(1)) {
            (Some('\\'), _) => {
                self.at += 2; // the backslash and what it escapes, which may be a quote
                while self.bump().is_some_and(|c| c != '\'') {}
            }
            (Some(_), Some('\'')) => self.at += 2,
            _ => drop(self.word()),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(source: &str) -> String {
        let show = |t: Token| match t.kind {
            TokenKind::Word(w) => format!("{}:{w}", t.line),
            TokenKind::Text(s) => format!("{}:{s:?}", t.line),
            TokenKind::Mark(c) => format!("{}:{c}", t.line),
        };
        tokens(source).into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_are_no_code_and_strings_are_no_comments() {
        let cases = [
            ("a // b\nc", "1:a 2:c"),
            ("a /* b /* c */ d */ e", "1:a 1:e"),
            (r#"f("// no", "a\"b")"#, r#"1:f 1:( 1:"// no" 1:, 1:"a\"b" 1:)"#),
            ("\"one \\\n   two\" x", "1:\"one two\" 2:x"),
            (r##"r#"a "b" c"# r"\" b"x""##, r#"1:"a \"b\" c" 1:"\\" 1:"x""#),
            (r"'a' '\'' '\u{1F}' <'a>", "1:' 1:' 1:' 1:< 1:' 1:>"),
            ("'\"' \"s\"", "1:' 1:\"s\""),
            ("r.b", "1:r 1:. 1:b"),
        ];
        for (source, expected) in cases {
            assert_eq!(show(source), expected, "{source}");
        }
    }

    #[test]
    fn unfinished_sources_end_without_a_token_lost() {
        for source in ["\"abc", "r#\"abc", "/* abc", "'", "'\\", "b\"", "\"\\"] {
            tokens(source);
        }
    }
}
