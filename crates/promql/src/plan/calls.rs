//! Calls of functions that give a vector.

use model::{FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher, Regex};

use super::build::Planner;
use super::durations::millis;
use super::invariant::strip;
use super::selectors::Reach;
use super::{BucketCall, Scalar, SortBy, Source, Stage, Vector, WindowCall};
use crate::ast::{Call, Expr, RangeMode, Span, ValueType, VectorSelector};
use crate::engine::QueryError;
use crate::eval::{Grid, WindowFn, math_function};

const ANCHORED: &[WindowFn] =
    &[WindowFn::Changes, WindowFn::Delta, WindowFn::Increase, WindowFn::Rate, WindowFn::Resets];
const SMOOTHED: &[WindowFn] = &[WindowFn::Delta, WindowFn::Increase, WindowFn::Rate];

fn missing(e: &Call) -> QueryError {
    QueryError::Execution(format!("{}: argument missing", e.function.name))
}

fn arg(e: &Call, i: usize) -> Result<&Expr, QueryError> {
    e.args.get(i).map(strip).ok_or_else(|| missing(e))
}

fn text(e: &Call, i: usize) -> Result<&str, QueryError> {
    match arg(e, i)? {
        Expr::String(s) => Ok(&s.value),
        _ => Err(missing(e)),
    }
}

/// A text that a label can have for its name.
fn label_name<'e>(e: &'e Call, i: usize, which: &str) -> Result<&'e str, QueryError> {
    match arg(e, i)? {
        Expr::String(s) if !s.value.is_empty() && s.bytes.is_none() => Ok(&s.value),
        Expr::String(s) => {
            let why = format!("invalid {which} label name in {}(): {}", e.function.name, s.value);
            Err(QueryError::Execution(why))
        }
        _ => Err(missing(e)),
    }
}

