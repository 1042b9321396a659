//! The syntax tree. Every node knows its place in the text.

use model::{MatchOp, Matcher};

/// A range of byte offsets into the query, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number a step.
    Scalar,
    /// Series with one sample each a step.
    Vector,
    /// Series with a window of samples each.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// As in the HTTP API: `vector`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// As in errors: `instant vector`.
    #[must_use]
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `1.5`, `0x1f`, `5m`
    Number(NumberLiteral),
    /// `"text"`
    String(StringLiteral),
    /// `up{job="a"} offset 5m`
    Vector(VectorSelector),
    /// `up[5m]`
    Matrix(MatrixSelector),
    /// `expr[1h:5m]`
    Subquery(Subquery),
    /// `sum by (job) (expr)`
    Aggregate(Aggregate),
    /// `a + on (job) b`
    Binary(Binary),
    /// `rate(expr)`
    Call(Call),
    /// `-expr`
    Unary(Unary),
    /// `(expr)`
    Paren(Paren),
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// Its value; of a duration, seconds.
    pub value: f64,
    /// Whether it was written as a duration.
    pub duration: bool,
    /// Where.
    pub span: Span,
}

/// A text.
#[derive(Debug, Clone, PartialEq)]
pub struct StringLiteral {
    /// Without quotes, escapes resolved (invalid UTF-8 replaced).
    pub value: String,
    /// What stands there, where it is not UTF-8: no label has such a name, no expression matches it.
    pub bytes: Option<Vec<u8>>,
    /// Where.
    pub span: Span,
}

/// A length of time in an expression: known at once, or to be computed when step and range of the query are known.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationArg {
    /// Milliseconds.
    Millis(i64),
    /// A duration expression, such as `5m * 2` or `step()`.
    Expr(Box<DurationExpr>),
}

/// A duration expression.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it computes.
    pub kind: DurationKind,
    /// Whether it stands in parentheses.
    pub wrapped: bool,
    /// Where.
    pub span: Span,
}

/// The parts of duration expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationKind {
    /// A number of seconds or a duration.
    Literal(NumberLiteral),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `min_of(a, b)`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `+a`, `-a`
    Unary(BinaryOp, Box<DurationExpr>),
    /// `a * b`
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
}

/// `@ 123`, `@ start()`, `@ end()`
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Time(i64),
    /// Start of the query's range.
    Start,
    /// End of the query's range.
    End,
}

/// `anchored`, `smoothed`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeMode {
    /// The window's ends are taken from the samples before them.
    Anchored,
    /// The window's ends are interpolated.
    Smoothed,
}

/// `name{label="value"} offset 5m @ 123`
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric's name if written in front of the braces (the matcher on `__name__` is in `matchers` too).
    pub name: Option<String>,
    /// In the order written; the one for `name` last, as Prometheus keeps it.
    pub matchers: Vec<Matcher>,
    /// How far back, positive into the past.
    pub offset: DurationArg,
    /// A fixed time.
    pub at: Option<At>,
    /// Extended range selectors.
    pub mode: Option<RangeMode>,
    /// Where.
    pub span: Span,
}

impl VectorSelector {
    /// The value of an equality matcher on `label`, if there is one.
    #[must_use]
    pub fn equal_matcher(&self, label: &str) -> Option<&str> {
        self.matchers.iter().find(|m| &*m.name == label && m.op == MatchOp::Equal).map(|m| &*m.value)
    }
}

/// `selector[5m]`; offset, `@` and mode are those of the selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// Whose samples.
    pub selector: VectorSelector,
    /// Length of the window.
    pub range: DurationArg,
    /// Where; the selector's own span ends before the bracket.
    pub span: Span,
}

/// `expr[1h:5m] offset 5m @ 123`
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// Evaluated at each step of the window.
    pub expr: Box<Expr>,
    /// Length of the window.
    pub range: DurationArg,
    /// `None`: the default evaluation interval.
    pub step: Option<DurationArg>,
    /// How far back, positive into the past.
    pub offset: DurationArg,
    /// A fixed time.
    pub at: Option<At>,
    /// Where.
    pub span: Span,
}

