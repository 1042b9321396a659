//! Logarithm and power to the base two with the last digits that Go's have.

use std::f64::consts::LN_2;

use super::bounds::scale;

/// High and low part of the natural logarithm of two.
const LN_2_PARTS: (f64, f64) = (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10);

/// Go takes the natural logarithm of the fraction and adds the exponent.
pub(super) fn log2(v: f64) -> f64 {
    if v <= 0.0 || !v.is_normal() {
        return v.log2();
    }
    let bits = v.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    let fraction = f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52);
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    fraction.ln() * (1.0 / LN_2) + f64::from(exponent)
}

/// Go reduces the exponent to at most a half and computes `e^x` of that by a rational approximation.
pub(super) fn exp2(v: f64) -> f64 {
    if !(-1022.0..1023.0).contains(&v) {
        return v.exp2();
    }
    let whole = if v > 0.0 { v + 0.5 } else { v - 0.5 }.trunc();
    let rest = v - whole;
    let (high, low) = (rest * LN_2_PARTS.0, -rest * LN_2_PARTS.1);
    let reduced = high - low;
    let square = reduced * reduced;
    let [p1, p2, p3, p4, p5] = [
        0x3fc5_5555_5555_5555_u64,
        0xbf66_c16c_16be_bd93,
        0x3f11_566a_af25_de2c,
        0xbebb_bd41_c5d2_6bf1,
        0x3e66_3769_72be_a4d0,
    ]
    .map(f64::from_bits);
    let c = reduced - square * (p1 + square * (p2 + square * (p3 + square * (p4 + square * p5))));
    let fraction = 1.0 - ((low - (reduced * c) / (2.0 - c)) - high);
    scale(fraction, whole as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_agree_with_the_usual_functions_but_for_the_last_digit() {
        for v in [1e-300, 0.001, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 1e10, 1e300] {
            assert!((log2(v) - v.log2()).abs() <= 1e-15 * v.log2().abs().max(1.0), "{v}");
        }
        for v in [-1000.5, -3.0, -0.7, 0.0, 0.3, 0.5, 1.0, 7.9, 1000.25] {
            assert!((exp2(v) - v.exp2()).abs() <= 1e-15 * v.exp2(), "{v}");
        }
    }
}
