//! Walks a page beside the layout of the target's last page.
//!
//! As long as lines come in the remembered order, a line costs a hash of its series part and a number; no label is
//! looked at and nothing is allocated. The first line out of order starts a new layout, into which remembered lines
//! are carried over wherever they now stand; only lines never seen before get their labels parsed. Series are created
//! after the whole page was read, so a page that turns out to be broken creates none.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use exposition::{LabelsBuf, LabelsError, MetricKind, RawExemplar};
use model::Labels;
use model::histogram::InvalidHistogram;
use storage::{Batch, BatchExemplar, BatchSample, SeriesRef};

use crate::elements::HistogramLimits;
use crate::layout::{
    COMMENT_LINE, DROPPED, FIRST_MARK, Keys, LONG, Layout, TYPE_LINE, UNRESOLVED, as_duplicate, is_comment,
    is_duplicate, is_stamped, length, same_line, with_stamp,
};
use crate::lines::{self, Line, PageFormat};
use crate::options::StartTimes;
use crate::sample_labels::{LabelError, LabelRules};
use crate::synthesis::Synthesis;

/// How far to look for a line that moved up before asking the table of all lines.
const LOOK_AHEAD: usize = 16;

/// A float or histogram of the batch, by its place there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    const HISTOGRAM: u32 = 1 << 31;

    /// The newest float of the batch. (A page is shorter than 2 GiB.)
    pub(crate) fn last_sample(batch: &Batch) -> Self {
        Owner(batch.samples.len() as u32 - 1)
    }

    /// The newest histogram of the batch.
    pub(crate) fn last_histogram(batch: &Batch) -> Self {
        Owner((batch.histograms.len() as u32 - 1) | Self::HISTOGRAM)
    }

    pub(crate) fn is_histogram(self) -> bool {
        self.0 & Self::HISTOGRAM != 0
    }

    pub(crate) fn place(self) -> usize {
        (self.0 & !Self::HISTOGRAM) as usize
    }

    /// Its series, in the batch.
    pub(crate) fn series(self, batch: &mut Batch) -> Option<&mut SeriesRef> {
        if self.is_histogram() {
            batch.histograms.get_mut(self.place()).map(|histogram| &mut histogram.series)
        } else {
            batch.samples.get_mut(self.place()).map(|sample| &mut sample.series)
        }
    }
}

/// A sample whose series must be looked up by its labels.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) sample: Owner,
    pub(crate) line: u32,
    /// Where the line's series part is in the page.
    start: u32,
    end: u32,
    kind: MetricKind,
    /// Not kept of lines beyond the first [`KEPT_LABELS`]: of a page with hundreds of thousands of new series they would
    /// take several times what the page takes, and to read them again costs less than to create the series.
    labels: Option<Box<Labels>>,
}

/// Of so many new lines of a page labels are kept until they are looked up.
const KEPT_LABELS: usize = 4096;

/// Memory of a walk that is used again.
#[derive(Default)]
pub(crate) struct WalkMemory {
    /// The new layout, once the old one no longer fits.
    pub(crate) keys: Vec<u64>,
    pub(crate) series: Vec<u64>,
    /// Lines of the old layout that are in the new one, one bit each.
    seen: Vec<u64>,
    /// Place of each line of the old layout, or (with [`NEW`]) of the new one.
    places: HashMap<u64, u32, BuildHasherDefault<KeyHasher>>,
    pub(crate) pending: Vec<Pending>,
    /// Whose the exemplars of the batch are, one by one.
    pub(crate) exemplar_owners: Vec<Owner>,
    /// When the counting of values began that get a zero there.
    pub(crate) zeros: Vec<(Owner, i64)>,
    /// Values that get a start time although the page gives none.
    pub(crate) counted: Vec<Owner>,
    /// Series of lines that had no timestamp of their own on the last page and have one now.
    stamped: Vec<u64>,
    pub(crate) exposed: LabelsBuf,
}

const NEW: u32 = 1 << 31;

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(b);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.rotate_right(18) ^ key;
    }
}

