//! The values of a series in the unit-test language. Repetitions are not written out: a short text can stand for
//! billions of samples, and the caller knows how many it wants.

use model::FloatHistogram;
use model::histogram::CounterReset;

use super::{Parsed, Parser, Place};
use crate::ast::{BinaryOp, Span};
use crate::lexer::{HistogramKey, Kind, ResetHint};

const VALUES: Place = Place::new("series values", "");
const KEY: Place = Place::new("histogram description", "histogram description key, e.g. buckets:[5 10 7]");

/// One item of a series: one or more samples, one interval apart.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesItem {
    /// `_`, `_x3`: that many intervals without a sample.
    Missing {
        /// How many.
        count: u64,
    },
    /// `1`, `1x5`, `1+2x5`, `stale` (the value is then [`model::STALE_NAN`]).
    Float {
        /// The first value.
        value: f64,
        /// Added for each further sample.
        step: f64,
        /// Samples after the first.
        times: u64,
    },
    /// `{{schema:0 sum:1}}`, `{{…}}x5`, `{{…}}+{{…}}x5`
    Histogram {
        /// The first histogram.
        value: Box<HistogramLiteral>,
        /// Added for each further sample; subtracted when `subtract`.
        step: Option<Box<HistogramLiteral>>,
        /// Whether `step` is subtracted.
        subtract: bool,
        /// Samples after the first.
        times: u64,
    },
}

impl SeriesItem {
    /// How many intervals the item covers.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            SeriesItem::Missing { count } => *count,
            SeriesItem::Float { times, .. } | SeriesItem::Histogram { times, .. } => times.saturating_add(1),
        }
    }

    /// Whether the item covers no interval (`_x0`).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A float histogram as written; buckets are absolute counts, one after another from the offset on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramLiteral {
    /// `schema`
    pub schema: i32,
    /// `sum`
    pub sum: f64,
    /// `count`
    pub count: f64,
    /// `z_bucket`
    pub zero_count: f64,
    /// `z_bucket_w`
    pub zero_threshold: f64,
    /// `offset`: index of the first positive bucket.
    pub offset: i32,
    /// `buckets`
    pub buckets: Vec<f64>,
    /// `n_offset`: index of the first negative bucket.
    pub negative_offset: i32,
    /// `n_buckets`
    pub negative_buckets: Vec<f64>,
    /// `custom_values`: upper bounds, without infinity.
    pub custom_values: Vec<f64>,
    /// `counter_reset_hint`, if written.
    pub reset_hint: Option<ResetHint>,
}

/// A sample of a series of the unit-test language.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesPoint {
    /// A number, or [`model::STALE_NAN`].
    Float(f64),
    /// A native histogram.
    Histogram(Box<FloatHistogram>),
}

impl SeriesItem {
    /// The samples, interval by interval.
    ///
    /// # Errors
    /// When histograms cannot be added up.
    pub fn points(&self) -> Result<Vec<Option<SeriesPoint>>, String> {
        let mut points = Vec::new();
        match self {
            SeriesItem::Missing { count } => points.extend((0..*count).map(|_| None)),
            SeriesItem::Float { value, step, times } => {
                let mut v = *value;
                for _ in 0..=*times {
                    points.push(Some(SeriesPoint::Float(v)));
                    // Staleness markers are not numbers to be added to.
                    if !model::is_stale(v) {
                        v += step;
                    }
                }
            }
            SeriesItem::Histogram { value, step, subtract, times } => {
                let mut current = FloatHistogram::from(&**value);
                let step = step.as_ref().map(|step| FloatHistogram::from(&**step));
                for _ in 0..=*times {
                    points.push(Some(SeriesPoint::Histogram(Box::new(current.clone()))));
                    if let Some(step) = &step {
                        let combined = if *subtract { current.subtract(step) } else { current.add(step) };
                        combined.map_err(|error| error.to_string())?;
                    }
                }
            }
        }
        Ok(points)
    }
}

impl From<&HistogramLiteral> for FloatHistogram {
    fn from(literal: &HistogramLiteral) -> Self {
        let side = |offset: i32, counts: &[f64]| (offset..).zip(counts.iter().copied()).collect();
        FloatHistogram {
            schema: literal.schema,
            reset: match literal.reset_hint {
                None | Some(ResetHint::Unknown) => CounterReset::Unknown,
                Some(ResetHint::Reset) => CounterReset::Reset,
                Some(ResetHint::NotReset) => CounterReset::NotReset,
                Some(ResetHint::Gauge) => CounterReset::Gauge,
            },
            zero_threshold: literal.zero_threshold,
            zero_count: literal.zero_count,
            count: literal.count,
            sum: literal.sum,
            positive: side(literal.offset, &literal.buckets),
            negative: side(literal.negative_offset, &literal.negative_buckets),
            custom_values: literal.custom_values.clone(),
        }
    }
}

