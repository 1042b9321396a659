//! PromQL evaluated in the plainest way: one step after the other, by recursion over the tree, each window looked at
//! from scratch. Slow and easy to check by eye; what the real evaluator is compared with.
//!
//! Floats only, without annotations, and with metric names dropped at once.

mod aggregate;
mod binary;
mod window;

use model::{Labels, LabelsBuilder, Sample, is_stale};
use promql::ast::{At, BinaryOp, Call, DurationArg, Expr, Subquery, ValueType, VectorSelector};

/// Series with their samples in order of time.
pub type Data = Vec<(Labels, Vec<Sample>)>;

/// A vector at one step.
pub type StepVector = Vec<(Labels, f64)>;

/// Evaluates expressions over `data`.
#[derive(Debug)]
pub struct Reference<'a> {
    /// What is read.
    pub data: &'a Data,
    /// How old a sample may be, in milliseconds.
    pub lookback: i64,
    /// Default step of subqueries, in milliseconds.
    pub default_step: i64,
    /// The query's first and last step: what `start()` and `end()` mean.
    pub bounds: (i64, i64),
}

/// A value at one step.
#[derive(Debug)]
pub enum StepValue {
    /// One number.
    Scalar(f64),
    /// Series with one value each.
    Vector(StepVector),
    /// Not supported, or not allowed.
    Failed(String),
}

