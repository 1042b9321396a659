//! Values of one series over all steps of an evaluation.

use std::borrow::Cow;
use std::sync::Arc;

use model::{FloatHistogram, Labels, describes_metric};

/// The steps at which an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Time of the first step, in milliseconds.
    pub(crate) start: i64,
    /// No step is later.
    pub(crate) end: i64,
    /// Milliseconds between steps, at least 1.
    pub(crate) step: i64,
}

impl Grid {
    /// Number of steps.
    pub(crate) fn len(&self) -> usize {
        if self.end < self.start {
            return 0;
        }
        usize::try_from((self.end - self.start) / self.step.max(1)).unwrap_or(usize::MAX - 1) + 1
    }

    /// Time of step `i`.
    pub(crate) fn time(&self, i: usize) -> i64 {
        self.start + i as i64 * self.step
    }

    /// Time of the last step.
    pub(crate) fn last(&self) -> i64 {
        self.time(self.len().saturating_sub(1))
    }

    /// Whether results keep their order rather than being merged by labels step by step.
    pub(crate) fn is_instant(&self) -> bool {
        self.start == self.end
    }
}

/// One bit a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// `len` bits, none set.
    pub(crate) fn new(len: usize) -> Self {
        Bitmap { words: vec![0; len.div_ceil(64)] }
    }

    /// Whether bit `i` is set.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> bool {
        self.words.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    /// Sets bit `i`.
    #[inline]
    pub(crate) fn set(&mut self, i: usize) {
        if let Some(w) = self.words.get_mut(i / 64) {
            *w |= 1 << (i % 64);
        }
    }

    /// Clears bit `i`.
    #[inline]
    pub(crate) fn unset(&mut self, i: usize) {
        if let Some(w) = self.words.get_mut(i / 64) {
            *w &= !(1 << (i % 64));
        }
    }

    /// Clears all bits.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// The set bits as ranges of neighbours, ascending; those that span words come in several.
    pub(crate) fn runs(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| Runs { word, base: at * 64 })
    }

    /// The bits that both have.
    pub(crate) fn common(&self, other: &Bitmap) -> Bitmap {
        Bitmap { words: self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect() }
    }

    /// Number of set bits.
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether any bit is set.
    pub(crate) fn any(&self) -> bool {
        self.words.iter().any(|&w| w != 0)
    }

    /// Whether both have a bit in common.
    pub(crate) fn intersects(&self, other: &Bitmap) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// The first bit that both have.
    pub(crate) fn first_common(&self, other: &Bitmap) -> Option<usize> {
        self.words.iter().zip(&other.words).enumerate().find_map(|(at, (a, b))| {
            let both = a & b;
            (both != 0).then(|| at * 64 + both.trailing_zeros() as usize)
        })
    }

    /// Adds the bits of `other`.
    pub(crate) fn union(&mut self, other: &Bitmap) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a |= b;
        }
    }

    /// Keeps only the bits that `other` has too.
    pub(crate) fn intersect(&mut self, other: &Bitmap) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= b;
        }
    }

    /// Clears the bits that `other` has.
    pub(crate) fn subtract(&mut self, other: &Bitmap) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a &= !b;
        }
    }

    /// The set bits, ascending.
    pub(crate) fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| Ones { word, base: at * 64 })
    }
}

struct Ones {
    word: u64,
    base: usize,
}

impl Iterator for Ones {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.word == 0 {
            return None;
        }
        let bit = self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        Some(self.base + bit)
    }
}

struct Runs {
    word: u64,
    base: usize,
}

impl Iterator for Runs {
    type Item = std::ops::Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<std::ops::Range<usize>> {
        if self.word == 0 {
            return None;
        }
        let from = self.word.trailing_zeros();
        let len = (!(self.word >> from)).trailing_zeros();
        let rest = from + len;
        self.word = if rest == 64 { 0 } else { self.word >> rest << rest };
        Some(self.base + from as usize..self.base + rest as usize)
    }
}

/// One sample a step, where there is one: a float, or a histogram. What stands at an absent step means nothing.
///
/// Histograms stand in a column of their own that only series with histograms have, so that floats stay plain numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    values: Vec<f64>,
    /// Which steps have a sample of either kind.
    pub(crate) present: Bitmap,
    histograms: Option<Box<Histograms>>,
}

/// The histograms of a column.
#[derive(Debug, Clone)]
struct Histograms {
    /// Present steps that are set here have a histogram rather than a float.
    steps: Bitmap,
    values: Vec<Option<Arc<FloatHistogram>>>,
}

/// A sample at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Point<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

impl Column {
    /// No value at any of `len` steps.
    pub(crate) fn absent(len: usize) -> Self {
        Column { values: vec![0.0; len], present: Bitmap::new(len), histograms: None }
    }

