//! Label and field selectors.

use super::objects::Object;

/// What a request lets through.
#[derive(Default)]
pub(super) struct Selector {
    pub(super) namespace: String,
    labels: Vec<Term>,
    fields: Vec<Term>,
}

struct Term {
    name: String,
    values: Vec<String>,
    test: Test,
}

enum Test {
    In,
    NotIn,
    Exists,
    Absent,
}

impl Selector {
    /// Reads both; none if one of them is not valid.
    pub(super) fn parse(namespace: &str, labels: &str, fields: &str) -> Option<Self> {
        Some(Selector {
            namespace: namespace.to_owned(),
            labels: terms(labels).into_iter().map(label_term).collect::<Option<_>>()?,
            fields: terms(fields).into_iter().map(equality).collect::<Option<_>>()?,
        })
    }

    pub(super) fn accepts(&self, object: &Object) -> bool {
        let label = |term: &Term| term.accepts(object.labels.get(&term.name).map(String::as_str));
        let field = |term: &Term| term.accepts(object.fields.get(term.name.as_str()).map(String::as_str));
        (self.namespace.is_empty() || self.namespace == object.namespace())
            && self.labels.iter().all(label)
            && self.fields.iter().all(field)
    }
}

/// Splits at commas that are in no parentheses.
fn terms(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut terms) = (0, 0, Vec::new());
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(text[start..i].trim());
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(text[start..].trim());
    terms.retain(|term| !term.is_empty());
    terms
}

fn equality(term: &str) -> Option<Term> {
    for (sign, not) in [("!=", true), ("==", false), ("=", false)] {
        if let Some((name, value)) = term.split_once(sign) {
            let test = if not { Test::NotIn } else { Test::In };
            return Some(Term { name: name.trim().to_owned(), values: vec![value.trim().to_owned()], test });
        }
    }
    None
}

fn label_term(term: &str) -> Option<Term> {
    let listed = |values: &str| -> Option<Vec<String>> {
        let inner = values.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    for (word, test) in [(" notin ", Test::NotIn), (" in ", Test::In)] {
        if let Some((name, values)) = term.split_once(word) {
            return Some(Term { name: name.trim().to_owned(), values: listed(values)?, test });
        }
    }
    if let Some(term) = equality(term) {
        return Some(term);
    }
    let (name, test) = term.strip_prefix('!').map_or((term, Test::Exists), |name| (name, Test::Absent));
    (!name.contains(['!', ' ', '('])).then(|| Term { name: name.to_owned(), values: Vec::new(), test })
}

impl Term {
    fn accepts(&self, value: Option<&str>) -> bool {
        let listed = value.is_some_and(|value| self.values.iter().any(|v| v == value));
        match self.test {
            Test::In => listed,
            Test::NotIn => !listed,
            Test::Exists => value.is_some(),
            Test::Absent => value.is_none(),
        }
    }
}