impl Reference<'_> {
    /// The value of `expr` at time `t`.
    #[must_use]
    pub fn value(&self, expr: &Expr, t: i64) -> StepValue {
        let value = match expr.value_type() {
            ValueType::Scalar => self.scalar(expr, t).map(StepValue::Scalar),
            _ => self.vector(expr, t).map(StepValue::Vector),
        };
        value.unwrap_or_else(StepValue::Failed)
    }

    fn scalar(&self, expr: &Expr, t: i64) -> Result<f64, String> {
        match expr {
            Expr::Number(n) => Ok(n.value),
            Expr::Paren(e) => self.scalar(&e.expr, t),
            Expr::Unary(e) => Ok(if e.op == BinaryOp::Sub { -1.0 } else { 1.0 } * self.scalar(&e.expr, t)?),
            Expr::Binary(e) => {
                let (a, b) = (self.scalar(&e.left, t)?, self.scalar(&e.right, t)?);
                let (v, keep) = binary::operate(e.op, a, b);
                Ok(if e.op.is_comparison() { f64::from(u8::from(keep)) } else { v })
            }
            Expr::Call(e) => match (e.function.name, e.args.first()) {
                ("time", _) => Ok(t as f64 / 1000.0),
                ("pi", _) => Ok(std::f64::consts::PI),
                ("scalar", Some(arg)) => Ok(match self.vector(arg, t)?.as_slice() {
                    [(_, v)] => *v,
                    _ => f64::NAN,
                }),
                (other, _) => Err(format!("scalar function {other}")),
            },
            other => Err(format!("no scalar: {other:?}")),
        }
    }

    fn vector(&self, expr: &Expr, t: i64) -> Result<StepVector, String> {
        match expr {
            Expr::Paren(e) => self.vector(&e.expr, t),
            Expr::Vector(selector) => Ok(self.newest(selector, t)?),
            Expr::Unary(e) if e.op == BinaryOp::Sub => {
                distinct(self.vector(&e.expr, t)?.into_iter().map(|(l, v)| (nameless(&l), -v)).collect())
            }
            Expr::Unary(e) => self.vector(&e.expr, t),
            Expr::Aggregate(e) => self.aggregate(e, t),
            Expr::Binary(e) => self.binary(e, t),
            Expr::Call(e) => self.call(e, t),
            other => Err(format!("no vector: {other:?}")),
        }
    }

    fn time_of(&self, at: Option<At>, offset: &DurationArg, t: i64) -> Result<i64, String> {
        let t = match at {
            None => t,
            Some(At::Time(at)) => at,
            Some(At::Start) => self.bounds.0,
            Some(At::End) => self.bounds.1,
        };
        Ok(t - millis(offset)?)
    }

    fn matching<'s>(
        &'s self,
        selector: &'s VectorSelector,
    ) -> impl Iterator<Item = &'s (Labels, Vec<Sample>)> {
        self.data.iter().filter(|(labels, _)| selector.matchers.iter().all(|m| m.matches_labels(labels)))
    }

    fn newest(&self, selector: &VectorSelector, t: i64) -> Result<StepVector, String> {
        let t = self.time_of(selector.at, &selector.offset, t)?;
        let newest = |samples: &[Sample]| {
            let s = samples.iter().rev().find(|s| s.t <= t)?;
            (s.t > t - self.lookback && !is_stale(s.v)).then_some(s.v)
        };
        Ok(self.matching(selector).filter_map(|(l, s)| Some((l.clone(), newest(s)?))).collect())
    }

    /// The windows of a matrix expression: labels, samples, and where the window begins and ends.
    fn windows(&self, expr: &Expr, t: i64) -> Result<(Data, i64, i64), String> {
        match expr {
            Expr::Paren(e) => self.windows(&e.expr, t),
            Expr::Matrix(m) => {
                let end = self.time_of(m.selector.at, &m.selector.offset, t)?;
                let start = end - millis(&m.range)?;
                let inside = |samples: &[Sample]| -> Vec<Sample> {
                    samples.iter().filter(|s| s.t > start && s.t <= end && !is_stale(s.v)).copied().collect()
                };
                Ok((self.matching(&m.selector).map(|(l, s)| (l.clone(), inside(s))).collect(), start, end))
            }
            Expr::Subquery(s) => self.subquery(s, t),
            other => Err(format!("no range vector: {other:?}")),
        }
    }

    fn subquery(&self, s: &Subquery, t: i64) -> Result<(Data, i64, i64), String> {
        let end = self.time_of(s.at, &s.offset, t)?;
        let start = end - millis(&s.range)?;
        let step = s.step.as_ref().map_or(Ok(self.default_step), millis)?;
        let mut data: Data = Vec::new();
        let mut at = (start.div_euclid(step) + 1) * step;
        while at <= end {
            let values = match self.value(&s.expr, at) {
                StepValue::Scalar(v) => vec![(Labels::empty(), v)],
                StepValue::Vector(values) => values,
                StepValue::Failed(e) => return Err(e),
            };
            for (labels, v) in values {
                let sample = Sample { t: at, v };
                match data.iter_mut().find(|(l, _)| *l == labels) {
                    Some((_, samples)) => samples.push(sample),
                    None => data.push((labels, vec![sample])),
                }
            }
            at += step;
        }
        Ok((data, start, end))
    }

    fn call(&self, e: &Call, t: i64) -> Result<StepVector, String> {
        let name = e.function.name;
        let arg = |i: usize| e.args.get(i).ok_or_else(|| format!("{name}: argument {i}"));
        if let Some(at) = e.args.iter().position(|a| a.value_type() == ValueType::Matrix) {
            let scalar = match e.args.iter().find(|a| a.value_type() == ValueType::Scalar) {
                Some(arg) => self.scalar(arg, t)?,
                None => f64::NAN,
            };
            let (data, start, end) = self.windows(arg(at)?, t)?;
            let keeps_name = matches!(name, "last_over_time" | "first_over_time");
            let mut out = Vec::new();
            for (labels, samples) in data.iter().filter(|(_, s)| !s.is_empty()) {
                if let Some(v) = window::apply(name, samples, start, end, scalar, t)? {
                    out.push((if keeps_name { labels.clone() } else { nameless(labels) }, v));
                }
            }
            return distinct(out);
        }
        match name {
            "vector" => return Ok(vec![(Labels::empty(), self.scalar(arg(0)?, t)?)]),
            "absent" => {
                let some = !self.vector(arg(0)?, t)?.is_empty();
                return Ok(if some { Vec::new() } else { vec![(Labels::empty(), 1.0)] });
            }
            _ => {}
        }
        let input = self.vector(arg(0)?, t)?;
        let scalar = match e.args.get(1) {
            Some(arg) if arg.value_type() == ValueType::Scalar => self.scalar(arg, t)?,
            _ => 1.0,
        };
        let f = |v: f64| {
            Ok(match name {
                "abs" => v.abs(),
                "ceil" => v.ceil(),
                "floor" => v.floor(),
                "sqrt" => v.sqrt(),
                "sgn" if v == 0.0 || v.is_nan() => v,
                "sgn" => v.signum(),
                "exp" => v.exp(),
                "clamp_min" if v < scalar => scalar,
                "clamp_max" if v > scalar => scalar,
                "clamp_min" | "clamp_max" => v,
                "round" => (v / scalar + 0.5).floor() * scalar,
                "timestamp" => t as f64 / 1000.0,
                other => return Err(format!("function {other}")),
            })
        };
        let out: Result<StepVector, String> =
            input.into_iter().map(|(l, v)| Ok((nameless(&l), f(v)?))).collect();
        distinct(out?)
    }
}

fn millis(arg: &DurationArg) -> Result<i64, String> {
    match arg {
        DurationArg::Millis(ms) => Ok(*ms),
        DurationArg::Expr(e) => Err(format!("duration expression {e:?}")),
    }
}

fn nameless(labels: &Labels) -> Labels {
    LabelsBuilder::new(labels).del("__name__").build()
}

/// The vector, if no two series have the same labels.
fn distinct(vector: StepVector) -> Result<StepVector, String> {
    for (i, (labels, _)) in vector.iter().enumerate() {
        if vector.iter().take(i).any(|(l, _)| l == labels) {
            return Err("vector cannot contain metrics with the same labelset".to_owned());
        }
    }
    Ok(vector)
}