    /// The same, with `v` standing where nothing is yet.
    pub(crate) fn filled(v: f64, len: usize) -> Self {
        Column { values: vec![v; len], ..Column::absent(len) }
    }

    /// The steps that have a float.
    pub(crate) fn float_steps(&self) -> Cow<'_, Bitmap> {
        match &self.histograms {
            None => Cow::Borrowed(&self.present),
            Some(histograms) => {
                let mut floats = self.present.clone();
                floats.subtract(&histograms.steps);
                Cow::Owned(floats)
            }
        }
    }

    /// Makes present the steps at which `other` has a float.
    pub(crate) fn add_present(&mut self, other: &Column) {
        self.present.union(&other.float_steps());
    }

    /// The float at step `i`.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<f64> {
        if self.present.get(i) && !self.is_histogram(i) { self.values.get(i).copied() } else { None }
    }

    #[inline]
    fn is_histogram(&self, i: usize) -> bool {
        self.histograms.as_ref().is_some_and(|h| h.steps.get(i))
    }

    /// The histogram at step `i`.
    pub(crate) fn histogram(&self, i: usize) -> Option<&Arc<FloatHistogram>> {
        let histograms = self.histograms.as_ref()?;
        if self.present.get(i) && histograms.steps.get(i) { histograms.values.get(i)?.as_ref() } else { None }
    }

    /// The sample at step `i`, of whichever kind.
    pub(crate) fn point(&self, i: usize) -> Option<Point<'_>> {
        match self.histogram(i) {
            Some(histogram) => Some(Point::Histogram(histogram)),
            None => self.get(i).map(Point::Float),
        }
    }

    /// Whether any step may have a histogram.
    #[inline]
    pub(crate) fn may_have_histograms(&self) -> bool {
        self.histograms.is_some()
    }

    /// The steps that have a histogram, with it, ascending.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> + '_ {
        let steps = self.histograms.iter().flat_map(|h| h.steps.ones());
        steps.filter_map(|i| Some((i, self.histogram(i)?)))
    }

    /// The steps that have a sample, with it, ascending.
    pub(crate) fn points(&self) -> impl Iterator<Item = (usize, Point<'_>)> + '_ {
        self.present.ones().filter_map(|i| Some((i, self.point(i)?)))
    }

    /// Gives step `i` a histogram.
    pub(crate) fn set_histogram(&mut self, i: usize, histogram: Arc<FloatHistogram>) {
        let len = self.values.len();
        let histograms = self
            .histograms
            .get_or_insert_with(|| Box::new(Histograms { steps: Bitmap::new(len), values: vec![None; len] }));
        if let Some(slot) = histograms.values.get_mut(i) {
            *slot = Some(histogram);
            histograms.steps.set(i);
            self.present.set(i);
        }
    }

    /// Gives step `i` the sample that `other` has there, if any.
    pub(crate) fn set_from(&mut self, i: usize, other: &Column) {
        match other.point(i) {
            Some(Point::Float(v)) => self.set(i, v),
            Some(Point::Histogram(h)) => self.set_histogram(i, Arc::clone(h)),
            None => {}
        }
    }

    /// Makes step `i` absent.
    pub(crate) fn unset(&mut self, i: usize) {
        self.present.unset(i);
    }

    /// Makes the steps absent that have a histogram; whether there were any.
    pub(crate) fn keep_floats(&mut self) -> bool {
        let Some(histograms) = self.histograms.take() else { return false };
        let any = self.present.intersects(&histograms.steps);
        self.present.subtract(&histograms.steps);
        any
    }

    /// Replaces each histogram by another; `None` makes the step absent.
    pub(crate) fn replace_histograms(
        &mut self,
        mut f: impl FnMut(usize, &Arc<FloatHistogram>) -> Option<Arc<FloatHistogram>>,
    ) {
        let Some(histograms) = &mut self.histograms else { return };
        for (i, slot) in histograms.values.iter_mut().enumerate() {
            if !self.present.get(i) || !histograms.steps.get(i) {
                continue;
            }
            *slot = slot.as_ref().and_then(|h| f(i, h));
            if slot.is_none() {
                self.present.unset(i);
            }
        }
    }

    /// Replaces each histogram by a float made from it and makes the floats absent; `None` makes the step absent.
    pub(crate) fn map_histograms(&mut self, mut f: impl FnMut(usize, &Arc<FloatHistogram>) -> Option<f64>) {
        let Some(histograms) = self.histograms.take() else { return self.present.clear() };
        self.present.intersect(&histograms.steps);
        for (i, histogram) in histograms.values.iter().enumerate() {
            if let Some(histogram) = histogram.as_ref().filter(|_| self.present.get(i)) {
                match f(i, histogram) {
                    Some(v) => self.set(i, v),
                    None => self.present.unset(i),
                }
            }
        }
    }

    /// Gives step `i` a value.
    #[inline]
    pub(crate) fn set(&mut self, i: usize, v: f64) {
        if let Some(slot) = self.values.get_mut(i) {
            *slot = v;
            self.present.set(i);
            if let Some(histograms) = &mut self.histograms {
                histograms.steps.unset(i);
            }
        }
    }

    /// Makes all steps absent.
    pub(crate) fn clear(&mut self) {
        self.present.clear();
        self.histograms = None;
    }

    /// Number of steps, with a value or without.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Number of samples.
    pub(crate) fn count(&self) -> usize {
        self.present.count()
    }

    /// Whether there is no sample at all.
    pub(crate) fn is_absent(&self) -> bool {
        !self.present.any()
    }

    /// The steps that have a float, with it, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        let mixed = self.histograms.is_some();
        let float = move |&i: &usize| !mixed || !self.is_histogram(i);
        self.present.ones().filter(float).filter_map(|i| Some((i, *self.values.get(i)?)))
    }

    /// The floats as slices of neighbouring steps with the first one's number, ascending.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, &[f64])> + '_ {
        let slice = |run: std::ops::Range<usize>| Some((run.start, self.values.get(run)?));
        let (alone, mixed) = match self.float_steps() {
            Cow::Borrowed(steps) => (Some(steps.runs()), Vec::new()),
            Cow::Owned(steps) => (None, steps.runs().collect()),
        };
        alone.into_iter().flatten().chain(mixed).filter_map(slice)
    }

    /// The values of neighbouring steps, whether present or not.
    pub(crate) fn values(&self, steps: std::ops::Range<usize>) -> &[f64] {
        self.values.get(steps).unwrap_or_default()
    }

    /// The values of neighbouring steps, whether present or not, to be written; steps are made present apart.
    pub(crate) fn values_mut(&mut self, steps: std::ops::Range<usize>) -> &mut [f64] {
        self.values.get_mut(steps).unwrap_or_default()
    }

    /// Replaces each float by `f` of it.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for v in &mut self.values {
            *v = f(*v);
        }
    }

    /// Replaces each float by `f` of step and float; `None` makes the step absent.
    pub(crate) fn filter_map(&mut self, mut f: impl FnMut(usize, f64) -> Option<f64>) {
        let Column { values, present, histograms } = self;
        for (i, value) in values.iter_mut().enumerate() {
            if present.get(i) && !histograms.as_ref().is_some_and(|h| h.steps.get(i)) {
                match f(i, *value) {
                    Some(v) => *value = v,
                    None => present.unset(i),
                }
            }
        }
    }

    /// Takes over the samples of `other`.
    pub(crate) fn fill_from(&mut self, other: &Column) {
        for (i, v) in other.iter() {
            self.set(i, v);
        }
        for (i, h) in other.histograms() {
            self.set_histogram(i, Arc::clone(h));
        }
    }

    /// One sample repeated over `len` steps, or nothing.
    pub(crate) fn broadcast(&self, len: usize) -> Column {
        let mut out = Column::absent(len);
        if let Some(v) = self.get(0) {
            for i in 0..len {
                out.set(i, v);
            }
        }
        if let Some(h) = self.histogram(0) {
            for i in 0..len {
                out.set_histogram(i, Arc::clone(h));
            }
        }
        out
    }

    /// The values of a column that is present everywhere.
    pub(crate) fn into_values(self) -> Vec<f64> {
        self.values
    }
}

