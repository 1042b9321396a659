//! The line of help that goes with an error.

use super::Place;
use crate::ast::{AggregateOp, ValueType};
use crate::functions::{FUNCTIONS, Signature};
use crate::lexer::{Keyword, Kind};

/// Help for an error of the lexer, by its text.
pub(super) fn lexical(message: &str) -> Option<String> {
    let help = match message {
        "unclosed left parenthesis" => "a ) is missing",
        "unclosed left bracket" | "unexpected end of input in duration expression" => "a ] is missing",
        "unexpected end of input inside braces" => "a } is missing",
        "unterminated quoted string" | "unterminated raw string" => "the closing quote is missing",
        "unexpected character after '=': '~'" => {
            "regular expressions match labels inside braces: {label=~\"…\"}"
        }
        m if m.starts_with("unknown escape sequence") => "write a backslash as \\\\, or use backquotes: `…`",
        m if m.starts_with("unexpected right parenthesis") => "there is one ) more than (",
        m if m.starts_with("bad number or duration syntax") => {
            "durations are whole numbers with units: 1h30m, 500ms"
        }
        m if m.starts_with("unexpected character inside braces: '-'")
            || m.starts_with("unexpected character inside braces: '.'") =>
        {
            "quote names with other characters than letters, digits and _: {\"my.label\"=\"…\"}"
        }
        m if m.starts_with("unexpected character inside braces") => {
            "label values are quoted: {label=\"value\"}"
        }
        m if m.starts_with("unexpected character: '.'") => "quote names with dots: {\"my.metric\"}",
        m if m.starts_with("unexpected character: '&'") => "the operator is called and",
        m if m.starts_with("unexpected character: '|'") => "the operator is called or",
        _ => return None,
    };
    Some(help.to_owned())
}

/// Help for a token that cannot stand where it does.
pub(super) fn unexpected(kind: Kind, text: &str, place: Place) -> Option<String> {
    let help = match (kind, place.expected) {
        (Kind::Eof, "") => "the expression goes on: an operand is missing".to_owned(),
        (Kind::Identifier | Kind::Number, "string") => format!("label values are quoted: \"{text}\""),
        (_, "label matching operator") => "write label=\"value\", !=, =~ or !~".to_owned(),
        (_, "number, duration, step(), or range()") => "for instance 5m".to_owned(),
        (Kind::Eql, _) => "equality between values is written ==".to_owned(),
        (Kind::Keyword(Keyword::GroupLeft | Keyword::GroupRight), _) => {
            format!("{text} goes behind on (…) or ignoring (…)")
        }
        (Kind::Keyword(Keyword::By | Keyword::Without), _) => {
            format!("{text} goes with an aggregation: sum {text} (label) (…)")
        }
        (Kind::Identifier | Kind::Number | Kind::Duration | Kind::String, "") => {
            "an operator is missing in front of it".to_owned()
        }
        _ => return None,
    };
    Some(help)
}

/// The closest name that exists.
pub(super) fn unknown_function(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    if name == "holt_winters" {
        return Some("it is called double_exponential_smoothing now".to_owned());
    }
    if name.len() > 64 {
        return None;
    }
    let nearest = FUNCTIONS.iter().map(|f| (distance(&name, f.name), f.name)).min()?;
    (nearest.0 <= 1 + name.len() / 4).then(|| format!("did you mean {}?", nearest.1))
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cb, above) in b.bytes().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(ca != cb)).min(left + 1).min(*above + 1);
            diagonal = *above;
            *above = cost;
            left = cost;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// How to turn one type into the other.
pub(super) fn wrong_type(wanted: ValueType, got: ValueType) -> Option<String> {
    let help = match (wanted, got) {
        (ValueType::Matrix, ValueType::Vector) => {
            "give it a window: metric[5m], or expr[5m:] for an expression"
        }
        (ValueType::Vector, ValueType::Matrix) => {
            "drop the window, or wrap it: rate(metric[5m]), avg_over_time(metric[5m])"
        }
        (ValueType::Vector, ValueType::Scalar) => "vector(…) turns a scalar into an instant vector",
        (ValueType::Scalar, ValueType::Vector) => "scalar(…) turns a vector of one series into a scalar",
        (ValueType::String, _) => "write it in quotes",
        _ => return None,
    };
    Some(help.to_owned())
}

/// `rate(range vector)`
pub(super) fn usage(signature: &Signature) -> String {
    let mut out = format!("{}(", signature.name);
    for (i, arg) in signature.args.iter().enumerate() {
        let last = i + 1 == signature.args.len();
        out.push_str(if i > 0 { ", " } else { "" });
        let optional = last && signature.variadic != 0;
        out.push_str(if optional { "[" } else { "" });
        out.push_str(arg.documented());
        out.push_str(if last && (signature.variadic < 0 || signature.variadic > 1) { ", …" } else { "" });
        out.push_str(if optional { "]" } else { "" });
    }
    out.push(')');
    out
}

/// `topk(scalar, instant vector)`
pub(super) fn aggregate_usage(op: AggregateOp) -> String {
    let param = match op {
        AggregateOp::CountValues => "string, ",
        op if op.has_param() => "scalar, ",
        _ => "",
    };
    format!("{}({param}instant vector)", op.as_str())
}
