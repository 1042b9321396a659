//! Data points of all kinds, read into memory that is used again.

use crate::wire::{Fields, Found};

/// The kinds of metrics that have points, by the field of `Metric` that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointKind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl PointKind {
    pub(crate) fn of_field(number: i32) -> Option<Self> {
        Some(match number {
            5 => PointKind::Gauge,
            7 => PointKind::Sum,
            9 => PointKind::Histogram,
            10 => PointKind::Exponential,
            11 => PointKind::Summary,
            _ => return None,
        })
    }

    /// The field of a point that holds its attributes.
    fn attributes(self) -> i32 {
        match self {
            PointKind::Gauge | PointKind::Sum | PointKind::Summary => 7,
            PointKind::Histogram => 9,
            PointKind::Exponential => 1,
        }
    }
}

/// The value of a gauge or a sum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) enum Number {
    #[default]
    None,
    Integer(i64),
    Double(f64),
}

impl Number {
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Number::None => 0.0,
            Number::Integer(n) => n as f64,
            Number::Double(v) => v,
        }
    }
}

/// Exponential buckets side by side.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Buckets {
    pub(crate) offset: i32,
    pub(crate) counts: Vec<u64>,
}

impl Buckets {
    fn clear(&mut self) {
        self.offset = 0;
        self.counts.clear();
    }

    fn read(&mut self, data: &[u8]) {
        for field in Fields::of(data) {
            match field.number {
                1 => self.offset = field.sint32(),
                2 => self.counts.extend(field.varint_list()),
                _ => {}
            }
        }
    }
}

/// What a point says, apart from attributes and exemplars.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Measured {
    /// Nanoseconds since the Unix epoch, as are all times of points.
    pub(crate) start_time: u64,
    pub(crate) time: u64,
    pub(crate) flags: u32,
    pub(crate) number: Number,
    pub(crate) count: u64,
    pub(crate) sum: Option<f64>,
    pub(crate) counts: Vec<u64>,
    pub(crate) bounds: Vec<f64>,
    pub(crate) scale: i32,
    pub(crate) zero_count: u64,
    pub(crate) zero_threshold: f64,
    pub(crate) positive: Buckets,
    pub(crate) negative: Buckets,
    pub(crate) quantiles: Vec<(f64, f64)>,
}

impl Measured {
    fn clear(&mut self) {
        let Measured { counts, bounds, positive, negative, quantiles, .. } = self;
        counts.clear();
        bounds.clear();
        positive.clear();
        negative.clear();
        quantiles.clear();
        (self.start_time, self.time, self.flags, self.number) = (0, 0, 0, Number::None);
        (self.count, self.sum, self.scale) = (0, None, 0);
        (self.zero_count, self.zero_threshold) = (0, 0.0);
    }

    /// Whether the point says that there is nothing: what was there has ended.
    pub(crate) fn is_end(&self) -> bool {
        self.flags & 1 != 0
    }
}

/// One point of a request.
#[derive(Debug, Default)]
pub(crate) struct Point<'b> {
    pub(crate) measured: Measured,
    /// The attributes, one message each.
    pub(crate) attributes: Vec<&'b [u8]>,
    /// Their bytes, if they stand side by side.
    pub(crate) attribute_bytes: Option<&'b [u8]>,
    pub(crate) exemplars: Vec<&'b [u8]>,
}

impl<'b> Point<'b> {
    /// Replaces the point by another.
    pub(crate) fn read(&mut self, kind: PointKind, data: &'b [u8]) {
        self.measured.clear();
        self.attributes.clear();
        self.exemplars.clear();
        let attributes = kind.attributes();
        let (mut from, mut to, mut in_one_piece) = (0, 0, true);
        let mut fields = Fields::of(data);
        loop {
            let at = data.len() - fields.left();
            let Some(field) = fields.next() else { break };
            if field.number == attributes {
                if self.attributes.is_empty() {
                    from = at;
                } else {
                    in_one_piece &= at == to;
                }
                to = data.len() - fields.left();
                self.attributes.push(field.bytes);
                continue;
            }
            match field.number {
                2 => self.measured.start_time = field.value,
                3 => self.measured.time = field.value,
                _ => match kind {
                    PointKind::Gauge | PointKind::Sum => self.read_number(&field),
                    PointKind::Histogram => self.read_histogram(&field),
                    PointKind::Exponential => self.read_exponential(&field),
                    PointKind::Summary => self.read_summary(&field),
                },
            }
        }
        self.attribute_bytes = data.get(from..to).filter(|_| in_one_piece);
    }

    fn read_number(&mut self, field: &Found<'b>) {
        match field.number {
            4 => self.measured.number = Number::Double(field.double()),
            5 => self.exemplars.push(field.bytes),
            6 => self.measured.number = Number::Integer(field.value as i64),
            8 => self.measured.flags = field.value as u32,
            _ => {}
        }
    }

    fn read_histogram(&mut self, field: &Found<'b>) {
        let measured = &mut self.measured;
        match field.number {
            4 => measured.count = field.value,
            5 => measured.sum = Some(field.double()),
            6 => measured.counts.extend(field.fixed_list()),
            7 => measured.bounds.extend(field.fixed_list().map(f64::from_bits)),
            8 => self.exemplars.push(field.bytes),
            10 => measured.flags = field.value as u32,
            _ => {}
        }
    }

    fn read_exponential(&mut self, field: &Found<'b>) {
        let measured = &mut self.measured;
        match field.number {
            4 => measured.count = field.value,
            5 => measured.sum = Some(field.double()),
            6 => measured.scale = field.sint32(),
            7 => measured.zero_count = field.value,
            8 => measured.positive.read(field.bytes),
            9 => measured.negative.read(field.bytes),
            10 => measured.flags = field.value as u32,
            11 => self.exemplars.push(field.bytes),
            14 => measured.zero_threshold = field.double(),
            _ => {}
        }
    }

    fn read_summary(&mut self, field: &Found<'b>) {
        let measured = &mut self.measured;
        match field.number {
            4 => measured.count = field.value,
            5 => measured.sum = Some(field.double()),
            6 => {
                let (mut quantile, mut value) = (0.0, 0.0);
                for field in Fields::of(field.bytes) {
                    match field.number {
                        1 => quantile = field.double(),
                        2 => value = field.double(),
                        _ => {}
                    }
                }
                measured.quantiles.push((quantile, value));
            }
            8 => measured.flags = field.value as u32,
            _ => {}
        }
    }
}

/// The time of a point, without the rest of it.
pub(crate) fn time_of(data: &[u8]) -> u64 {
    Fields::of(data).filter(|field| field.number == 3).last().map_or(0, |field| field.value)
}