/// A series of an intermediate result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: Labels,
    /// With delayed name removal: the name goes when the query is done.
    pub(crate) drop_name: bool,
    /// Its samples.
    pub(crate) floats: Column,
}

/// A scalar over all steps.
#[derive(Debug, Clone)]
pub(crate) enum Scalars {
    /// The same at every step.
    Const(f64),
    /// One a step.
    Steps(Vec<f64>),
}

impl Scalars {
    /// The value at step `i`.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> f64 {
        match self {
            Scalars::Const(v) => *v,
            Scalars::Steps(values) => values.get(i).copied().unwrap_or(f64::NAN),
        }
    }

    /// Combines two step by step.
    pub(crate) fn zip(&self, other: &Scalars, f: impl Fn(f64, f64) -> f64) -> Scalars {
        match (self, other) {
            (Scalars::Const(a), Scalars::Const(b)) => Scalars::Const(f(*a, *b)),
            (Scalars::Steps(a), _) => {
                Scalars::Steps(a.iter().enumerate().map(|(i, &a)| f(a, other.get(i))).collect())
            }
            (_, Scalars::Steps(b)) => {
                Scalars::Steps(b.iter().enumerate().map(|(i, &b)| f(self.get(i), b)).collect())
            }
        }
    }
}

/// `labels` without the name, type and unit of the metric.
pub(crate) fn drop_reserved(labels: &Labels) -> Labels {
    if labels.iter().any(|(name, _)| describes_metric(name)) {
        labels.filter(|name| !describes_metric(name))
    } else {
        labels.clone()
    }
}
