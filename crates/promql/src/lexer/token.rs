//! Tokens and the words by which errors name them.

use model::number::quote;

use crate::ast::{AggregateOp, BinaryOp, Span};

/// A word with a meaning in the grammar that is neither an operator nor an aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Anchored,
    Bool,
    By,
    Fill,
    FillLeft,
    FillRight,
    GroupLeft,
    GroupRight,
    Ignoring,
    Offset,
    On,
    Smoothed,
    Without,
}

/// A word that is a function outside durations and `@`, and a keyword inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Preprocessor {
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// A key of a histogram literal, with the shape of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HistogramKey {
    Sum,
    Count,
    Schema,
    Offset,
    NegativeOffset,
    Buckets,
    NegativeBuckets,
    ZeroBucket,
    ZeroBucketWidth,
    CustomValues,
    CounterResetHint,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Aggregate(AggregateOp),
    At,
    Blank,
    CloseHist,
    Colon,
    Comma,
    Duration,
    Eof,
    Eql,
    EqlRegex,
    HistogramKey(HistogramKey),
    Identifier,
    Keyword(Keyword),
    LeftBrace,
    LeftBracket,
    LeftParen,
    MetricIdentifier,
    NeqRegex,
    Number,
    Op(BinaryOp),
    OpenHist,
    Preprocessor(Preprocessor),
    ResetHint(super::ResetHint),
    RightBrace,
    RightBracket,
    RightParen,
    Space,
    String,
    Times,
}

/// A token: its kind and its bytes in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

/// The kind of a word that has a meaning; words are compared without regard to case.
pub(crate) fn keyword(word: &str) -> Option<Kind> {
    use AggregateOp as A;
    // The longest keyword has twelve letters: longer words need no lower-casing.
    let mut buf = [0u8; 12];
    let lower = buf.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"and" => Kind::Op(BinaryOp::And),
        b"or" => Kind::Op(BinaryOp::Or),
        b"unless" => Kind::Op(BinaryOp::Unless),
        b"atan2" => Kind::Op(BinaryOp::Atan2),
        b"sum" => Kind::Aggregate(A::Sum),
        b"avg" => Kind::Aggregate(A::Avg),
        b"count" => Kind::Aggregate(A::Count),
        b"min" => Kind::Aggregate(A::Min),
        b"max" => Kind::Aggregate(A::Max),
        b"group" => Kind::Aggregate(A::Group),
        b"stddev" => Kind::Aggregate(A::Stddev),
        b"stdvar" => Kind::Aggregate(A::Stdvar),
        b"topk" => Kind::Aggregate(A::Topk),
        b"bottomk" => Kind::Aggregate(A::Bottomk),
        b"count_values" => Kind::Aggregate(A::CountValues),
        b"quantile" => Kind::Aggregate(A::Quantile),
        b"limitk" => Kind::Aggregate(A::LimitK),
        b"limit_ratio" => Kind::Aggregate(A::LimitRatio),
        b"offset" => Kind::Keyword(Keyword::Offset),
        b"smoothed" => Kind::Keyword(Keyword::Smoothed),
        b"anchored" => Kind::Keyword(Keyword::Anchored),
        b"by" => Kind::Keyword(Keyword::By),
        b"without" => Kind::Keyword(Keyword::Without),
        b"on" => Kind::Keyword(Keyword::On),
        b"ignoring" => Kind::Keyword(Keyword::Ignoring),
        b"group_left" => Kind::Keyword(Keyword::GroupLeft),
        b"group_right" => Kind::Keyword(Keyword::GroupRight),
        b"fill" => Kind::Keyword(Keyword::Fill),
        b"fill_left" => Kind::Keyword(Keyword::FillLeft),
        b"fill_right" => Kind::Keyword(Keyword::FillRight),
        b"bool" => Kind::Keyword(Keyword::Bool),
        b"start" => Kind::Preprocessor(Preprocessor::Start),
        b"end" => Kind::Preprocessor(Preprocessor::End),
        b"step" => Kind::Preprocessor(Preprocessor::Step),
        b"range" => Kind::Preprocessor(Preprocessor::Range),
        b"max_of" => Kind::Preprocessor(Preprocessor::MaxOf),
        b"min_of" => Kind::Preprocessor(Preprocessor::MinOf),
        b"inf" | b"nan" => Kind::Number,
        _ => return None,
    })
}

impl Token {
    /// The token's own text.
    pub(crate) fn text<'a>(&self, query: &'a str) -> &'a str {
        query.get(self.span.start as usize..self.span.end as usize).unwrap_or("")
    }

    /// How an error names the token: `identifier "foo"`, `<op:*>`, `end of input`.
    pub(crate) fn describe(&self, query: &str) -> String {
        let text = self.text(query);
        match self.kind {
            Kind::Eof => "end of input".to_owned(),
            Kind::Identifier => format!("identifier {}", quote(text)),
            Kind::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Kind::Keyword(_) => format!("<{text}>"),
            Kind::Op(_) | Kind::EqlRegex | Kind::NeqRegex | Kind::At => format!("<op:{text}>"),
            Kind::Aggregate(_) => format!("<aggr:{text}>"),
            Kind::String => format!("string {}", quote_short(text)),
            Kind::Number => format!("number {}", quote_short(text)),
            Kind::Duration => format!("duration {}", quote_short(text)),
            _ => quote_short(text),
        }
    }
}

/// Quoted, and cut behind the tenth character when longer than ten bytes.
fn quote_short(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    let cut = text.char_indices().nth(10).map_or(text.len(), |(at, _)| at);
    format!("{}...", quote(text.get(..cut).unwrap_or(text)))
}