impl Planner<'_> {
    fn vector_arg(&mut self, e: &Call, i: usize, grid: Grid) -> Result<Vector, QueryError> {
        self.vector(arg(e, i)?, grid)
    }

    fn boxed_arg(&mut self, e: &Call, i: usize, grid: Grid) -> Result<Box<Vector>, QueryError> {
        Ok(Box::new(self.vector_arg(e, i, grid)?))
    }

    fn scalar_arg(&mut self, e: &Call, i: usize, grid: Grid) -> Result<Scalar, QueryError> {
        self.scalar(arg(e, i)?, grid)
    }

    pub(super) fn call(&mut self, e: &Call, grid: Grid) -> Result<Vector, QueryError> {
        let name = e.function.name;
        let counts_only = usize::from(matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg"));
        let needs_buckets =
            usize::from(matches!(name, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction"));
        self.counts_only += counts_only;
        self.buckets_needed += needs_buckets;
        let planned = self.function(e, name, grid);
        self.counts_only -= counts_only;
        self.buckets_needed -= needs_buckets;
        planned
    }

    fn function(&mut self, e: &Call, name: &str, grid: Grid) -> Result<Vector, QueryError> {
        if let Some(function) = WindowFn::from_name(name) {
            return self.window_call(e, function, grid);
        }
        if let Some(f) = math_function(name) {
            return match e.args.is_empty() {
                true => Ok(Vector::FromScalar(Scalar::apply(f, Scalar::Time))),
                false => Ok(self.vector_arg(e, 0, grid)?.then(Stage::Math(e.function.name, f))),
            };
        }
        Ok(match name {
            "vector" => Vector::FromScalar(self.scalar_arg(e, 0, grid)?),
            "clamp" => {
                let (min, max) = (self.scalar_arg(e, 1, grid)?, self.scalar_arg(e, 2, grid)?);
                self.vector_arg(e, 0, grid)?.then(Stage::Clamp(Some(min), Some(max)))
            }
            "clamp_min" => {
                let min = self.scalar_arg(e, 1, grid)?;
                self.vector_arg(e, 0, grid)?.then(Stage::Clamp(Some(min), None))
            }
            "clamp_max" => {
                let max = self.scalar_arg(e, 1, grid)?;
                self.vector_arg(e, 0, grid)?.then(Stage::Clamp(None, Some(max)))
            }
            "round" => {
                let to = if e.args.len() > 1 { self.scalar_arg(e, 1, grid)? } else { Scalar::Const(1.0) };
                self.vector_arg(e, 0, grid)?.then(Stage::Round(to))
            }
            "timestamp" => match arg(e, 0)? {
                Expr::Vector(selector) => {
                    let reach = self.instant_reach(selector)?;
                    Vector::Scan(self.scan(selector, &reach, grid, Source::Timestamp))
                }
                _ => self.vector_arg(e, 0, grid)?.then(Stage::StepTime),
            },
            "absent" => {
                let labels = absent_labels(arg(e, 0)?);
                Vector::Absent(self.boxed_arg(e, 0, grid)?, labels)
            }
            "sort" | "sort_desc" => Vector::Sort {
                input: self.boxed_arg(e, 0, grid)?,
                by: SortBy::Value,
                descending: name == "sort_desc",
                span: e.span,
            },
            "sort_by_label" | "sort_by_label_desc" => {
                let labels = (1..e.args.len()).map(|i| text(e, i).map(str::to_owned));
                Vector::Sort {
                    by: SortBy::Labels(labels.collect::<Result<_, _>>()?),
                    input: self.boxed_arg(e, 0, grid)?,
                    descending: name == "sort_by_label_desc",
                    span: e.span,
                }
            }
            "label_replace" => self.label_replace(e, grid)?,
            "label_join" => self.label_join(e, grid)?,
            "histogram_quantile" => Vector::Buckets {
                call: BucketCall::Quantile(self.scalar_arg(e, 0, grid)?, arg(e, 0)?.span()),
                input: self.boxed_arg(e, 1, grid)?,
                span: arg(e, 1)?.span(),
            },
            "histogram_quantiles" => {
                let input = self.boxed_arg(e, 0, grid)?;
                let mut quantiles = Vec::new();
                for i in 2..e.args.len() {
                    quantiles.push((self.scalar_arg(e, i, grid)?, arg(e, i)?.span()));
                }
                Vector::Buckets {
                    input,
                    call: BucketCall::Quantiles(text(e, 1)?.to_owned(), quantiles),
                    span: arg(e, 0)?.span(),
                }
            }
            "histogram_fraction" => Vector::Buckets {
                call: BucketCall::Fraction(self.scalar_arg(e, 0, grid)?, self.scalar_arg(e, 1, grid)?),
                input: self.boxed_arg(e, 2, grid)?,
                span: arg(e, 2)?.span(),
            },
            "histogram_count" => self.of_histogram(e, grid, |h| h.count)?,
            "histogram_sum" => self.of_histogram(e, grid, |h| h.sum)?,
            "histogram_avg" => self.of_histogram(e, grid, FloatHistogram::average)?,
            "histogram_stddev" => self.of_histogram(e, grid, |h| h.variance().sqrt())?,
            "histogram_stdvar" => self.of_histogram(e, grid, FloatHistogram::variance)?,
            "start_timestamp" => match strip(arg(e, 0)?) {
                Expr::Vector(selector) => {
                    let reach = self.instant_reach(selector)?;
                    Vector::Scan(self.scan(selector, &reach, grid, Source::StartTime))
                }
                _ => self.vector_arg(e, 0, grid)?.then(Stage::Nothing),
            },
            "info" => self.info(e, grid)?,
            other => return Err(QueryError::Execution(format!("unknown function {other}"))),
        })
    }

    fn of_histogram(
        &mut self,
        e: &Call,
        grid: Grid,
        f: fn(&FloatHistogram) -> f64,
    ) -> Result<Vector, QueryError> {
        Ok(self.vector_arg(e, 0, grid)?.then(Stage::OfHistogram(e.function.name, f)))
    }

    fn window_call(&mut self, e: &Call, function: WindowFn, grid: Grid) -> Result<Vector, QueryError> {
        let mut args = Vec::new();
        let mut window = None;
        for i in 0..e.args.len() {
            match arg(e, i)?.value_type() {
                ValueType::Matrix => window = Some(arg(e, i)?),
                _ => args.push(self.scalar_arg(e, i, grid)?),
            }
        }
        let span = arg(e, 0)?.span();
        let absent = (e.function.name == "absent_over_time").then(|| window.map(absent_labels));
        let input = match window {
            Some(Expr::Matrix(m)) => {
                let reach = Reach {
                    range: Some(millis(&m.range, &self.range, false)?),
                    offset: millis(&m.selector.offset, &self.range, true)?,
                    at: self.fixed_time(m.selector.at),
                };
                let range = reach.range.unwrap_or(0);
                let misuse = misuse_of_mode(&m.selector, function, e.function.name);
                let call =
                    WindowCall { function, range, mode: m.selector.mode, args, span, whole: e.span, misuse };
                Vector::Scan(self.scan(&m.selector, &reach, grid, Source::Window(call)))
            }
            Some(Expr::Subquery(s)) => {
                // Prometheus' remarks on subqueries point to the start of the query.
                let is_first = matches!(arg(e, 0)?, Expr::Subquery(_));
                let span = if is_first { Span::default() } else { span };
                self.subquery_scan(s, grid, function, args, (span, e.span))?
            }
            _ => return Err(missing(e)),
        };
        Ok(match absent {
            Some(labels) => Vector::Absent(Box::new(input), labels.unwrap_or_default()),
            None => input,
        })
    }

    fn label_replace(&mut self, e: &Call, grid: Grid) -> Result<Vector, QueryError> {
        let pattern = text(e, 4)?;
        let invalid =
            || QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}"));
        if matches!(arg(e, 4)?, Expr::String(s) if s.bytes.is_some()) {
            return Err(invalid());
        }
        let regex = Regex::new(pattern).map_err(|_| invalid())?;
        let target = label_name(e, 1, "destination")?;
        Ok(Vector::LabelReplace {
            target: target.to_owned(),
            replacement: text(e, 2)?.to_owned(),
            source: text(e, 3)?.to_owned(),
            regex,
            input: self.boxed_arg(e, 0, grid)?,
        })
    }

    fn label_join(&mut self, e: &Call, grid: Grid) -> Result<Vector, QueryError> {
        let mut sources = Vec::new();
        for i in 3..e.args.len() {
            sources.push(label_name(e, i, "source")?.to_owned());
        }
        let target = label_name(e, 1, "destination")?;
        Ok(Vector::LabelJoin {
            target: target.to_owned(),
            separator: text(e, 2)?.to_owned(),
            sources,
            input: self.boxed_arg(e, 0, grid)?,
        })
    }

    fn info(&mut self, e: &Call, grid: Grid) -> Result<Vector, QueryError> {
        let matchers = match e.args.get(1).map(strip) {
            Some(Expr::Vector(selector)) => Some(selector.matchers.clone()),
            _ => None,
        };
        let (offset, at) = self.reach_of_first(arg(e, 0)?)?.unwrap_or((0, None));
        Ok(Vector::Info { input: self.boxed_arg(e, 0, grid)?, matchers, offset, at, span: e.span })
    }

    /// Offset and fixed time of the selector that is written first, together with those of subqueries around it.
    fn reach_of_first(&self, expr: &Expr) -> Result<Option<(i64, Option<i64>)>, QueryError> {
        let selector =
            |s: &VectorSelector| Ok(Some((millis(&s.offset, &self.range, true)?, self.fixed_time(s.at))));
        match expr {
            Expr::Number(_) | Expr::String(_) => Ok(None),
            Expr::Vector(s) => selector(s),
            Expr::Matrix(m) => selector(&m.selector),
            Expr::Subquery(s) => Ok(match self.reach_of_first(&s.expr)? {
                Some((offset, None)) => {
                    Some((offset + millis(&s.offset, &self.range, true)?, self.fixed_time(s.at)))
                }
                other => other,
            }),
            Expr::Aggregate(e) => self.reach_of_first(&e.expr),
            Expr::Binary(e) => match self.reach_of_first(&e.left)? {
                None => self.reach_of_first(&e.right),
                found => Ok(found),
            },
            Expr::Call(e) => {
                for arg in &e.args {
                    if let Some(found) = self.reach_of_first(arg)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            Expr::Unary(e) => self.reach_of_first(&e.expr),
            Expr::Paren(e) => self.reach_of_first(&e.expr),
        }
    }
}

/// Why a function cannot have the range that it is given; said only once it is to be computed.
fn misuse_of_mode(selector: &VectorSelector, function: WindowFn, name: &str) -> Option<String> {
    let (word, allowed, names) = match selector.mode? {
        RangeMode::Anchored => ("anchored", ANCHORED, "changes, delta, increase, rate, resets"),
        RangeMode::Smoothed => ("smoothed", SMOOTHED, "delta, increase, rate"),
    };
    (!allowed.contains(&function))
        .then(|| format!("{word} modifier can only be used with: {names} - not with {name}"))
}

/// The labels that a selector fixes, for the series that `absent` gives: those with one equality matcher and no
/// other matcher.
fn absent_labels(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match expr {
        Expr::Vector(selector) => &selector.matchers,
        Expr::Matrix(matrix) => &matrix.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut labels = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for m in matchers.iter().filter(|m| &*m.name != METRIC_NAME) {
        if m.op == MatchOp::Equal && !seen.contains(&&*m.name) {
            labels.set(&m.name, &m.value);
            seen.push(&m.name);
        } else {
            labels.del(&m.name);
        }
    }
    labels.build()
}
