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
        "acosh" => acosh,
        "asin" => f64::asin,
        "asinh" => asinh,
        "atan" => f64::atan,
        "atanh" => atanh,
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

/// From here on the square of a number swallows 1, and below its inverse the square is swallowed.
const LARGE: f64 = 268_435_456.0;

/// By the formulas of FreeBSD's library, which Go uses: they hold for the largest numbers and near zero.
fn asinh(v: f64) -> f64 {
    let x = v.abs();
    let result = if !x.is_finite() || x < 1.0 / LARGE {
        x
    } else if x > LARGE {
        x.ln() + std::f64::consts::LN_2
    } else if x > 2.0 {
        (2.0 * x + 1.0 / ((x * x + 1.0).sqrt() + x)).ln()
    } else {
        (x + x * x / (1.0 + (1.0 + x * x).sqrt())).ln_1p()
    };
    result.copysign(v)
}

/// As [`asinh`].
fn acosh(x: f64) -> f64 {
    if x.is_nan() || x < 1.0 {
        f64::NAN
    } else if x >= LARGE {
        x.ln() + std::f64::consts::LN_2
    } else if x > 2.0 {
        (2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt())).ln()
    } else {
        let above = x - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    }
}

/// As [`asinh`].
fn atanh(v: f64) -> f64 {
    let x = v.abs();
    let result = if x.is_nan() || x > 1.0 {
        return f64::NAN;
    } else if x < 1.0 / LARGE {
        x
    } else if x < 0.5 {
        let twice = x + x;
        0.5 * (twice + twice * x / (1.0 - x)).ln_1p()
    } else {
        0.5 * ((x + x) / (1.0 - x)).ln_1p()
    };
    result.copysign(v)
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
    fn inverse_hyperbolic_functions_hold_at_the_edges() {
        assert!((asinh(1e308) - 709.889_355_822_726).abs() < 1e-12);
        assert!((acosh(1e308) - 709.889_355_822_726).abs() < 1e-12);
        for v in [-1e308, -3.0, -0.3, -1e-9, 1e-9, 0.3, 3.0, 1e9] {
            assert!((asinh(v) - f64::asinh(v)).abs() <= 1e-12 * v.abs() || v.abs() > 1e300, "{v}");
            assert!((acosh(v.abs() + 1.0) - f64::acosh(v.abs() + 1.0)).abs() < 1e-7 || v.abs() > 1e300);
        }
        for v in [-0.9, -1e-9, 0.2, 0.999] {
            assert!((atanh(v) - f64::atanh(v)).abs() <= 1e-12 * f64::atanh(v).abs(), "{v}");
        }
        assert!(asinh(-0.0).is_sign_negative() && atanh(-0.0).is_sign_negative());
        assert!(acosh(0.5).is_nan() && atanh(1.5).is_nan() && asinh(f64::NAN).is_nan());
        assert_eq!(
            (atanh(1.0), acosh(1.0), asinh(f64::NEG_INFINITY)),
            (f64::INFINITY, 0.0, f64::NEG_INFINITY)
        );
    }

    #[test]
    fn infinities_win_over_nan_in_min_and_max() {
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert_eq!(min(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
        assert!(max(f64::NAN, 1.0).is_nan());
    }
}