impl WalkMemory {
    pub(crate) fn clear(&mut self) {
        self.keys.clear();
        self.series.clear();
        self.seen.clear();
        self.places.clear();
        self.pending.clear();
        self.exemplar_owners.clear();
        self.zeros.clear();
        self.counted.clear();
        self.stamped.clear();
    }

    /// Gives back memory that one huge page needed. Pages that are as the one before need none of it.
    pub(crate) fn trim(&mut self) {
        const KEPT: usize = 1 << 14;
        self.clear();
        self.keys.shrink_to(KEPT);
        self.series.shrink_to(KEPT);
        self.seen.shrink_to(KEPT);
        self.places.shrink_to(KEPT);
        self.pending.shrink_to(KEPT / 8);
        self.exemplar_owners.shrink_to(KEPT / 8);
        self.zeros.shrink_to(KEPT / 8);
        self.counted.shrink_to(KEPT / 8);
        self.stamped.shrink_to(KEPT / 8);
        self.exposed = LabelsBuf::new();
    }

    /// The labels of a series to be looked up, and whether its line was dropped when it was read again (which does not
    /// happen).
    pub(crate) fn labels_of(&mut self, pending: &mut Pending, page: &WalkPage<'_>) -> Option<Labels> {
        if let Some(labels) = pending.labels.take() {
            return Some(*labels);
        }
        let text = page.bytes.get(pending.start as usize..pending.end as usize)?;
        self.exposed.read(page.format, text, pending.kind).ok()?;
        page.rules.apply(&self.exposed).ok()?
    }

    fn is_seen(&self, line: usize) -> bool {
        self.seen.get(line / 64).is_some_and(|bits| bits >> (line % 64) & 1 == 1)
    }

    fn mark_seen(&mut self, line: usize) {
        if let Some(bits) = self.seen.get_mut(line / 64) {
            *bits |= 1 << (line % 64);
        }
    }
}

/// A page and what turns its lines into series.
#[derive(Clone, Copy)]
pub(crate) struct WalkPage<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) format: PageFormat,
    pub(crate) rules: LabelRules<'a>,
}

/// What the walk was told.
pub(crate) struct WalkOptions<'a> {
    pub(crate) page: WalkPage<'a>,
    pub(crate) keys: &'a Keys,
    /// Milliseconds; of samples without a timestamp.
    pub(crate) t: i64,
    /// Samples after this are not taken.
    pub(crate) max_t: i64,
    /// Take only samples of series that have to be looked up: the others are stored already.
    pub(crate) unresolved_only: bool,
    /// Take exemplars.
    pub(crate) exemplars: bool,
    /// What becomes of start times.
    pub(crate) start_times: StartTimes,
    /// Series that count up get start times.
    pub(crate) synthesis: Option<&'a Synthesis>,
    /// What native histograms have to be like.
    pub(crate) histograms: HistogramLimits,
    /// Add the labels `__type__` and `__unit__`.
    pub(crate) type_and_unit_labels: bool,
}

/// Counts of a walk.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WalkCounts {
    pub(crate) scraped: usize,
    pub(crate) added: usize,
    /// Lines that were not in the old layout and are stored.
    pub(crate) new_series: usize,
    pub(crate) duplicates: usize,
    pub(crate) out_of_bounds: usize,
    pub(crate) parsed: usize,
    /// Samples that count for the sample limit.
    pub(crate) limited: usize,
    /// A histogram had too many buckets.
    pub(crate) over_buckets: bool,
    /// A `#` line came or went.
    pub(crate) comments_changed: bool,
    /// Bytes of the page up to where it was given up, if it was.
    pub(crate) read: usize,
}