/// An aggregation operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the operators' own names
pub enum AggregateOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    LimitK,
    LimitRatio,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
}

impl AggregateOp {
    /// As written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Avg => "avg",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::Count => "count",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Group => "group",
            AggregateOp::LimitK => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
            AggregateOp::Max => "max",
            AggregateOp::Min => "min",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Sum => "sum",
            AggregateOp::Topk => "topk",
        }
    }

    /// Whether a parameter stands in front of the aggregated expression.
    #[must_use]
    pub fn has_param(self) -> bool {
        matches!(
            self,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::CountValues
                | AggregateOp::Quantile
                | AggregateOp::LimitK
                | AggregateOp::LimitRatio
        )
    }
}

/// `sum by (a, b) (expr)`
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which.
    pub op: AggregateOp,
    /// The parameter of `topk`, `bottomk`, `quantile`, `count_values`, `limitk`, `limit_ratio`.
    pub param: Option<Box<Expr>>,
    /// What is aggregated.
    pub expr: Box<Expr>,
    /// The labels of `by` or `without`, as written.
    pub grouping: Vec<String>,
    /// `without` rather than `by`.
    pub without: bool,
    /// Where.
    pub span: Span,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the operators' own names
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eql,
    Neq,
    Gtr,
    Lss,
    Gte,
    Lte,
    And,
    Or,
    Unless,
    TrimUpper,
    TrimLower,
}

impl BinaryOp {
    /// As written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eql => "==",
            BinaryOp::Neq => "!=",
            BinaryOp::Gtr => ">",
            BinaryOp::Lss => "<",
            BinaryOp::Gte => ">=",
            BinaryOp::Lte => "<=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
        }
    }

    /// `==`, `!=`, `<`, `<=`, `>`, `>=`
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Eql | BinaryOp::Neq | BinaryOp::Gtr | BinaryOp::Lss | BinaryOp::Gte | BinaryOp::Lte
        )
    }

    /// `and`, `or`, `unless`
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

/// How many series of either side belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// No `group_` modifier.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Set operators.
    ManyToMany,
}

impl Cardinality {
    /// `one-to-one`
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

/// `on (a) group_left (b) fill (0)`
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatching {
    /// How many.
    pub card: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// `on` rather than `ignoring`.
    pub on: bool,
    /// Labels taken over from the "one" side.
    pub include: Vec<String>,
    /// Value for series missing on the left side.
    pub fill_left: Option<f64>,
    /// Value for series missing on the right side.
    pub fill_right: Option<f64>,
}

/// `left op right`
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// Left operand.
    pub left: Box<Expr>,
    /// Right operand.
    pub right: Box<Expr>,
    /// Present where both sides are vectors.
    pub matching: Option<VectorMatching>,
    /// `bool`: comparisons give 0 or 1 and keep every sample.
    pub return_bool: bool,
    /// Where.
    pub span: Span,
}

/// `function(args)`
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static crate::functions::Signature,
    /// In order.
    pub args: Vec<Expr>,
    /// Where.
    pub span: Span,
}

/// `+expr`, `-expr`
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// [`BinaryOp::Add`] or [`BinaryOp::Sub`].
    pub op: BinaryOp,
    /// The operand.
    pub expr: Box<Expr>,
    /// Where.
    pub span: Span,
}

/// `(expr)`
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Box<Expr>,
    /// Where.
    pub span: Span,
}

impl Expr {
    /// Where the expression stands in the query.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Expr::Number(e) => e.span,
            Expr::String(e) => e.span,
            Expr::Vector(e) => e.span,
            Expr::Matrix(e) => e.span,
            Expr::Subquery(e) => e.span,
            Expr::Aggregate(e) => e.span,
            Expr::Binary(e) => e.span,
            Expr::Call(e) => e.span,
            Expr::Unary(e) => e.span,
            Expr::Paren(e) => e.span,
        }
    }

    /// The type of the expression's value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Binary(e) => match (e.left.value_type(), e.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Expr::Call(e) => e.function.returns,
            Expr::Unary(e) => e.expr.value_type(),
            Expr::Paren(e) => e.expr.value_type(),
        }
    }
}
