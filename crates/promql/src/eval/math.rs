//! Functions and operators on single numbers, with Go's results at the edges.

use crate::ast::BinaryOp;

/// Go's `math.Max`: NaN unless the other is +Inf.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`: NaN unless the other is -Inf.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else {
        a.min(b)
    }
}

/// Go's `math.Log` on amd64, which takes numbers below the normal ones for `0.5·(1+m)·2^-1022`.
fn ln(v: f64) -> f64 {
    if v > 0.0 && v < f64::MIN_POSITIVE {
        let mantissa = f64::from_bits(v.to_bits() | 0x3fe0_0000_0000_0000);
        return mantissa.ln() - 1022.0 * std::f64::consts::LN_2;
    }
    v.ln()
}

/// The function called `name` that takes a vector and computes value by value.
pub(crate) fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => ln,
        "log10" => {
            |v| if v > 0.0 && v < f64::MIN_POSITIVE { ln(v) / std::f64::consts::LN_10 } else { v.log10() }
        }
        "log2" => f64::log2,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return super::dates::function(name),
    })
}

/// `round(v, to_nearest)`: halves go up.
pub(crate) fn round(v: f64, to_nearest: f64) -> f64 {
    // Multiplying with the inverse loses fewer digits than dividing.
    let inverse = 1.0 / to_nearest;
    (v * inverse + 0.5).floor() / inverse
}

/// Value of an arithmetic operator; `None` for the others.
pub(crate) fn arithmetic(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Mod => a % b,
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Atan2 => a.atan2(b),
        _ => return None,
    })
}

/// Outcome of a comparison operator; false for the others.
pub(crate) fn compare(op: BinaryOp, a: f64, b: f64) -> bool {
    match op {
        BinaryOp::Eql => a == b,
        BinaryOp::Neq => a != b,
        BinaryOp::Gtr => a > b,
        BinaryOp::Lss => a < b,
        BinaryOp::Gte => a >= b,
        BinaryOp::Lte => a <= b,
        _ => false,
    }
}

/// Value of an operator between two scalars, where comparisons give 0 or 1.
pub(crate) fn scalar(op: BinaryOp, a: f64, b: f64) -> f64 {
    arithmetic(op, a, b).unwrap_or_else(|| f64::from(u8::from(compare(op, a, b))))
}

/// Value of an operator between samples, and whether the sample is kept: comparisons keep the left value where they hold.
pub(crate) fn samples(op: BinaryOp, a: f64, b: f64) -> (f64, bool) {
    match arithmetic(op, a, b) {
        Some(v) => (v, true),
        None => (a, compare(op, a, b)),
    }
}

/// The operator as written.
pub(crate) fn symbol(op: BinaryOp) -> &'static str {
    match op {
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

/// Whether the result of the operator is no longer the metric that was measured.
pub(crate) fn changes_metric(op: BinaryOp) -> bool {
    arithmetic(op, 1.0, 1.0).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_up() {
        for (v, to, want) in [(2.5, 1.0, 3.0), (-2.5, 1.0, -2.0), (1.26, 0.1, 1.3), (7.0, 5.0, 5.0)] {
            assert!((round(v, to) - want).abs() < 1e-12, "{v} {to}");
        }
    }

    #[test]
    fn infinities_win_over_nan_in_min_and_max() {
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(max(f64::NAN, 1.0).is_nan());
    }
}