impl Parser<'_> {
    /// The items, each behind blanks.
    pub(super) fn series_values(&mut self) -> Parsed<Vec<SeriesItem>> {
        let mut items = Vec::new();
        while self.peek_kind()? != Kind::Eof {
            self.expect(Kind::Space, VALUES)?;
            if !matches!(self.peek_kind()?, Kind::Eof | Kind::Space) {
                items.push(self.series_item()?);
            }
        }
        Ok(items)
    }

    fn series_item(&mut self) -> Parsed<SeriesItem> {
        let token = self.peek()?;
        match token.kind {
            Kind::Blank => {
                self.next()?;
                let count = if self.take(Kind::Times)? { self.repetition()? } else { 1 };
                Ok(SeriesItem::Missing { count })
            }
            Kind::OpenHist => self.histogram_item(),
            Kind::Identifier => {
                self.next()?;
                if token.text(self.text) != "stale" {
                    return Err(self.unexpected_in(Place::new("series values", "number or \"stale\"")));
                }
                self.float_item(model::STALE_NAN)
            }
            _ => {
                let value = self.signed_number(VALUES)?;
                self.float_item(value)
            }
        }
    }

    fn float_item(&mut self, value: f64) -> Parsed<SeriesItem> {
        let (mut step, mut times) = (0.0, 0);
        let signed = matches!(self.peek_kind()?, Kind::Op(BinaryOp::Add | BinaryOp::Sub));
        if signed {
            step = self.signed_number(VALUES)?;
        }
        if signed || self.peek_kind()? == Kind::Times {
            self.expect(Kind::Times, VALUES)?;
            times = self.repetition()?;
        }
        Ok(SeriesItem::Float { value, step, times })
    }

    fn histogram_item(&mut self) -> Parsed<SeriesItem> {
        let value = self.histogram()?;
        let operator = self.peek_kind()?;
        let mut step = None;
        if matches!(operator, Kind::Op(BinaryOp::Add | BinaryOp::Sub)) {
            self.next()?;
            step = Some(self.histogram()?);
        }
        let mut times = 0;
        if step.is_some() || self.peek_kind()? == Kind::Times {
            self.expect(Kind::Times, VALUES)?;
            times = self.repetition()?;
        }
        if let Some(step) = step.as_ref().filter(|step| times > 0 && value.schema > step.schema) {
            let message = format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, value.schema
            );
            return Err(self.error(self.last.span, message));
        }
        let subtract = operator == Kind::Op(BinaryOp::Sub);
        Ok(SeriesItem::Histogram { value: Box::new(value), step: step.map(Box::new), subtract, times })
    }

    fn repetition(&mut self) -> Parsed<u64> {
        self.unsigned_integer(VALUES)
    }

    /// A whole number. Wherever it stands, Prometheus calls one that does not fit a repetition.
    fn unsigned_integer(&mut self, place: Place) -> Parsed<u64> {
        let token = self.expect(Kind::Number, place)?;
        let text = token.text(self.text);
        text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            let quoted = model::number::quote(text);
            let message =
                format!("invalid repetition in series values: strconv.ParseUint: parsing {quoted}: {why}");
            self.error(token.span, message)
        })
    }

    fn integer(&mut self, place: Place) -> Parsed<i64> {
        let negative = self.take(Kind::Op(BinaryOp::Sub))?;
        let value = self.unsigned_integer(place)? as i64;
        Ok(if negative { value.wrapping_neg() } else { value })
    }

    fn histogram(&mut self) -> Parsed<HistogramLiteral> {
        self.expect(Kind::OpenHist, VALUES)?;
        let mut histogram = HistogramLiteral::default();
        let mut seen: Vec<HistogramKey> = Vec::new();
        self.take(Kind::Space)?;
        if self.take(Kind::CloseHist)? {
            return Ok(histogram);
        }
        loop {
            // Before the first key nothing more detailed is said.
            let place = if seen.is_empty() { VALUES } else { KEY };
            let token = self.peek()?;
            let Kind::HistogramKey(key) = token.kind else {
                return Err(self.unexpected_in(place));
            };
            self.next()?;
            if seen.contains(&key) {
                let name = token.text(self.text).to_ascii_lowercase();
                let message = format!("duplicate key \"{name}\" in histogram");
                return Err(self.error(Span::default(), message));
            }
            seen.push(key);
            self.expect(Kind::Colon, place)?;
            self.histogram_value(key, &mut histogram, place)?;
            let space = self.take(Kind::Space)?;
            if self.take(Kind::CloseHist)? {
                return Ok(histogram);
            }
            if !space {
                return Err(self.unexpected_in(KEY));
            }
        }
    }

    fn histogram_value(
        &mut self,
        key: HistogramKey,
        into: &mut HistogramLiteral,
        place: Place,
    ) -> Parsed<()> {
        match key {
            HistogramKey::Schema => into.schema = self.integer(place)? as i32,
            HistogramKey::Offset => into.offset = self.integer(place)? as i32,
            HistogramKey::NegativeOffset => into.negative_offset = self.integer(place)? as i32,
            HistogramKey::Sum => into.sum = self.signed_number(place)?,
            HistogramKey::Count => into.count = self.signed_number(place)?,
            HistogramKey::ZeroBucket => into.zero_count = self.signed_number(place)?,
            HistogramKey::ZeroBucketWidth => into.zero_threshold = self.unsigned_number(place)?,
            HistogramKey::Buckets => into.buckets = self.bucket_set(place)?,
            HistogramKey::NegativeBuckets => into.negative_buckets = self.bucket_set(place)?,
            HistogramKey::CustomValues => into.custom_values = self.bucket_set(place)?,
            HistogramKey::CounterResetHint => {
                let Kind::ResetHint(hint) = self.peek_kind()? else {
                    return Err(self.unexpected_in(place));
                };
                self.next()?;
                into.reset_hint = Some(hint);
            }
        }
        Ok(())
    }

    /// `[1 2 3]`
    fn bucket_set(&mut self, place: Place) -> Parsed<Vec<f64>> {
        self.expect(Kind::LeftBracket, place)?;
        let mut buckets = vec![self.signed_number(place)?];
        loop {
            let space = self.take(Kind::Space)?;
            if self.take(Kind::RightBracket)? {
                return Ok(buckets);
            }
            if !space {
                return Err(self.unexpected_in(place));
            }
            buckets.push(self.signed_number(place)?);
        }
    }
}
