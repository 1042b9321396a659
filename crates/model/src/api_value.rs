//! Sample values as the HTTP API writes them, quickly: millions of them are an answer.
//!
//! Nearly all values are whole numbers or have few decimals, and of these the digits are computed eight at a time. What
//! is left has its shortest digits looked for.

use crate::number::push_api_value;

/// Room for any value's text; the longest has 25 bytes.
pub const API_VALUE_ROOM: usize = 32;

/// Below, every whole number is a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
const TEN_8: u64 = 100_000_000;

/// Writes what [`push_api_value`] appends to the beginning of `out`, and answers how long it is. What stands behind is undefined.
pub fn put_api_value(out: &mut [u8; API_VALUE_ROOM], v: f64) -> usize {
    let (abs, sign) = (v.abs(), usize::from(v.is_sign_negative()));
    let whole = abs as i64;
    // Zero keeps its sign; what is not a number is not equal either.
    if whole as f64 == abs && abs < EXACT {
        out[0] = b'-';
        return put_whole(out, sign, whole as u64);
    }
    if (1e-6..1e7).contains(&abs) {
        // Two different decimals of at most fifteen digits are never the same double: where one with eight decimals
        // is the value, its digits, without the zeros at their end, are the shortest.
        let scaled = (abs * 1e8 + 0.5) as i64;
        if scaled as f64 / 1e8 == abs {
            out[0] = b'-';
            let at = put_whole(out, sign, whole as u64);
            let fraction = eight_digits(scaled as u64 - whole as u64 * TEN_8);
            out[at] = b'.';
            put_eight(out, at + 1, fraction);
            return at + 9 - fraction.trailing_zeros() as usize / 8;
        }
    }
    if (1e-4..1e15).contains(&abs) {
        // No exponent is written for these, and what is not whole does not end in ".0".
        return put_text(out, zmij::Buffer::new().format_finite(v).as_bytes());
    }
    put_rare(out, v)
}

/// What has an exponent, zeros before or behind its digits, or is not a number.
#[cold]
fn put_rare(out: &mut [u8; API_VALUE_ROOM], v: f64) -> usize {
    let mut text = String::with_capacity(API_VALUE_ROOM);
    push_api_value(&mut text, v);
    put_text(out, text.as_bytes())
}

/// Copies a text of any length that fits, in pieces whose lengths are known when this is compiled.
fn put_text(out: &mut [u8; API_VALUE_ROOM], text: &[u8]) -> usize {
    let len = text.len().min(API_VALUE_ROOM);
    if let (Some(first), Some(last), 16..=24) = (text.first_chunk::<16>(), text.last_chunk::<8>(), len) {
        out[..16].copy_from_slice(first);
        out[len - 8..len].copy_from_slice(last);
    } else {
        out[..len].copy_from_slice(&text[..len]);
    }
    len
}

/// Writes a number below 10¹⁶ at `at`; answers where it ends.
fn put_whole(out: &mut [u8; API_VALUE_ROOM], at: usize, n: u64) -> usize {
    let high = if n < TEN_8 { 0 } else { n / TEN_8 };
    let digits = eight_digits(if high == 0 { n } else { high });
    // A zero has a digit too.
    let zeros = (digits.leading_zeros() / 8).min(7);
    put_eight(out, at, digits << (8 * zeros));
    let at = at + 8 - zeros as usize;
    if high == 0 {
        return at;
    }
    put_eight(out, at, eight_digits(n % TEN_8));
    at + 8
}

/// Writes the digits that [`eight_digits`] has put into a word.
fn put_eight(out: &mut [u8; API_VALUE_ROOM], at: usize, digits: u64) {
    // There is room for them wherever a number's text can be; a check of that is all that it costs.
    if let Some(place) = out.get_mut(at..at + 8) {
        place.copy_from_slice(&(digits | 0x3030_3030_3030_3030).to_be_bytes());
    }
}

/// The eight digits of a number below 10⁸, a byte each, the first one in the highest.
///
/// Halves, quarters and eighths of the digits are divided off side by side; a division by 10ⁿ is a multiplication
/// with its inverse, exact for as many digits as there are.
#[must_use]
pub fn eight_digits(n: u64) -> u64 {
    let fours = ((n / 10_000) << 32) | (n % 10_000);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = (hundreds << 16) | (fours - hundreds * 100);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens << 8) | (twos - tens * 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(v: f64) {
        let mut want = String::new();
        push_api_value(&mut want, v);
        let mut room = [b'#'; API_VALUE_ROOM];
        let len = put_api_value(&mut room, v);
        assert_eq!(std::str::from_utf8(&room[..len]).unwrap(), want, "{v:e}");
    }

    #[test]
    fn values_of_every_size_are_written() {
        let edges =
            [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324];
        edges.into_iter().for_each(check);
        // One with the longest text of all.
        check(-1.234_567_890_123_456_7e-6);
        for exponent in -30..30 {
            let power = 10f64.powi(exponent);
            for around in [power, power.next_up(), power.next_down(), power * 9.99, power * 5.000_5] {
                check(around);
                check(-around);
                check(around.round());
            }
        }
        for v in [EXACT - 1.0, EXACT, EXACT + 2.0, 99_999_999.0, 100_000_000.0, 9_999_999.999_999_99] {
            check(v);
            check(-v);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn any_bits(bits: u64) {
            check(f64::from_bits(bits));
        }

        #[test]
        fn decimals(digits in 0u64..10_000_000_000_000_000, exponent in -20i32..6, steps in -1i64..2) {
            let decimal: f64 = format!("{digits}e{exponent}").parse().unwrap();
            // And its neighbours, which have more digits.
            check(f64::from_bits(decimal.to_bits().saturating_add_signed(steps)));
        }

        #[test]
        fn digits_are_those_of_the_number(n in 0u64..TEN_8) {
            let text = format!("{n:08}");
            prop_assert_eq!(&(eight_digits(n) | 0x3030_3030_3030_3030).to_be_bytes(), text.as_bytes());
        }
    }
}
