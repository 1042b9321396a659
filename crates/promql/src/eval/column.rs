//! Values of one series over all steps of an evaluation.

use model::Labels;

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

/// One float a step, where there is one. What stands at an absent step means nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    values: Vec<f64>,
    /// Which steps have a value.
    pub(crate) present: Bitmap,
}

impl Column {
    /// No value at any of `len` steps.
    pub(crate) fn absent(len: usize) -> Self {
        Column { values: vec![0.0; len], present: Bitmap::new(len) }
    }

    /// The value at step `i`.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<f64> {
        if self.present.get(i) { self.values.get(i).copied() } else { None }
    }

    /// Gives step `i` a value.
    #[inline]
    pub(crate) fn set(&mut self, i: usize, v: f64) {
        if let Some(slot) = self.values.get_mut(i) {
            *slot = v;
            self.present.set(i);
        }
    }

    /// Makes all steps absent.
    pub(crate) fn clear(&mut self) {
        self.present.clear();
    }

    /// Number of steps, with a value or without.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Number of values.
    pub(crate) fn count(&self) -> usize {
        self.present.count()
    }

    /// Whether there is no value at all.
    pub(crate) fn is_absent(&self) -> bool {
        !self.present.any()
    }

    /// The steps that have a value, with it, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.present.ones().filter_map(|i| Some((i, *self.values.get(i)?)))
    }

    /// Replaces each value by `f` of it.
    pub(crate) fn map(&mut self, f: impl Fn(f64) -> f64) {
        for v in &mut self.values {
            *v = f(*v);
        }
    }

    /// Replaces each value by `f` of step and value; `None` makes the step absent.
    pub(crate) fn filter_map(&mut self, mut f: impl FnMut(usize, f64) -> Option<f64>) {
        let Column { values, present } = self;
        for (i, value) in values.iter_mut().enumerate() {
            if present.get(i) {
                match f(i, *value) {
                    Some(v) => *value = v,
                    None => present.unset(i),
                }
            }
        }
    }

    /// Takes over the values of `other`.
    pub(crate) fn fill_from(&mut self, other: &Column) {
        for (i, v) in other.iter() {
            self.set(i, v);
        }
    }

    /// One value repeated over `len` steps, or nothing.
    pub(crate) fn broadcast(&self, len: usize) -> Column {
        let mut out = Column::absent(len);
        if let Some(v) = self.get(0) {
            for i in 0..len {
                out.set(i, v);
            }
        }
        out
    }

    /// The values of a column that is present everywhere.
    pub(crate) fn into_values(self) -> Vec<f64> {
        self.values
    }
}

/// A series of an intermediate result. (Native histograms will stand beside the floats: at each step a series has
/// a float or a histogram or nothing.)
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) labels: Labels,
    /// With delayed name removal: the name goes when the query is done.
    pub(crate) drop_name: bool,
    /// Its float samples.
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

/// `labels` without the name and the other reserved labels of the metric's schema.
pub(crate) fn drop_reserved(labels: &Labels) -> Labels {
    let reserved = |name: &str| matches!(name, "__name__" | "__type__" | "__unit__");
    if labels.iter().any(|(name, _)| reserved(name)) {
        labels.filter(|name| !reserved(name))
    } else {
        labels.clone()
    }
}
