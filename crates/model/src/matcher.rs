//! Label matchers: `name op "value"`.

use std::fmt;
use std::sync::Arc;

use crate::{Labels, Regex, RegexError};

/// The operator of a matcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// As written in PromQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// A condition on one label. A missing label matches as the empty string.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The operator.
    pub op: MatchOp,
    /// The label's name.
    pub name: Arc<str>,
    /// The value, or the regular expression as written.
    pub value: Arc<str>,
    /// Present for the two regular expression operators.
    regex: Option<Arc<Regex>>,
}

impl Matcher {
    /// Builds a matcher, compiling the expression where the operator wants one.
    ///
    /// # Errors
    /// When `value` is not a valid RE2 expression.
    pub fn new(
        op: MatchOp,
        name: impl Into<Arc<str>>,
        value: impl Into<Arc<str>>,
    ) -> Result<Self, RegexError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(Regex::new(&value)?)),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher { op, name: name.into(), value, regex })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Matcher { op: MatchOp::Equal, name: name.into(), value: value.into(), regex: None }
    }

    /// `name!="value"`.
    pub fn not_equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Matcher { op: MatchOp::NotEqual, name: name.into(), value: value.into(), regex: None }
    }

    /// Whether a label of value `value` (empty when missing) satisfies the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match (&self.regex, self.op) {
            (Some(re), MatchOp::NotRegex) => !re.is_match(value),
            (Some(re), _) => re.is_match(value),
            (None, MatchOp::NotEqual) => *self.value != *value,
            (None, _) => *self.value == *value,
        }
    }

    /// Whether the label set satisfies the condition.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value(&self.name))
    }

    /// Whether series without the label satisfy the condition.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The compiled expression of `=~` and `!~`.
    #[must_use]
    pub fn regex(&self) -> Option<&Regex> {
        self.regex.as_deref()
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.op == other.op && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.op, &self.name, &self.value).hash(state);
    }
}

/// `name=~"value"` with Go's quoting; a name that is not a legacy one is quoted too.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&crate::number::quote(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), crate::number::quote(&self.value))
    }
}
