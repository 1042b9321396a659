//! Text pages of which more is made than samples: native histograms of classic ones, and start times of `_created` series.

use std::hash::Hasher;
use std::rc::Rc;

use exposition::{
    ClassicHistogram, ClassicPart, Entry, LabelsBuf, LabelsError, MetricKind, PageFormat, PageParser,
    ParseError, RawExemplar, SeriesLine, classic_part,
};
use model::histogram::HistogramValue;
use model::{Labels, METRIC_NAME, number};

use crate::elements::{Element, ElementSample, Elements};
use crate::layout::Keys;

const CREATED: &str = "_created";

/// What is made of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LineOptions {
    /// Classic histograms become native ones with custom buckets.
    pub(crate) convert: bool,
    /// Their series stay, too.
    pub(crate) keep_classic: bool,
    /// `_created` series are no series but start times.
    pub(crate) start_times: bool,
}

/// A classic histogram whose series are being read.
struct Collected<'a> {
    /// The first of its lines.
    first: SeriesLine<'a>,
    name: String,
    labels: u64,
    start_time: i64,
    exemplars: Vec<RawExemplar<'a>>,
    unit: Rc<str>,
}

/// What was returned last.
enum Current<'a> {
    Line(SeriesLine<'a>),
    Histogram(Collected<'a>, Option<HistogramValue>),
}

/// A `_created` line further down, as seen from the lines before it.
#[derive(Clone, Copy)]
struct Created {
    /// Holds for lines before this place of the page.
    until: usize,
    /// Of its labels and its family's name; none where no such line follows.
    found: Option<(u64, i64)>,
}

/// A text page.
pub(crate) struct LineElements<'a> {
    parser: PageParser<'a>,
    format: PageFormat,
    options: LineOptions,
    keys: &'a Keys,
    /// Name in the last `# TYPE` line.
    family: String,
    /// Name in the last `#` line that tells something.
    told: String,
    /// The unit last told.
    unit: Rc<str>,
    collected: Option<Collected<'a>>,
    classic: ClassicHistogram,
    current: Option<Current<'a>>,
    /// What follows the histogram that was returned last.
    held: Option<Held<'a>>,
    last_timestamp: Option<i64>,
    /// `_created` lines are passed over.
    skips_created: bool,
    created: Option<Created>,
    start_time: Option<(u64, i64)>,
    labels: LabelsBuf,
}

enum Held<'a> {
    Line(SeriesLine<'a>),
    Comment(u64),
    End,
}

impl<'a> LineElements<'a> {
    pub(crate) fn new(format: PageFormat, page: &'a [u8], options: LineOptions, keys: &'a Keys) -> Self {
        LineElements {
            parser: PageParser::new(format, page),
            format,
            options,
            keys,
            family: String::new(),
            told: String::new(),
            unit: "".into(),
            collected: None,
            classic: ClassicHistogram::default(),
            current: None,
            held: None,
            last_timestamp: None,
            skips_created: options.start_times,
            created: None,
            start_time: None,
            labels: LabelsBuf::new(),
        }
    }

