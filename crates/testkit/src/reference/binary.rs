//! Operators at one step.

use model::{Labels, LabelsBuilder};
use promql::ast::{Binary, BinaryOp, Cardinality, ValueType, VectorMatching};

use super::{Reference, StepVector, distinct, nameless};

/// Value of an operator, and whether a sample is kept.
pub(super) fn operate(op: BinaryOp, a: f64, b: f64) -> (f64, bool) {
    match op {
        BinaryOp::Add => (a + b, true),
        BinaryOp::Sub => (a - b, true),
        BinaryOp::Mul => (a * b, true),
        BinaryOp::Div => (a / b, true),
        BinaryOp::Mod => (a % b, true),
        BinaryOp::Pow => (a.powf(b), true),
        BinaryOp::Atan2 => (a.atan2(b), true),
        BinaryOp::Eql => (a, a == b),
        BinaryOp::Neq => (a, a != b),
        BinaryOp::Gtr => (a, a > b),
        BinaryOp::Lss => (a, a < b),
        BinaryOp::Gte => (a, a >= b),
        BinaryOp::Lte => (a, a <= b),
        _ => (f64::NAN, false),
    }
}

fn signature(labels: &Labels, m: &VectorMatching) -> Labels {
    let named = |name: &str| m.labels.iter().any(|l| l == name);
    labels.filter(|n| if m.on { named(n) } else { n != "__name__" && !named(n) })
}

impl Reference<'_> {
    pub(super) fn binary(&self, e: &Binary, t: i64) -> Result<StepVector, String> {
        let drops_name = !e.op.is_comparison() || e.return_bool;
        let result = |a: f64, b: f64| {
            let (v, keep) = operate(e.op, a, b);
            if e.return_bool { (f64::from(u8::from(keep)), true) } else { (v, keep) }
        };
        match (e.left.value_type(), e.right.value_type()) {
            (ValueType::Vector, ValueType::Scalar) | (ValueType::Scalar, ValueType::Vector) => {
                let scalar_left = e.left.value_type() == ValueType::Scalar;
                let (vector, scalar) = if scalar_left { (&e.right, &e.left) } else { (&e.left, &e.right) };
                let s = self.scalar(scalar, t)?;
                let mut out = Vec::new();
                for (labels, v) in self.vector(vector, t)? {
                    let (mut r, keep) = if scalar_left { result(s, v) } else { result(v, s) };
                    if e.op.is_comparison() && !e.return_bool {
                        r = v;
                    }
                    if keep {
                        out.push((if drops_name { nameless(&labels) } else { labels }, r));
                    }
                }
                return distinct(out);
            }
            _ => {}
        }
        let (left, right) = (self.vector(&e.left, t)?, self.vector(&e.right, t)?);
        let Some(m) = &e.matching else { return Err("no matching".to_owned()) };
        let has = |side: &StepVector, labels: &Labels| {
            side.iter().any(|(l, _)| signature(l, m) == signature(labels, m))
        };
        match e.op {
            BinaryOp::And => return Ok(left.into_iter().filter(|(l, _)| has(&right, l)).collect()),
            BinaryOp::Unless => return Ok(left.into_iter().filter(|(l, _)| !has(&right, l)).collect()),
            BinaryOp::Or => {
                let more: StepVector = right.into_iter().filter(|(l, _)| !has(&left, l)).collect();
                return distinct(left.into_iter().chain(more).collect());
            }
            _ => {}
        }
        if left.is_empty() || right.is_empty() {
            return Ok(Vec::new());
        }
        let swapped = m.card == Cardinality::OneToMany;
        let (many, one) = if swapped { (right, left) } else { (left, right) };
        for (i, (labels, _)) in one.iter().enumerate() {
            if one.iter().take(i).any(|(l, _)| signature(l, m) == signature(labels, m)) {
                return Err("found duplicate series".to_owned());
            }
        }
        let mut out: StepVector = Vec::new();
        let mut seen: Vec<(Labels, Labels)> = Vec::new();
        for (labels, v) in &many {
            let sig = signature(labels, m);
            let Some((other, w)) = one.iter().find(|(l, _)| signature(l, m) == sig) else { continue };
            let (r, keep) = if swapped { result(*w, *v) } else { result(*v, *w) };
            let mut b = LabelsBuilder::new(labels);
            if drops_name {
                b.del("__name__");
            }
            if m.card == Cardinality::OneToOne {
                b.retain(|n, _| m.labels.iter().any(|l| l == n) == m.on);
            }
            for name in &m.include {
                b.set(name, other.value(name));
            }
            let labels = b.build();
            let clash =
                seen.iter().any(|(s, l)| *s == sig && (m.card == Cardinality::OneToOne || *l == labels));
            if clash {
                return Err("multiple matches for labels".to_owned());
            }
            seen.push((sig, labels.clone()));
            if keep {
                out.push((labels, r));
            }
        }
        distinct(out)
    }
}