/// Why a page was given up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("{0}")]
    Syntax(#[from] lines::SyntaxError),
    #[error("{0}")]
    Labels(#[from] LabelError),
    #[error("sample limit exceeded")]
    SampleLimit,
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    #[error("{0}")]
    Histogram(#[from] InvalidHistogram),
}

pub(crate) struct Walk<'a> {
    pub(crate) options: WalkOptions<'a>,
    layout: &'a mut Layout,
    pub(crate) memory: &'a mut WalkMemory,
    pub(crate) batch: &'a mut Batch,
    /// Place in the page.
    pos: usize,
    /// Next line of the old layout.
    next: usize,
    /// Lines are carried over into a new layout.
    rebuilding: bool,
    /// Where the last `# TYPE` line stands.
    type_line: Option<usize>,
    /// What a `# TYPE` line says, and where that stands.
    kind: (Option<usize>, MetricKind),
    /// The unit last told, if it becomes a label.
    unit: Box<str>,
    /// Of type and unit, if they become labels: the same line under another type is of another series. Else 0. (With it no `#`
    /// line is known by its text, so that each is read.)
    salt: u64,
    pub(crate) counts: WalkCounts,
}

/// A line or element of a page.
pub(crate) trait Entry<'a> {
    /// Reads its labels into the walk's memory.
    fn read(&mut self, walk: &mut Walk<'a>) -> Result<(), LabelsError>;
    /// Adds its sample to the batch; none if it is not taken. Called once at most.
    fn push(&mut self, walk: &mut Walk<'a>, series: u64) -> Result<Option<Owner>, PageError>;
}

/// A sample of a series that is to be looked up.
pub(crate) struct NewSeries {
    sample: Owner,
    /// Its place in the layout.
    line: usize,
    labels: Labels,
}

struct LineEntry<'t, 'e> {
    text: &'t [u8],
    v: f64,
    timestamp: Option<i64>,
    exemplar: Option<RawExemplar<'e>>,
}

impl<'a> Entry<'a> for LineEntry<'_, '_> {
    fn read(&mut self, walk: &mut Walk<'a>) -> Result<(), LabelsError> {
        let kind = walk.kind();
        walk.memory.exposed.read(walk.options.page.format, self.text, kind)?;
        if walk.options.type_and_unit_labels {
            walk.memory.exposed.set_type_and_unit(kind, &walk.unit);
        }
        Ok(())
    }

    fn push(&mut self, walk: &mut Walk<'a>, series: u64) -> Result<Option<Owner>, PageError> {
        Ok(walk.push(series, self.v, self.timestamp, self.exemplar.take()))
    }
}

/// Where a line stood in the old layout.
#[derive(Clone, Copy)]
enum Place {
    Old(usize),
    /// It is a repetition of a line of this page: of which series, and which line of the new layout if that is known.
    Repeated(u64, Option<usize>),
    New,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        options: WalkOptions<'a>,
        layout: &'a mut Layout,
        memory: &'a mut WalkMemory,
        batch: &'a mut Batch,
    ) -> Self {
        memory.clear();
        let salt = if options.type_and_unit_labels { options.keys.salt(MetricKind::Untyped, "") } else { 0 };
        Walk {
            options,
            layout,
            memory,
            batch,
            pos: 0,
            next: 0,
            rebuilding: false,
            type_line: None,
            kind: (None, MetricKind::Untyped),
            unit: "".into(),
            salt,
            counts: WalkCounts::default(),
        }
    }

    /// Reads the page to its end. On success the batch has its samples, those of series still to be looked up with
    /// [`UNRESOLVED`] as handle, and `gone` gets the handles of series that are no longer there; the layout is the new one.
    pub(crate) fn run(&mut self, gone: &mut Vec<u64>) -> Result<(), PageError> {
        let read = loop {
            self.unchanged_lines();
            match self.other_line() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(err) => break Err(err),
            }
        };
        self.counts.read = self.pos;
        read?;
        self.end(gone)
    }

    /// Checks the limits on the whole page and takes the new layout.
    pub(crate) fn end(&mut self, gone: &mut Vec<u64>) -> Result<(), PageError> {
        if self.over_limit() {
            return Err(PageError::SampleLimit);
        }
        if self.counts.over_buckets {
            return Err(PageError::BucketLimit);
        }
        self.finish(gone);
        Ok(())
    }

    /// Takes lines for as long as they are those of the old layout.
    fn unchanged_lines(&mut self) {
        let (page, format) = (self.options.page.bytes, self.options.page.format);
        let honor_timestamps = self.options.page.rules.job.honor_timestamps;
        let (mut pos, mut next) = (self.pos, self.next);
        while let (Some(&key), Some(&series)) = (self.layout.keys.get(next), self.layout.series.get(next)) {
            let end = pos + length(key);
            let Some(text) = page.get(pos..end) else { break };
            if length(key) == LONG
                || !same_line(self.options.keys.of(text) ^ self.salt, key)
                || self.rebuilding && (self.memory.is_seen(next) || is_duplicate(key))
            {
                break;
            }
            if series < UNRESOLVED || series == DROPPED {
                let Some(value) = lines::value_after(page, pos, end, format) else { break };
                let timestamp = value.timestamp.filter(|_| honor_timestamps);
                if timestamp.is_some() != is_stamped(key) {
                    break;
                }
                pos = value.next;
                self.counts.scraped += 1;
                if series != DROPPED {
                    self.counts.added += 1;
                    if self.options.unresolved_only {
                        // Stored by the first walk.
                    } else if is_duplicate(key) && timestamp.is_none() {
                        self.counts.duplicates += 1;
                    } else {
                        let t = timestamp.unwrap_or(self.options.t);
                        self.counts.limited += 1;
                        if t <= self.options.max_t {
                            self.batch.samples.push(BatchSample {
                                series: SeriesRef(series),
                                t,
                                v: value.value,
                            });
                            if let Some(exemplar) = value.exemplar {
                                self.exemplar(exemplar, t);
                            }
                        } else {
                            self.counts.out_of_bounds += 1;
                        }
                    }
                }
            } else if series == UNRESOLVED {
                break;
            } else {
                match page.get(end) {
                    Some(b'\n') => {}
                    _ => break,
                }
                if series == TYPE_LINE {
                    self.type_line = Some(pos);
                }
                pos = end + 1;
            }
            if self.rebuilding {
                self.memory.mark_seen(next);
                self.memory.keys.push(self.layout.keys[next]);
                self.memory.series.push(series);
            }
            next += 1;
        }
        self.pos = pos;
        self.next = next;
    }

    /// Takes one line by parsing it. False at the end of the page.
    fn other_line(&mut self) -> Result<bool, PageError> {
        match lines::line_at(self.options.page.bytes, self.pos, self.options.page.format)? {
            Line::End => Ok(false),
            Line::Comment { text, is_type, unit, next } => {
                if is_type {
                    self.type_line = Some(self.pos);
                }
                if self.options.type_and_unit_labels && (is_type || unit.is_some()) {
                    self.unit = unit.unwrap_or_else(|| std::mem::take(&mut self.unit));
                    self.salt = self.options.keys.salt(self.kind(), &self.unit);
                }
                self.pos = next;
                self.comment(text, if is_type { TYPE_LINE } else { COMMENT_LINE });
                Ok(true)
            }
            Line::Sample { series, value, timestamp, exemplar, next } => {
                self.pos = next;
                let timestamp = timestamp.filter(|_| self.options.page.rules.job.honor_timestamps);
                self.sample(series, value, timestamp, exemplar)?;
                Ok(true)
            }
        }
    }

    fn comment(&mut self, text: &[u8], mark: u64) {
        self.comment_key(self.options.keys.of(text), mark);
    }

    pub(crate) fn comment_key(&mut self, key: u64, mark: u64) {
        match self.place(key) {
            Place::Old(line) => self.carry_over(line, self.layout.keys[line], mark),
            Place::Repeated(..) | Place::New => {
                self.counts.comments_changed = true;
                self.add_line(key, mark);
            }
        }
    }

    fn sample(
        &mut self,
        text: &'a [u8],
        v: f64,
        timestamp: Option<i64>,
        exemplar: Option<RawExemplar<'_>>,
    ) -> Result<(), PageError> {
        let key = self.options.keys.of(text) ^ self.salt;
        let mut line = LineEntry { text, v, timestamp, exemplar };
        if let Some(new) = self.entry(key, timestamp, &mut line)? {
            let start = text.as_ptr().addr() - self.options.page.bytes.as_ptr().addr();
            let kept = self.memory.pending.len() < KEPT_LABELS || self.options.type_and_unit_labels;
            let kind = self.kind();
            // A page is shorter than 2 GiB.
            self.memory.pending.push(Pending {
                sample: new.sample,
                line: new.line as u32,
                start: start as u32,
                end: (start + text.len()) as u32,
                kind,
                labels: kept.then(|| Box::new(new.labels)),
            });
        }
        Ok(())
    }

    /// Takes a line or element into the layout and its sample into the batch. Answers what is to be looked up, if its series is not
    /// known.
    pub(crate) fn entry(
        &mut self,
        key: u64,
        timestamp: Option<i64>,
        entry: &mut impl Entry<'a>,
    ) -> Result<Option<NewSeries>, PageError> {
        self.counts.scraped += 1;
        let (key, series, place) = self.placed(with_stamp(key, timestamp.is_some()));
        if let Place::Repeated(series, line) = place {
            self.counts.added += 1;
            self.repeated(key, series, line, timestamp, entry)?;
            return Ok(None);
        }
        if series < FIRST_MARK || series == DROPPED {
            if self.known(key, series, place, timestamp) {
                entry.push(self, series)?;
            }
            return Ok(None);
        }
        self.counts.parsed += 1;
        entry.read(self).map_err(|err| self.options.page.rules.refuse(err))?;
        let Some(labels) = self.options.page.rules.apply(&self.memory.exposed)? else {
            self.enter(place, key, DROPPED);
            return Ok(None);
        };
        self.counts.added += 1;
        let line = self.enter(place, key, UNRESOLVED);
        let sample = entry.push(self, UNRESOLVED)?.filter(|_| !self.over_limit());
        let Some(sample) = sample else { return Ok(None) };
        self.counts.new_series += usize::from(!self.counts.over_buckets);
        Ok(Some(NewSeries { sample, line, labels }))
    }

    /// A line's key with the flags that it had, its series and its place.
    fn placed(&mut self, key: u64) -> (u64, u64, Place) {
        match self.place(key) {
            Place::Old(line) => {
                let known = self.layout.keys[line];
                if is_stamped(known) != is_stamped(key) {
                    // The old layout must stay as it is in case the page turns out to be broken.
                    self.start_rebuilding();
                    let series = self.layout.series[line];
                    if is_stamped(key) && series < FIRST_MARK {
                        self.memory.stamped.push(series);
                    }
                }
                let flagged = if is_duplicate(known) { as_duplicate(key) } else { key };
                (flagged, self.layout.series[line], Place::Old(line))
            }
            Place::Repeated(series, line) => (key, series, Place::Repeated(series, line)),
            Place::New => (key, UNRESOLVED, Place::New),
        }
    }

    /// Enters a line whose series is known (or dropped); says whether its sample is to be stored.
    fn known(&mut self, key: u64, series: u64, place: Place, timestamp: Option<i64>) -> bool {
        self.enter(place, key, series);
        if series == DROPPED {
            return false;
        }
        self.counts.added += 1;
        if !self.options.unresolved_only && is_duplicate(key) && timestamp.is_none() {
            self.counts.duplicates += 1;
            return false;
        }
        !self.options.unresolved_only
    }

    /// Has the series of an element looked up, whose labels cannot be read again.
    pub(crate) fn look_up(&mut self, new: NewSeries) {
        self.memory.pending.push(Pending {
            sample: new.sample,
            line: new.line as u32,
            start: 0,
            end: 0,
            kind: MetricKind::Untyped,
            labels: Some(Box::new(new.labels)),
        });
    }

    /// A line that the page has already: Prometheus refuses its sample unless it has a timestamp of its own.
    fn repeated(
        &mut self,
        key: u64,
        series: u64,
        first: Option<usize>,
        timestamp: Option<i64>,
        entry: &mut impl Entry<'a>,
    ) -> Result<(), PageError> {
        let line = self.add_line(as_duplicate(key), series);
        if timestamp.is_none() {
            self.counts.duplicates += 1;
        } else if series < FIRST_MARK {
            if !self.options.unresolved_only {
                entry.push(self, series)?;
            }
        } else if let Some(first) = first
            && let Ok(place) =
                self.memory.pending.binary_search_by_key(&first, |pending| pending.line as usize)
        {
            let same = self.memory.pending[place].clone();
            if let Some(sample) = entry.push(self, UNRESOLVED)? {
                self.memory.pending.push(Pending { sample, line: line as u32, ..same });
            }
        }
        Ok(())
    }

    /// Adds the exemplar of the sample pushed last.
    #[cold]
    fn exemplar(&mut self, raw: RawExemplar<'_>, t: i64) {
        if let (true, Ok(labels)) = (self.options.exemplars, raw.labels()) {
            self.push_exemplar(Owner::last_sample(self.batch), labels, raw.value, raw.timestamp_ms, t);
        }
    }

    /// Adds an exemplar of a value as of `t`.
    pub(crate) fn push_exemplar(
        &mut self,
        owner: Owner,
        labels: Labels,
        v: f64,
        timestamp: Option<i64>,
        t: i64,
    ) {
        let series = owner.series(self.batch).map_or(SeriesRef(UNRESOLVED), |series| *series);
        self.memory.exemplar_owners.push(owner);
        self.batch.exemplars.push(BatchExemplar {
            series,
            labels,
            t: timestamp.unwrap_or(t),
            timed: timestamp.is_some(),
            v,
        });
    }

    /// The type last told before this place of the page.
    fn kind(&mut self) -> MetricKind {
        if self.kind.0 != self.type_line {
            self.kind = (
                self.type_line,
                lines::kind_at(self.options.page.bytes, self.type_line, self.options.page.format),
            );
        }
        self.kind.1
    }

    fn over_limit(&self) -> bool {
        let limit = self.options.page.rules.job.limits.samples;
        limit > 0 && self.counts.limited > limit
    }

    /// Adds a sample; none if it is not taken.
    fn push(
        &mut self,
        series: u64,
        v: f64,
        timestamp: Option<i64>,
        exemplar: Option<RawExemplar<'_>>,
    ) -> Option<Owner> {
        let t = self.within_time(timestamp)?;
        self.batch.samples.push(BatchSample { series: SeriesRef(series), t, v });
        if let Some(exemplar) = exemplar {
            self.exemplar(exemplar, t);
        }
        Some(Owner::last_sample(self.batch))
    }

    /// Counts a sample; its time if that is not too far ahead.
    pub(crate) fn within_time(&mut self, timestamp: Option<i64>) -> Option<i64> {
        let t = timestamp.unwrap_or(self.options.t);
        self.counts.limited += 1;
        if t > self.options.max_t {
            self.counts.out_of_bounds += 1;
            return None;
        }
        Some(t)
    }

    /// Enters a line into the new layout (or leaves it where it is); answers its place there.
    fn enter(&mut self, place: Place, key: u64, series: u64) -> usize {
        match place {
            Place::Old(line) => {
                self.carry_over(line, key, series);
                if self.rebuilding { self.memory.keys.len() - 1 } else { line }
            }
            Place::Repeated(..) | Place::New => self.add_line(key, series),
        }
    }

    fn carry_over(&mut self, line: usize, key: u64, series: u64) {
        self.next = line + 1;
        if self.rebuilding {
            self.memory.mark_seen(line);
            self.memory.keys.push(key);
            self.memory.series.push(series);
        } else {
            self.layout.keys[line] = key;
            self.layout.series[line] = series;
        }
    }

    fn add_line(&mut self, key: u64, series: u64) -> usize {
        let line = self.memory.keys.len();
        self.memory.keys.push(key);
        self.memory.series.push(series);
        let place = u32::try_from(line).unwrap_or(NEW - 1) | NEW;
        self.memory.places.entry(with_stamp(key, false)).or_insert(place);
        line
    }

    /// Finds a line in the old layout: where it is expected, a few lines further, or anywhere.
    fn place(&mut self, key: u64) -> Place {
        let expected = self.layout.keys.get(self.next).is_some_and(|&known| same_line(known, key));
        // Out of order, a line marked as a repetition may have become the first of its kind.
        let usable = |line: usize, known: u64| !self.memory.is_seen(line) && !is_duplicate(known);
        if expected && (!self.rebuilding || usable(self.next, self.layout.keys[self.next])) {
            return Place::Old(self.next);
        }
        self.start_rebuilding();
        let ahead = self.layout.keys.iter().enumerate().skip(self.next).take(LOOK_AHEAD);
        for (line, &known) in ahead {
            if same_line(known, key) && !self.memory.is_seen(line) && !is_duplicate(known) {
                return Place::Old(line);
            }
        }
        self.fill_places();
        match self.memory.places.get(&with_stamp(key, false)) {
            None => Place::New,
            Some(&place) if place & NEW != 0 => {
                let line = (place & !NEW) as usize;
                Place::Repeated(self.memory.series[line], Some(line))
            }
            Some(&place) if self.memory.is_seen(place as usize) => {
                Place::Repeated(self.layout.series[place as usize], None)
            }
            Some(&place) => Place::Old(place as usize),
        }
    }

    fn start_rebuilding(&mut self) {
        if self.rebuilding {
            return;
        }
        self.rebuilding = true;
        let memory = &mut *self.memory;
        memory.keys.extend_from_slice(self.layout.keys.get(..self.next).unwrap_or_default());
        memory.series.extend_from_slice(self.layout.series.get(..self.next).unwrap_or_default());
        memory.seen.resize(self.layout.keys.len().div_ceil(64), 0);
        for line in 0..self.next {
            memory.mark_seen(line);
        }
    }

    fn fill_places(&mut self) {
        if !self.memory.places.is_empty() || self.layout.keys.is_empty() {
            return;
        }
        self.memory.places.reserve(self.layout.keys.len());
        for (line, &key) in self.layout.keys.iter().enumerate() {
            if !is_duplicate(key) {
                let place = u32::try_from(line).unwrap_or(NEW - 1).min(NEW - 1);
                self.memory.places.insert(with_stamp(key, false), place);
            }
        }
        for (line, &key) in self.memory.keys.iter().enumerate() {
            self.memory.places.entry(with_stamp(key, false)).or_insert(line as u32 | NEW);
        }
    }

    fn finish(&mut self, gone: &mut Vec<u64>) {
        let track_all = self.options.page.rules.job.track_timestamps_staleness;
        let synthesis = self.options.synthesis;
        let track = |series| track_all || synthesis.is_some_and(|synthesis| synthesis.goes_on(series));
        let from = if self.rebuilding { 0 } else { self.next };
        let unseen = |line: usize| !self.rebuilding || !self.memory.is_seen(line);
        let lost_comment = self
            .layout
            .series
            .iter()
            .enumerate()
            .skip(from)
            .any(|(line, series)| is_comment(*series) && unseen(line));
        self.counts.comments_changed |= lost_comment;
        if !self.layout.ended {
            gone.extend(
                self.layout.mortal(from, track).filter(|(line, _)| unseen(*line)).map(|(_, series)| series.0),
            );
            gone.extend(self.memory.stamped.drain(..).filter(|series| !track(*series)));
        }
        if self.rebuilding {
            self.layout.replace(&self.memory.keys, &self.memory.series);
        } else {
            self.layout.truncate(self.next);
        }
        self.layout.ended = false;
    }
}
