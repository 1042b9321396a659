//! Data of every kind that a data directory can hold, and how it comes to binnacle's store.

use model::histogram::{
    CUSTOM_BUCKETS, CounterReset, FloatHistogram, HistogramValue, IntegerHistogram, Span,
};
use model::{Labels, STALE_NAN};
use storage::{
    Affinity, Append, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Metadata, Outcome,
};

/// When it begins: a multiple of all block ranges that the tests have.
pub(crate) const START: i64 = 1_700_006_400_000;
pub(crate) const STEP: i64 = 10_000;
/// Scrapes within a minute.
const MINUTE: i64 = 60_000 / STEP;

/// A sample, and what comes with it.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) labels: Labels,
    pub(crate) t: i64,
    pub(crate) value: Value,
    /// Labels, time, value.
    pub(crate) exemplars: Vec<(Labels, i64, f64)>,
    pub(crate) metadata: Option<Metadata>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

impl Point {
    fn new(name: &str, pairs: &[(&str, &str)], t: i64, value: Value) -> Point {
        let pairs = [("__name__", name), ("job", "mixed")].into_iter().chain(pairs.iter().copied());
        Point { labels: Labels::from_pairs(pairs), t, value, exemplars: Vec::new(), metadata: None }
    }

    pub(crate) fn float(name: &str, pairs: &[(&str, &str)], t: i64, v: f64) -> Point {
        Point::new(name, pairs, t, Value::Float(v))
    }

    fn integer(name: &str, pairs: &[(&str, &str)], t: i64, histogram: IntegerHistogram) -> Point {
        Point::new(name, pairs, t, Value::Histogram(HistogramValue::Integer(Box::new(histogram))))
    }

    fn floats(name: &str, pairs: &[(&str, &str)], t: i64, histogram: FloatHistogram) -> Point {
        Point::new(name, pairs, t, Value::Histogram(HistogramValue::Float(Box::new(histogram))))
    }
}

/// What a scrape brings; `n` counts from the first one.
pub(crate) fn scrape(n: i64) -> Vec<Point> {
    let t = START + n * STEP;
    let mut points = Vec::new();
    for i in 0..8 {
        let pairs = [("i", i.to_string())];
        let pairs = [(pairs[0].0, pairs[0].1.as_str())];
        points.push(Point::float("requests_total", &pairs, t, ((n * (i + 3)) % (4000 + 700 * i)) as f64));
        // Two targets are scraped off the beat.
        let late = if i % 4 == 3 { (n * 7 + i) % 11 } else { 0 };
        points.push(Point::float(
            "temperature",
            &pairs,
            t + late,
            ((n * 31 + i * 7) % 97) as f64 / 8.0 - 5.0,
        ));
    }
    let special = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324, 1.797e308];
    points.push(Point::float(
        "special",
        &[("π", "ünï \"quoted\"\n\\")],
        t,
        special[n as usize % special.len()],
    ));
    points.push(Point::float("constant", &[], t, 42.0));
    // Comes for ten minutes and goes, and ends with a marker.
    for i in 0..3 {
        let phase = (n + i * 5 * MINUTE) % (30 * MINUTE);
        let generation = (n + i * 5 * MINUTE) / (30 * MINUTE);
        let pairs = [("pod", format!("pod-{i}-{generation}"))];
        let pairs = [(pairs[0].0, pairs[0].1.as_str())];
        if phase < 10 * MINUTE {
            points.push(Point::float("pod_info", &pairs, t, 1.0));
        } else if phase == 10 * MINUTE {
            points.push(Point::float("pod_info", &pairs, t, STALE_NAN));
        }
    }
    points.extend(histograms(n, t));
    with_company(points, n, t)
}