    /// Hash of the labels without the name and `without`.
    fn labels_hash(keys: &Keys, labels: &LabelsBuf, without: &str) -> u64 {
        keys.key(|hasher| {
            for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != without) {
                hasher.write(name.as_bytes());
                hasher.write_u8(0xff);
                hasher.write(value.as_bytes());
                hasher.write_u8(0xff);
            }
        })
    }

    /// Takes a line for the classic histogram that it is part of; false if it is of none.
    fn collect(&mut self, line: SeriesLine<'a>) -> bool {
        if !self.options.convert || self.parser.kind() != MetricKind::Histogram {
            return false;
        }
        if self.labels.read(self.format, line.series, MetricKind::Histogram).is_err() {
            return false;
        }
        let value_of =
            |wanted: &str| self.labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let Some((part, name)) = classic_part(value_of(METRIC_NAME).unwrap_or_default()) else {
            return false;
        };
        if name != self.family {
            return false;
        }
        let bound = match part {
            ClassicPart::Bucket => {
                match value_of("le").and_then(number::parse_float).filter(|bound| !bound.is_nan()) {
                    Some(bound) => bound,
                    None => return false,
                }
            }
            ClassicPart::Sum | ClassicPart::Count => 0.0,
        };
        if self.collected.is_none() {
            let labels = Self::labels_hash(self.keys, &self.labels, "le");
            let name = name.to_owned();
            let start_time = self.look_up_start(&line);
            // Prometheus looks for the start of any histogram that it converts, and from then on drops `_created` series.
            self.skips_created = true;
            self.classic.clear();
            let (exemplars, unit) = (Vec::new(), self.unit.clone());
            self.collected = Some(Collected { first: line, name, labels, start_time, exemplars, unit });
        }
        match part {
            ClassicPart::Bucket => self.classic.set_bucket(bound, line.value),
            ClassicPart::Sum => self.classic.set_sum(line.value),
            ClassicPart::Count => self.classic.set_count(line.value),
        }
        if let Some(collected) = &mut self.collected {
            collected.exemplars.extend(line.exemplar);
        }
        true
    }

    /// Whether a line is of another metric than the histogram that is being read.
    fn is_other(&mut self, line: &SeriesLine<'a>) -> bool {
        let Some(collected) = &self.collected else { return false };
        if self.parser.kind() != MetricKind::Histogram
            || self.labels.read(self.format, line.series, MetricKind::Histogram).is_err()
        {
            return true;
        }
        let name = self.labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
        let base = classic_part(name).map_or(name, |(_, base)| base);
        base != collected.name || Self::labels_hash(self.keys, &self.labels, "le") != collected.labels
    }

    /// Ends the histogram that is being read, if any; false if there is none or it cannot be.
    fn finish(&mut self) -> bool {
        let Some(collected) = self.collected.take() else { return false };
        match self.classic.convert() {
            Ok(value) if value.validate().is_ok() => {
                self.current = Some(Current::Histogram(collected, Some(value)));
                true
            }
            _ => false,
        }
    }

    fn histogram_element(&self) -> Element {
        let key = match &self.current {
            Some(Current::Histogram(collected, _)) => self.keys.key(|hasher| {
                hasher.write(collected.name.as_bytes());
                hasher.write_u64(collected.labels);
            }),
            _ => 0,
        };
        // The time of the line read last, which may be that of the next metric: as Prometheus has it.
        Element::Sample(ElementSample { key, value: None, timestamp: self.last_timestamp })
    }

    fn line_element(&mut self, line: SeriesLine<'a>) -> Element {
        self.current = Some(Current::Line(line));
        let key = self.keys.of(line.series);
        Element::Sample(ElementSample { key, value: Some(line.value), timestamp: line.timestamp_ms })
    }

    fn can_have_start_time(&self) -> bool {
        self.format == PageFormat::OpenMetrics
            && matches!(self.parser.kind(), MetricKind::Counter | MetricKind::Summary | MetricKind::Histogram)
    }

    fn is_created(&mut self, line: &SeriesLine<'a>) -> bool {
        self.skips_created
            && self.can_have_start_time()
            && memchr::memmem::find(line.series, CREATED.as_bytes()).is_some()
            && self.labels.read(self.format, line.series, MetricKind::Untyped).is_ok()
            && self.labels.iter().any(|(name, value)| name == METRIC_NAME && value.ends_with(CREATED))
    }

    /// Hash of a line's labels and of the name that `name_of` makes of its own.
    fn identity(&mut self, line: &SeriesLine<'a>, name_of: impl Fn(&str) -> Option<&str>) -> Option<u64> {
        let kind = self.parser.kind();
        self.labels.read(self.format, line.series, MetricKind::Untyped).ok()?;
        let without = match kind {
            MetricKind::Summary => "quantile",
            MetricKind::Histogram => "le",
            _ => "",
        };
        let labels = Self::labels_hash(self.keys, &self.labels, without);
        let name = self.labels.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value);
        let name = name_of(name)?;
        Some(self.keys.key(|hasher| {
            hasher.write(name.as_bytes());
            hasher.write_u64(labels);
        }))
    }

    /// When the counting of a line's metric began: what the next `_created` line of the family says, if it has the same
    /// labels. Lines that come after it have no such time unless the one before them had it.
    fn look_up_start(&mut self, line: &SeriesLine<'a>) -> i64 {
        if !self.options.start_times || !self.can_have_start_time() {
            return 0;
        }
        let length = self.family.len();
        let Some(own) = self.identity(line, |name| name.get(..length)) else { return 0 };
        if let Some((known, start_time)) = self.start_time
            && known == own
            && start_time > 0
        {
            return start_time;
        }
        let created = match self.created {
            Some(created) if self.parser.offset() < created.until => created,
            _ => self.look_ahead(),
        };
        self.created = Some(created);
        match created.found {
            Some((hash, start_time)) if hash == own => {
                self.start_time = Some((own, start_time));
                start_time
            }
            _ => {
                self.start_time = None;
                0
            }
        }
    }

    fn look_ahead(&mut self) -> Created {
        let mut ahead = self.parser.clone();
        loop {
            let until = ahead.offset() + 1;
            let Ok(Entry::Series(line)) = ahead.next() else { return Created { until, found: None } };
            if memchr::memmem::find(line.series, CREATED.as_bytes()).is_some()
                && let Some(hash) = self.identity(&line, |name| name.strip_suffix(CREATED))
            {
                let start_time = (line.value * 1000.0) as i64;
                return Created { until: ahead.offset(), found: Some((hash, start_time)) };
            }
        }
    }
}

