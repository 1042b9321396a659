//! Requests in JSON, written in protobuf as senders write it: an encoder of the tests' own, from the published field
//! numbers.

use base64::Engine as _;
use serde_json::Value;

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn tag(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn fixed(&mut self, field: u64, bits: u64) {
        self.tag(field, 1);
        self.0.extend(bits.to_le_bytes());
    }

    fn number(&mut self, field: u64, n: u64) {
        self.tag(field, 0);
        self.varint(n);
    }

    fn text(&mut self, field: u64, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn whole(&mut self, field: u64, value: &Value) {
        if !value.is_null() {
            self.fixed(field, integer(value) as u64);
        }
    }

    fn double(&mut self, field: u64, value: &Value) {
        if !value.is_null() {
            self.fixed(field, double(value).to_bits());
        }
    }

    fn each(&mut self, field: u64, list: &Value, encode: impl Fn(&Value) -> Message) {
        for value in list.as_array().into_iter().flatten() {
            self.bytes(field, &encode(value).0);
        }
    }

    fn one(&mut self, field: u64, value: &Value, encode: impl Fn(&Value) -> Message) {
        if !value.is_null() {
            self.bytes(field, &encode(value).0);
        }
    }
}

fn integer(value: &Value) -> i128 {
    value.as_str().map_or_else(|| value.as_i64().unwrap().into(), |text| text.parse().unwrap())
}

fn double(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn zigzag(value: &Value) -> u64 {
    let n = if value.is_null() { 0 } else { integer(value) as i32 };
    u64::from((n << 1 ^ n >> 31) as u32)
}

/// The body of a request.
pub(crate) fn request(request: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.each(1, &request["resourceMetrics"], |of| {
        let mut out = Message::default();
        out.one(1, &of["resource"], |of| {
            let mut out = Message::default();
            out.each(1, &of["attributes"], attribute);
            out
        });
        out.each(2, &of["scopeMetrics"], scope_metrics);
        out
    });
    out.0
}

fn scope_metrics(of: &Value) -> Message {
    let mut out = Message::default();
    // Behind what it is the scope of, which is allowed.
    out.each(2, &of["metrics"], metric);
    out.text(3, &of["schemaUrl"]);
    out.one(1, &of["scope"], |of| {
        let mut out = Message::default();
        out.text(1, &of["name"]);
        out.text(2, &of["version"]);
        out.each(3, &of["attributes"], attribute);
        out
    });
    out
}

fn attribute(of: &Value) -> Message {
    let mut out = Message::default();
    out.text(1, &of["key"]);
    out.one(2, &of["value"], value);
    out
}

fn value(of: &Value) -> Message {
    let mut out = Message::default();
    for (key, value_of) in of.as_object().unwrap() {
        match key.as_str() {
            "stringValue" => out.text(1, value_of),
            "boolValue" => out.number(2, value_of.as_bool().unwrap().into()),
            "intValue" => out.number(3, integer(value_of) as u64),
            "doubleValue" => out.double(4, value_of),
            "arrayValue" => out.one(5, value_of, |of| {
                let mut out = Message::default();
                out.each(1, &of["values"], value);
                out
            }),
            "kvlistValue" => out.one(6, value_of, |of| {
                let mut out = Message::default();
                out.each(1, &of["values"], attribute);
                out
            }),
            "bytesValue" => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(value_of.as_str().unwrap());
                out.bytes(7, &bytes.unwrap());
            }
            other => panic!("{other}"),
        }
    }
    out
}

fn metric(of: &Value) -> Message {
    let mut out = Message::default();
    for (field, kind, point) in [
        (5, "gauge", number_point as fn(&Value) -> Message),
        (7, "sum", number_point),
        (9, "histogram", histogram_point),
        (10, "exponentialHistogram", exponential_point),
        (11, "summary", summary_point),
    ] {
        out.one(field, &of[kind], |of| {
            let mut out = Message::default();
            out.each(1, &of["dataPoints"], point);
            match &of["aggregationTemporality"] {
                Value::Number(n) => out.number(2, n.as_u64().unwrap()),
                Value::String(name) if name.ends_with("DELTA") => out.number(2, 1),
                Value::String(name) if name.ends_with("CUMULATIVE") => out.number(2, 2),
                _ => {}
            }
            if of["isMonotonic"] == true {
                out.number(3, 1);
            }
            out
        });
    }
    out.text(1, &of["name"]);
    out.text(2, &of["description"]);
    out.text(3, &of["unit"]);
    out
}

fn point(of: &Value, attributes: u64, flags: u64) -> Message {
    let mut out = Message::default();
    out.each(attributes, &of["attributes"], attribute);
    out.whole(2, &of["startTimeUnixNano"]);
    out.whole(3, &of["timeUnixNano"]);
    if let Some(set) = of["flags"].as_u64() {
        out.number(flags, set);
    }
    out
}

fn number_point(of: &Value) -> Message {
    let mut out = point(of, 7, 8);
    out.double(4, &of["asDouble"]);
    out.whole(6, &of["asInt"]);
    out.each(5, &of["exemplars"], exemplar);
    out
}

fn histogram_point(of: &Value) -> Message {
    let mut out = point(of, 9, 10);
    out.whole(4, &of["count"]);
    out.double(5, &of["sum"]);
    let list = |list: &Value, bits: fn(&Value) -> u64| -> Vec<u8> {
        list.as_array().into_iter().flatten().flat_map(|value| bits(value).to_le_bytes()).collect()
    };
    out.bytes(6, &list(&of["bucketCounts"], |value| integer(value) as u64));
    // Not packed, as some write it.
    for bound in of["explicitBounds"].as_array().into_iter().flatten() {
        out.double(7, bound);
    }
    out.each(8, &of["exemplars"], exemplar);
    out
}

fn exponential_point(of: &Value) -> Message {
    let buckets = |of: &Value| {
        let (mut out, mut counts) = (Message::default(), Message::default());
        out.number(1, zigzag(&of["offset"]));
        of["bucketCounts"].as_array().into_iter().flatten().for_each(|n| counts.varint(integer(n) as u64));
        out.bytes(2, &counts.0);
        out
    };
    let mut out = point(of, 1, 10);
    out.whole(4, &of["count"]);
    out.double(5, &of["sum"]);
    out.number(6, zigzag(&of["scale"]));
    out.whole(7, &of["zeroCount"]);
    out.one(8, &of["positive"], buckets);
    out.one(9, &of["negative"], buckets);
    out.double(14, &of["zeroThreshold"]);
    out.each(11, &of["exemplars"], exemplar);
    out
}

fn summary_point(of: &Value) -> Message {
    let mut out = point(of, 7, 8);
    out.whole(4, &of["count"]);
    out.double(5, &of["sum"]);
    out.each(6, &of["quantileValues"], |of| {
        let mut out = Message::default();
        out.double(1, &of["quantile"]);
        out.double(2, &of["value"]);
        out
    });
    out
}

fn exemplar(of: &Value) -> Message {
    let mut out = Message::default();
    out.each(7, &of["filteredAttributes"], attribute);
    out.whole(2, &of["timeUnixNano"]);
    out.double(3, &of["asDouble"]);
    out.whole(6, &of["asInt"]);
    for (field, id) in [(5, "traceId"), (4, "spanId")] {
        if let Some(text) = of[id].as_str() {
            let digits: Vec<u8> = (0..text.len() / 2)
                .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            out.bytes(field, &digits);
        }
    }
    out
}