fn histograms(n: i64, t: i64) -> Vec<Point> {
    // A counter that starts anew now and then, and whose buckets become more.
    let k = (n % (25 * MINUTE)) as u64;
    let growing = IntegerHistogram {
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: k / 7,
        count: k / 7 + 3 * k + 1 + k.saturating_sub(40),
        sum: k as f64 * 1.5,
        positive_spans: if k > 40 {
            vec![Span { offset: -2, length: 2 }, Span { offset: 3, length: 1 }]
        } else {
            vec![Span { offset: -2, length: 2 }]
        },
        positive_deltas: if k > 40 { vec![k as i64, 1, -1 - 40] } else { vec![k as i64, 1] },
        negative_spans: vec![Span { offset: 0, length: 1 }],
        negative_deltas: vec![k as i64],
        ..IntegerHistogram::default()
    };
    let custom = |n: u64| IntegerHistogram {
        schema: CUSTOM_BUCKETS,
        count: 2 * n + 2,
        sum: n as f64 / 3.0,
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 2, length: 1 }],
        positive_deltas: vec![n as i64 + 1, 0],
        custom_values: vec![0.005, 0.1, 1.0 + (n / 400) as f64],
        ..IntegerHistogram::default()
    };
    let g = (n * 13 % 50) as f64;
    let gauge = FloatHistogram {
        schema: 1,
        reset: CounterReset::Gauge,
        zero_threshold: 0.001,
        zero_count: g / 4.0,
        count: g * 3.25 + 2.0,
        sum: -g,
        positive: vec![(-3, g), (if n % 9 == 0 { 4 } else { 3 }, 2.0)],
        negative: vec![(1, 2.0 * g)],
        ..FloatHistogram::default()
    };
    let gauge_integer = IntegerHistogram {
        reset: CounterReset::Gauge,
        count: (n * 17 % 23) as u64 + 5,
        sum: 5.0,
        zero_threshold: 0.5,
        positive_spans: vec![Span { offset: (n % 3) as i32, length: 2 }],
        positive_deltas: vec![n * 17 % 23, 5 - n * 17 % 23],
        ..IntegerHistogram::default()
    };
    let gauge_integer =
        IntegerHistogram { count: gauge_integer.positive_deltas[0] as u64 + 5, ..gauge_integer };
    let floats = FloatHistogram::from(&IntegerHistogram { schema: 0, ..growing.clone() });
    let mut points = vec![
        Point::integer("latency", &[("kind", "growing")], t, growing.clone()),
        Point::integer("latency", &[("kind", "custom")], t, custom(n as u64)),
        Point::floats("latency", &[("kind", "floats")], t, floats),
        Point::floats("sizes", &[("kind", "gauge")], t, gauge),
        Point::integer("sizes", &[("kind", "integer gauge")], t, gauge_integer),
        Point::floats("latency", &[("kind", "custom floats")], t, FloatHistogram::from(&custom(n as u64))),
    ];
    // A float for a while, then a histogram, and back.
    points.push(match n / (12 * MINUTE) % 2 {
        0 => Point::float("changes", &[], t, n as f64),
        _ => Point::integer("changes", &[], t, growing.clone()),
    });
    // A histogram that stops and goes on.
    match n % (20 * MINUTE) {
        phase if phase == 15 * MINUTE => {
            points.push(Point::float("latency", &[("kind", "stops")], t, STALE_NAN));
        }
        phase if phase > 15 * MINUTE => {}
        _ => points.push(Point::integer("latency", &[("kind", "stops")], t, growing)),
    }
    points
}

/// Samples out of order, exemplars and metadata.
fn with_company(mut points: Vec<Point>, n: i64, t: i64) -> Vec<Point> {
    let describe = |point: &mut Point, kind: &str, unit: &str, help: &str| {
        let (kind, unit, help) = (kind.to_owned(), unit.to_owned(), help.to_owned());
        point.metadata = Some(Metadata { kind, unit, help });
    };
    for point in &mut points {
        let name = point.labels.value("__name__").to_owned();
        let number = point.labels.value("i").to_owned();
        match (name.as_str(), &point.value) {
            ("requests_total", _) if n % 5 == 0 && number.as_str() < "4" => {
                describe(point, "counter", "", &format!("Requests, as of {}.", n / (40 * MINUTE)));
                let trace = Labels::from_pairs([("trace_id", format!("{number}-{n}").as_str())]);
                point.exemplars.push((trace, t - 3, n as f64 / 7.0));
            }
            ("latency", Value::Histogram(_)) if n % 4 == 0 => {
                describe(point, "histogram", "seconds", "How long it takes.");
                for i in 0..3 {
                    let trace = Labels::from_pairs([("trace_id", format!("h{i}-{n}").as_str())]);
                    point.exemplars.push((trace, t - 100 + i * 10, i as f64));
                }
            }
            ("temperature", _) if n == 0 => describe(point, "gauge", "celsius", "It is cold."),
            _ => {}
        }
    }
    // Ten minutes late, every second minute for some.
    if n % 3 == 1 && n > 10 * MINUTE {
        for i in 0..3 {
            let pairs = [("i", i.to_string())];
            let pairs = [(pairs[0].0, pairs[0].1.as_str())];
            let late = t - 10 * MINUTE * STEP + 1234 + i;
            points.push(Point::float("temperature", &pairs, late, n as f64 + 0.5));
        }
        let late = IntegerHistogram {
            count: n as u64,
            sum: 1.0,
            positive_spans: vec![Span { offset: 1, length: 1 }],
            positive_deltas: vec![n],
            ..IntegerHistogram::default()
        };
        points.push(Point::integer("late", &[("kind", "integer")], t - n % 100 * STEP / 3, late.clone()));
        points.push(Point::floats("late", &[("kind", "floats")], t - n % 100 * STEP / 3, (&late).into()));
        // Refused: too old.
        points.push(Point::float("temperature", &[("i", "0")], t - 200 * MINUTE * STEP, 0.0));
    }
    points
}

/// Appends what a request brings; each point by itself, as Prometheus takes them.
pub(crate) fn append(store: &dyn Append, points: &[Point]) -> Outcome {
    let mut batch = Batch::default();
    for point in points {
        let series = store.resolve(Affinity(0), &point.labels).unwrap().series;
        let t = point.t;
        match &point.value {
            Value::Float(v) => batch.samples.push(BatchSample { series, t, v: *v }),
            Value::Histogram(value) => {
                batch.histograms.push(BatchHistogram { series, t, start_time: 0, value: value.clone() });
            }
        }
        let exemplars = point.exemplars.iter().cloned();
        batch.exemplars.extend(exemplars.map(|(labels, t, v)| BatchExemplar {
            series,
            labels,
            t,
            timed: true,
            v,
        }));
        let metadata = point.metadata.clone();
        batch.metadata.extend(metadata.map(|metadata| BatchMetadata { series, metadata }));
    }
    let mut outcome = Outcome::default();
    store.append(&batch, &mut outcome).unwrap();
    outcome
}
