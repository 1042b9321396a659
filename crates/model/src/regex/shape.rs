//! What an expression says without an automaton: a finite set of texts, or one text with gaps around it.

use regex_syntax::hir::{Class, Dot, Hir, HirKind, Look, Repetition};

/// How many texts a product of choices may make. Alternatives that are written out have no limit.
const MAX_PRODUCT: usize = 256;

/// The expression's meaning where it is simple enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Matches exactly these texts, sorted.
    Literals(Vec<String>),
    /// `.*text.+` and the like: a text with or without something before and after.
    Gapped { before: Gap, text: String, after: Gap },
    /// Anything else. Every match starts with the one and ends with the other.
    Other { prefix: String, suffix: String },
}

/// What may stand beside the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    /// Nothing.
    None,
    /// `.*`
    Any,
    /// `.+`
    Some,
}

impl Gap {
    /// Whether `rest` can fill the gap.
    fn fits(self, rest: &str) -> bool {
        match self {
            Gap::None => rest.is_empty(),
            Gap::Any => true,
            Gap::Some => !rest.is_empty(),
        }
    }
}

impl Shape {
    /// The shape of an expression that has to match a whole text.
    pub(super) fn of(hir: &Hir) -> Self {
        let parts = without_anchors(hir);
        if let Some(mut texts) = product(parts) {
            texts.sort_unstable();
            texts.dedup();
            return Shape::Literals(texts);
        }
        if let Some(shape) = gapped(parts) {
            return shape;
        }
        let mut prefix = String::new();
        push_prefix(parts, &mut prefix);
        let mut suffix = String::new();
        push_suffix(parts, &mut suffix);
        Shape::Other { prefix, suffix: suffix.chars().rev().collect() }
    }

    /// Whether the text matches; `None` when only the automaton can tell.
    pub(super) fn is_match(&self, text: &str) -> Option<bool> {
        match self {
            Shape::Literals(texts) => Some(texts.binary_search_by(|t| t.as_str().cmp(text)).is_ok()),
            Shape::Gapped { before: Gap::None, text: literal, after } => {
                Some(text.strip_prefix(literal.as_str()).is_some_and(|rest| after.fits(rest)))
            }
            Shape::Gapped { before, text: literal, after: Gap::None } => {
                Some(text.strip_suffix(literal.as_str()).is_some_and(|rest| before.fits(rest)))
            }
            Shape::Gapped { before, text: literal, after } => {
                let skip = |gap: &Gap, c: Option<char>| match gap {
                    Gap::Some => c.map_or(usize::MAX, char::len_utf8),
                    _ => 0,
                };
                let from = skip(before, text.chars().next());
                let to = text.len().checked_sub(skip(after, text.chars().next_back()));
                Some(
                    to.and_then(|to| text.get(from..to))
                        .is_some_and(|inner| inner.contains(literal.as_str())),
                )
            }
            Shape::Other { prefix, suffix } => {
                let possible = text.len() >= prefix.len().max(suffix.len())
                    && text.starts_with(prefix.as_str())
                    && text.ends_with(suffix.as_str());
                if possible { None } else { Some(false) }
            }
        }
    }

    /// A text that every match starts with.
    pub(super) fn prefix(&self) -> &str {
        match self {
            Shape::Literals(texts) => match texts.as_slice() {
                [] => "",
                [only] => only,
                // Sorted: what the first and the last share, all share.
                [first, .., last] => common_prefix(first, last),
            },
            Shape::Gapped { before: Gap::None, text, .. } | Shape::Other { prefix: text, .. } => text,
            Shape::Gapped { .. } => "",
        }
    }

    /// A text that every match ends with.
    pub(super) fn suffix(&self) -> &str {
        match self {
            Shape::Literals(texts) => match texts.as_slice() {
                [only] => only,
                _ => "",
            },
            Shape::Gapped { after: Gap::None, text, .. } | Shape::Other { suffix: text, .. } => text,
            Shape::Gapped { .. } => "",
        }
    }
}

fn common_prefix<'a>(a: &'a str, b: &str) -> &'a str {
    let same = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    &a[..same]
}

/// The elements of a sequence, but for anchors that say again what is so anyway.
fn without_anchors(hir: &Hir) -> &[Hir] {
    let mut parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        HirKind::Empty => &[],
        _ => std::slice::from_ref(hir),
    };
    while let Some((first, rest)) = parts.split_first()
        && matches!(first.kind(), HirKind::Look(Look::Start))
    {
        parts = rest;
    }
    while let Some((last, rest)) = parts.split_last()
        && matches!(last.kind(), HirKind::Look(Look::End))
    {
        parts = rest;
    }
    parts
}

/// Every text that the sequence matches.
fn product(parts: &[Hir]) -> Option<Vec<String>> {
    let mut texts = vec![String::new()];
    for part in parts {
        let choices = finite(part)?;
        texts = times(&texts, &choices)?;
    }
    Some(texts)
}

