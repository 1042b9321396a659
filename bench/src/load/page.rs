//! A page of which only the numbers are written anew: text between changing values is copied, constants are part of the text.

/// What the value of a series does over time. All are functions of the series and the step alone, so that every program under test,
/// and every run, is shown the same.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Course {
    /// Always the same.
    Constant(u64),
    /// Grows by about `rate` at each change.
    Counter { rate: u64 },
    /// A share of a growing count, as the buckets of a histogram are: `part` of `whole`.
    Bucket { rate: u64, part: u64, whole: u64 },
    /// Wanders within `spread` above `floor`, in multiples of `unit`.
    Gauge { floor: u64, spread: u64, unit: u64 },
}

/// Percent of the values that are not constant which change from one step to the next. Half of all values are constant, so 36 % of all
/// change.
const CHANGING: u64 = 72;

/// A page of one target.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: Vec<u8>,
    values: Vec<Value>,
    series: usize,
}

/// A value that changes.
#[derive(Debug, Clone, Copy)]
struct Value {
    /// Where in the text it is written.
    at: usize,
    seed: u64,
    course: Course,
    decimals: u32,
}

impl Page {
    /// Starts a family.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let lines = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.text.extend_from_slice(lines.as_bytes());
    }

    /// Adds a series. Its values are integers divided by ten to the power of `decimals`; series with the same `seed` change together.
    pub(crate) fn series(&mut self, name: &str, labels: &str, seed: u64, course: Course, decimals: u32) {
        self.text.extend_from_slice(name.as_bytes());
        if !labels.is_empty() {
            self.text.push(b'{');
            self.text.extend_from_slice(labels.as_bytes());
            self.text.push(b'}');
        }
        self.text.push(b' ');
        if let Course::Constant(value) = course {
            push_number(&mut self.text, value, decimals);
        } else {
            self.values.push(Value { at: self.text.len(), seed: mix(seed), course, decimals });
        }
        self.text.push(b'\n');
        self.series += 1;
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.series
    }

    /// Calls `f` with each series: its text, and what its value is at a step.
    pub(crate) fn each_series(&self, mut f: impl FnMut(&str, &dyn Fn(u64) -> f64)) {
        let mut values = self.values.iter().peekable();
        let mut start = 0;
        for line in self.text.split_inclusive(|&b| b == b'\n') {
            let end = start + line.len();
            let line = std::str::from_utf8(line).unwrap_or_default();
            if let Some((series, text)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) {
                match values.next_if(|value| value.at < end) {
                    Some(value) => {
                        let unit = 10f64.powi(value.decimals as i32);
                        f(series, &|step| value.at_step(step) as f64 / unit);
                    }
                    None => {
                        let value = text.trim().parse().unwrap_or(f64::NAN);
                        f(series, &|_| value);
                    }
                }
            }
            start = end;
        }
    }

    /// Appends the page as it is at `step`.
    pub(crate) fn render(&self, step: u64, out: &mut Vec<u8>) {
        out.reserve(self.text.len() + self.values.len() * 16);
        let mut copied = 0;
        for value in &self.values {
            out.extend_from_slice(&self.text[copied..value.at]);
            copied = value.at;
            push_number(out, value.at_step(step), value.decimals);
        }
        out.extend_from_slice(&self.text[copied..]);
    }
}

impl Value {
    fn at_step(&self, step: u64) -> u64 {
        let changes = (step * CHANGING + self.seed % 100) / 100;
        match self.course {
            Course::Constant(value) => value,
            Course::Counter { rate } => count(self.seed, changes, rate),
            Course::Bucket { rate, part, whole } => count(self.seed, changes, rate) * part / whole,
            Course::Gauge { floor, spread, unit } => {
                (floor + mix(self.seed ^ (changes << 32)) % spread.max(1)) * unit
            }
        }
    }
}

/// A count that never falls: each change adds `rate` and moves within one `rate`.
fn count(seed: u64, changes: u64, rate: u64) -> u64 {
    let start = seed % (rate * 100_000).max(1);
    start + changes * rate + mix(seed ^ (changes << 32)) % rate.max(1)
}

/// splitmix64's last step: one well mixed number from another.
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// `value` / 10^`decimals` as Go's exporters write it: shortest, with an exponent from 1e+06 on when it is longer than its digits
/// allow (`1.753088e+06`).
fn push_number(out: &mut Vec<u8>, value: u64, decimals: u32) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let digits = &digits[at..];
    let significant = digits.len() - digits.iter().rev().take_while(|&&d| d == b'0').count();
    let (digits, whole) = (&digits[..significant], digits.len() as i64 - i64::from(decimals));
    match whole {
        _ if digits.is_empty() => out.push(b'0'),
        7.. => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.extend_from_slice(b"e+");
            let exponent = (whole - 1) as u8;
            out.extend_from_slice(&[b'0' + exponent / 10, b'0' + exponent % 10]);
        }
        1..7 => {
            let whole = whole as usize;
            out.extend_from_slice(&digits[..whole.min(digits.len())]);
            out.resize(out.len() + whole.saturating_sub(digits.len()), b'0');
            if digits.len() > whole {
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
        }
        _ => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + whole.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let cases = [
            (0, 0, "0"),
            (0, 3, "0"),
            (7, 0, "7"),
            (120, 0, "120"),
            (999_999, 0, "999999"),
            (1_000_000, 0, "1e+06"),
            (1_753_088, 0, "1.753088e+06"),
            (12_345_678_901, 0, "1.2345678901e+10"),
            (5, 1, "0.5"),
            (5, 3, "0.005"),
            (1_500, 3, "1.5"),
            (123_456, 3, "123.456"),
            (1_234_567_890, 3, "1.23456789e+06"),
            (120_000, 3, "120"),
        ];
        for (value, decimals, expected) in cases {
            let mut out = Vec::new();
            push_number(&mut out, value, decimals);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn series_have_the_values_that_the_text_says() {
        let mut page = Page::default();
        page.family("a", "counter", "Help.");
        page.series("a", "x=\"1\"", 3, Course::Counter { rate: 900_000 }, 6);
        page.series("a", "x=\"2\"", 0, Course::Constant(1024), 0);
        page.series("a", "x=\"3\"", 5, Course::Gauge { floor: 3_000, spread: 60_000, unit: 4096 }, 0);
        for step in [0, 7, 5000] {
            let mut text = Vec::new();
            page.render(step, &mut text);
            let text = String::from_utf8(text).unwrap();
            let mut lines = text.lines().filter(|l| !l.starts_with('#'));
            page.each_series(|series, value| {
                let (name, number) = lines.next().unwrap().rsplit_once(' ').unwrap();
                assert_eq!((series, value(step)), (name, number.parse().unwrap()));
            });
            assert_eq!(lines.next(), None);
        }
    }

    #[test]
    fn counters_never_fall_and_buckets_keep_their_order() {
        let value = |course| Value { at: 0, seed: mix(7), course, decimals: 0 };
        let counter = value(Course::Counter { rate: 10 });
        let bucket = |part| value(Course::Bucket { rate: 10, part, whole: 12 });
        for step in 0..1000 {
            assert!(counter.at_step(step) <= counter.at_step(step + 1));
            assert!(bucket(3).at_step(step) <= bucket(4).at_step(step));
            assert!(bucket(3).at_step(step) <= bucket(3).at_step(step + 1));
        }
    }
}
