//! Lists of series.

use crate::Damage;
use crate::cursor::Cursor;

/// A list of series numbers, as it lies in the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postings<'a>(&'a [[u8; 4]]);

impl<'a> Postings<'a> {
    pub(super) fn parse(file: &'a [u8], place: u64) -> Result<Self, Damage> {
        let start = usize::try_from(place).unwrap_or(usize::MAX);
        let mut content = Cursor::new(file, start..file.len()).section()?;
        let count = content.u32()? as usize;
        let short = content.damage("a list of series ends too early");
        let bytes = content.take(count.checked_mul(4).ok_or(short)?)?;
        Ok(Postings(bytes.as_chunks().0))
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers.
    pub fn iter(&self) -> impl Iterator<Item = u32> + 'a {
        self.0.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// How many numbers at the front are less than `number`, found by steps that double.
    pub(crate) fn count_below(&self, from: usize, number: u32) -> usize {
        let at = |i: usize| self.0.get(i).map(|bytes| u32::from_be_bytes(*bytes));
        let mut step = 1;
        let mut low = from;
        while at(low + step).is_some_and(|n| n < number) {
            low += step;
            step *= 2;
        }
        let high = (low + step + 1).min(self.0.len());
        let rest = self.0.get(low..high).unwrap_or_default();
        low.min(self.0.len()) + rest.partition_point(|bytes| u32::from_be_bytes(*bytes) < number)
    }

    pub(crate) fn get(&self, i: usize) -> Option<u32> {
        self.0.get(i).map(|bytes| u32::from_be_bytes(*bytes))
    }
}