impl Elements for LineElements<'_> {
    fn next(&mut self) -> Result<Element, ParseError> {
        loop {
            match self.held.take() {
                Some(Held::Line(line)) => {
                    if self.collect(line) && !self.options.keep_classic {
                        continue;
                    }
                    return Ok(self.line_element(line));
                }
                Some(Held::Comment(key)) => return Ok(Element::Comment { key }),
                Some(Held::End) => return Ok(Element::End),
                None => {}
            }
            let start = self.parser.rest();
            let held = match self.parser.next()? {
                Entry::Series(line) => {
                    if self.is_created(&line) {
                        continue;
                    }
                    self.last_timestamp = line.timestamp_ms;
                    let other = self.is_other(&line);
                    self.held = Some(Held::Line(line));
                    if other && self.finish() {
                        return Ok(self.histogram_element());
                    }
                    continue;
                }
                Entry::Eof => Held::End,
                other => {
                    if let Entry::Type { name, .. } | Entry::Help { name, .. } | Entry::Unit { name, .. } =
                        &other
                    {
                        self.told.clear();
                        self.told.push_str(name);
                    }
                    match other {
                        Entry::Type { name, .. } => {
                            self.family.clear();
                            self.family.push_str(&name);
                        }
                        Entry::Unit { unit, .. } => self.unit = (&*unit).into(),
                        _ => {}
                    }
                    let len = start.len() - self.parser.rest().len();
                    let text = start.get(..len).unwrap_or_default();
                    Held::Comment(self.keys.of(text.strip_suffix(b"\n").unwrap_or(text)))
                }
            };
            self.held = Some(held);
            if self.finish() {
                return Ok(self.histogram_element());
            }
        }
    }

    fn labels(&mut self, out: &mut LabelsBuf) -> Result<(), LabelsError> {
        match &self.current {
            Some(Current::Line(line)) => out.read(self.format, line.series, self.parser.kind()),
            Some(Current::Histogram(collected, _)) => {
                out.read(self.format, collected.first.series, MetricKind::Histogram)?;
                out.rename_without(&collected.name, "le");
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn family(&self) -> (&str, MetricKind) {
        match &self.current {
            Some(Current::Histogram(collected, _)) => (&collected.name, MetricKind::Histogram),
            Some(Current::Line(_)) | None if self.told == self.family => (&self.told, self.parser.kind()),
            Some(Current::Line(_)) | None => (&self.told, MetricKind::Untyped),
        }
    }

    fn read(&self) -> usize {
        self.parser.offset()
    }

    fn type_and_unit(&self) -> (MetricKind, &str) {
        match &self.current {
            Some(Current::Histogram(collected, _)) => (MetricKind::Histogram, &collected.unit),
            Some(Current::Line(_)) | None => (self.parser.kind(), &self.unit),
        }
    }

    fn histogram(&mut self) -> HistogramValue {
        match &mut self.current {
            Some(Current::Histogram(_, value)) => value.take(),
            _ => None,
        }
        .unwrap_or_else(|| HistogramValue::Float(Box::default()))
    }

    fn start_time(&mut self) -> i64 {
        match &self.current {
            Some(Current::Line(line)) => {
                let line = *line;
                self.look_up_start(&line)
            }
            Some(Current::Histogram(collected, _)) => collected.start_time,
            None => 0,
        }
    }

    fn exemplars(&mut self, each: &mut dyn FnMut(Labels, f64, Option<i64>)) {
        let own = match &self.current {
            // Those of a histogram that is being read are the histogram's.
            Some(Current::Line(line)) if self.collected.is_none() => line.exemplar.as_slice(),
            Some(Current::Histogram(collected, _)) => &collected.exemplars,
            _ => &[],
        };
        for raw in own {
            if let Ok(labels) = raw.labels() {
                each(labels, raw.value, raw.timestamp_ms);
            }
        }
    }
}