/// Every first text followed by every second one.
fn times(firsts: &[String], seconds: &[String]) -> Option<Vec<String>> {
    let count = firsts.len() * seconds.len();
    if count > MAX_PRODUCT && firsts.len() > 1 && seconds.len() > 1 {
        return None;
    }
    let mut out = Vec::with_capacity(count);
    for first in firsts {
        out.extend(seconds.iter().map(|second| format!("{first}{second}")));
    }
    Some(out)
}

/// Every text that the expression matches, if there are finitely many and not too many of them.
fn finite(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.ranges().iter().map(|r| r.len()).sum();
            (count <= MAX_PRODUCT).then(|| {
                class.ranges().iter().flat_map(|r| (r.start()..=r.end()).map(String::from)).collect()
            })
        }
        // The expression that matches nothing is an empty class of bytes.
        HirKind::Class(Class::Bytes(class)) => class.ranges().is_empty().then(Vec::new),
        HirKind::Look(_) => None,
        HirKind::Capture(capture) => finite(&capture.sub),
        HirKind::Concat(parts) => product(parts),
        HirKind::Alternation(branches) => {
            let mut texts = Vec::new();
            for branch in branches {
                texts.extend(finite(branch)?);
            }
            Some(texts)
        }
        HirKind::Repetition(Repetition { min, max: Some(max), sub, .. }) => {
            let choices = finite(sub)?;
            if (*max as usize) > MAX_PRODUCT {
                return None;
            }
            let (mut texts, mut power) = (Vec::new(), vec![String::new()]);
            for n in 0..=*max {
                if n > 0 {
                    power = times(&power, &choices)?;
                }
                if n >= *min {
                    texts.extend_from_slice(&power);
                }
                if power.len() > MAX_PRODUCT || texts.len() > MAX_PRODUCT {
                    return None;
                }
            }
            Some(texts)
        }
        HirKind::Repetition(_) => None,
    }
}

/// `.*`, `.+`, in a group or not, where the dot takes every character.
fn gap(hir: &Hir) -> Option<Gap> {
    match hir.kind() {
        HirKind::Capture(capture) => gap(&capture.sub),
        HirKind::Repetition(Repetition { min: min @ (0 | 1), max: None, sub, .. })
            if *sub.as_ref() == Hir::dot(Dot::AnyChar) =>
        {
            Some(if *min == 0 { Gap::Any } else { Gap::Some })
        }
        _ => None,
    }
}

fn gapped(parts: &[Hir]) -> Option<Shape> {
    let (mut before, mut after) = (Gap::None, Gap::None);
    let mut middle = parts;
    if let Some((first, rest)) = middle.split_first()
        && let Some(gap) = gap(first)
    {
        (before, middle) = (gap, rest);
    }
    if let Some((last, rest)) = middle.split_last()
        && let Some(gap) = gap(last)
    {
        (after, middle) = (gap, rest);
    }
    let [text] = product(middle)?.try_into().ok()?;
    Some(Shape::Gapped { before, text, after })
}

/// Appends what every match of the sequence starts with. `true` when that is all that it matches.
fn push_prefix(parts: &[Hir], out: &mut String) -> bool {
    parts.iter().all(|part| match part.kind() {
        HirKind::Capture(capture) => push_prefix(std::slice::from_ref(&capture.sub), out),
        HirKind::Concat(parts) => push_prefix(parts, out),
        HirKind::Alternation(branches) => {
            let mut branches = branches.iter().map(|branch| {
                let mut prefix = String::new();
                push_prefix(std::slice::from_ref(branch), &mut prefix);
                prefix
            });
            let first = branches.next().unwrap_or_default();
            out.push_str(&branches.fold(first, |common, next| common_prefix(&common, &next).to_owned()));
            false
        }
        HirKind::Repetition(Repetition { min: 1.., sub, .. }) => {
            push_prefix(std::slice::from_ref(sub), out);
            false
        }
        _ => push_only(part, out, |text, out| out.push_str(text)),
    })
}

/// Appends what every match of the sequence ends with, backwards. `true` when that is all that it matches.
fn push_suffix(parts: &[Hir], out: &mut String) -> bool {
    parts.iter().rev().all(|part| match part.kind() {
        HirKind::Capture(capture) => push_suffix(std::slice::from_ref(&capture.sub), out),
        HirKind::Concat(parts) => push_suffix(parts, out),
        HirKind::Repetition(Repetition { min: 1.., sub, .. }) => {
            push_suffix(std::slice::from_ref(sub), out);
            false
        }
        _ => push_only(part, out, |text, out| out.extend(text.chars().rev())),
    })
}

fn push_only(part: &Hir, out: &mut String, push: impl Fn(&str, &mut String)) -> bool {
    match finite(part).as_deref() {
        Some([only]) => {
            push(only, out);
            true
        }
        _ => false,
    }
}
