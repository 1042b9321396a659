//! A writer of JSON text: no tree is built, large results are written piece by piece.

use model::go_json::{Encoder, push_string};
use model::{FloatHistogram, Labels};

/// Appends a string with quotes.
pub(crate) fn string(out: &mut String, text: &str) {
    push_string(out, text, Encoder::Jsoniter);
}

/// Appends what stands between the quotes of a name or value of a label. Prometheus writes these with an encoder of its own,
/// which does not care about HTML.
fn escaped(out: &mut String, text: &str) {
    let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    // Without a branch for each byte; most texts have nothing to escape.
    if !text.bytes().fold(false, |any, b| any | special(b)) {
        return out.push_str(text);
    }
    let mut plain = 0;
    for (i, b) in text.bytes().enumerate().filter(|&(_, b)| special(b)) {
        out.push_str(&text[plain..i]);
        plain = i + 1;
        match b {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                out.push_str("\\u00");
                for nibble in [b >> 4, b & 0xf] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
        }
    }
    out.push_str(&text[plain..]);
}

/// Appends `"name":` and, before it, a comma unless the object has just been opened.
pub(crate) fn key(out: &mut String, name: &str) {
    comma(out);
    string(out, name);
    out.push(':');
}

/// Appends a comma unless an object or array has just been opened.
pub(crate) fn comma(out: &mut String) {
    if !out.is_empty() && !out.ends_with(['{', '[', ':']) {
        out.push(',');
    }
}

/// Appends `"name":"text"`.
pub(crate) fn field(out: &mut String, name: &str, text: &str) {
    key(out, name);
    string(out, text);
}

/// Appends `"name":value` for a value whose text is JSON as it stands.
pub(crate) fn raw_field(out: &mut String, name: &str, value: impl std::fmt::Display) {
    key(out, name);
    out.push_str(&value.to_string());
}

/// Appends an array of strings.
pub(crate) fn strings<S: AsRef<str>>(out: &mut String, items: impl IntoIterator<Item = S>) {
    out.push('[');
    for item in items {
        comma(out);
        string(out, item.as_ref());
    }
    out.push(']');
}

/// Appends a label set as an object.
pub(crate) fn labels(out: &mut String, labels: &Labels) {
    if labels.is_empty() {
        return out.push_str("{}");
    }
    let mut before = "{\"";
    for (name, value) in labels {
        out.push_str(before);
        escaped(out, name);
        out.push_str("\":\"");
        escaped(out, value);
        before = "\",\"";
    }
    out.push_str("\"}");
}

/// Appends a time as seconds with up to three decimals.
pub(crate) fn timestamp(out: &mut String, millis: i64) {
    let abs = millis.unsigned_abs();
    if millis < 0 {
        out.push('-');
    }
    out.push_str(itoa(abs / 1000, &mut [0; 20]));
    let fraction = abs % 1000;
    if fraction != 0 {
        out.push('.');
        for divisor in [100, 10, 1] {
            out.push(char::from(b'0' + (fraction / divisor % 10) as u8));
        }
    }
}

/// Appends `[seconds,"value"]`.
pub(crate) fn point(out: &mut String, t: i64, v: f64) {
    out.push('[');
    timestamp(out, t);
    out.push_str(",\"");
    model::number::push_api_value(out, v);
    out.push_str("\"]");
}

/// Appends `[seconds,"value"]` of a number that stands for itself: without an exponent, however large.
pub(crate) fn scalar(out: &mut String, t: i64, v: f64) {
    out.push('[');
    timestamp(out, t);
    out.push_str(",\"");
    model::number::push_f(out, v);
    out.push_str("\"]");
}

/// Appends `[seconds,{histogram}]`: count, sum and the populated buckets, each as whether its bounds belong to it
/// (0: the upper, 1: the lower, 2: neither, 3: both), lower bound, upper bound and population.
pub(crate) fn histogram_point(out: &mut String, t: i64, h: &FloatHistogram) {
    let number = |out: &mut String, v: f64| {
        out.push('"');
        model::number::push_api_value(out, v);
        out.push('"');
    };
    out.push('[');
    timestamp(out, t);
    out.push_str(",{\"count\":");
    number(out, h.count);
    out.push_str(",\"sum\":");
    number(out, h.sum);
    let mut open = false;
    for bucket in h.buckets().filter(|b| b.count != 0.0) {
        out.push_str(if open { "," } else { ",\"buckets\":[" });
        open = true;
        out.push_str(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => "[0,",
            (true, false) => "[1,",
            (false, false) => "[2,",
            (true, true) => "[3,",
        });
        number(out, bucket.lower);
        out.push(',');
        number(out, bucket.upper);
        out.push(',');
        number(out, bucket.count);
        out.push(']');
    }
    out.push_str(if open { "]}]" } else { "}]" });
}

fn itoa(mut n: u64, buf: &mut [u8; 20]) -> &str {
    let mut at = buf.len();
    loop {
        at -= 1;
        buf[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    std::str::from_utf8(&buf[at..]).unwrap_or("0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut out = String::new();
        string(&mut out, "a\"b\\c\n\u{1}é\u{7f}<&>");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001é\u{7f}\\u003c\\u0026\\u003e\"");
        out.clear();
        labels(&mut out, &Labels::from_pairs([("a", "<\"&\n>")]));
        assert_eq!(out, "{\"a\":\"<\\\"&\\n>\"}");
    }

    #[test]
    fn timestamps_have_three_decimals_or_none() {
        let cases = [(0, "0"), (1_700_002_800_123, "1700002800.123"), (1_005, "1.005"), (-1_500, "-1.500")];
        for (millis, want) in cases {
            let mut out = String::new();
            timestamp(&mut out, millis);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn histograms_list_their_populated_buckets() {
        let h = FloatHistogram {
            zero_threshold: 0.5,
            zero_count: 2.0,
            count: 6.0,
            sum: 4.5,
            positive: vec![(1, 3.0), (2, 0.0)],
            negative: vec![(1, 1.0)],
            ..FloatHistogram::default()
        };
        let mut out = String::new();
        histogram_point(&mut out, 1_500, &h);
        let buckets = r#"[[1,"-2","-1","1"],[3,"-0.5","0.5","2"],[0,"1","2","3"]]"#;
        assert_eq!(out, format!(r#"[1.500,{{"count":"6","sum":"4.5","buckets":{buckets}}}]"#));
        out.clear();
        histogram_point(&mut out, 0, &FloatHistogram::default());
        assert_eq!(out, r#"[0,{"count":"0","sum":"0"}]"#);
    }

    #[test]
    fn commas_stand_between_members_only() {
        let mut out = String::from("{");
        field(&mut out, "a", "1");
        raw_field(&mut out, "b", 2);
        key(&mut out, "c");
        strings(&mut out, ["x", "y"]);
        out.push('}');
        assert_eq!(out, r#"{"a":"1","b":2,"c":["x","y"]}"#);
    }
}
