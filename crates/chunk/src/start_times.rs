//! When the counting of each sample began, as XOR2 and the histograms with start times write it: one byte in the
//! chunk's header, and after each sample nothing, or a number.

use crate::bits::{self, Bits};

/// Bit of the header byte: the first sample has a start time.
const FIRST_KNOWN: u8 = 0x80;
/// The other bits: the first sample (counted from 0) with a start time unlike the first one's; from there on every
/// sample has a number. The last sample that can be named always has one, so that later changes need no name.
const CHANGED_ON: u8 = 0x7f;

/// As a writer keeps it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StartTimes {
    last: i64,
    /// From the newest sample's start time to the time of the sample before it.
    distance: i64,
    /// The header byte.
    pub(crate) header: u8,
}

impl StartTimes {
    /// Before the first sample.
    pub(crate) const fn new() -> Self {
        StartTimes { last: 0, distance: 0, header: 0 }
    }

    /// The start time of the newest sample.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Whether the header can tell when the first change comes with sample `index`.
    pub(crate) fn has_place(&self, index: u16) -> bool {
        self.header & CHANGED_ON != 0 || index <= CHANGED_ON.into()
    }

    /// The bits that follow sample `index`, and how many; none when that is 0. `before` is the time of the sample
    /// before. `None` when the header cannot tell any more.
    pub(crate) fn next(&mut self, index: u16, before: i64, t: i64, start_time: i64) -> Option<(u128, u32)> {
        let unchanged = self.last == start_time;
        self.last = start_time;
        if index == 0 {
            if unchanged {
                return Some((0, 0));
            }
            self.header = FIRST_KNOWN;
            return Some(bits::varint(t.wrapping_sub(start_time)));
        }
        let distance = before.wrapping_sub(start_time);
        if self.header & CHANGED_ON == 0 {
            if unchanged && index != CHANGED_ON.into() {
                return Some((0, 0));
            }
            if !self.has_place(index) {
                return None;
            }
            self.header |= index as u8;
            self.distance = distance;
            return Some(bits::varbit_signed(distance));
        }
        let change = distance.wrapping_sub(self.distance);
        self.distance = distance;
        Some(bits::varbit_signed(change))
    }
}

/// As a reader keeps it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadStartTimes {
    state: StartTimes,
}

impl ReadStartTimes {
    /// From the header byte.
    pub(crate) fn new(header: u8) -> Self {
        ReadStartTimes { state: StartTimes { header, ..StartTimes::new() } }
    }

    /// Whether any sample has bits of its own; all start times are 0 otherwise.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.state.header != 0
    }

    /// Reads what follows sample `index`; `None` when a number has no end.
    pub(crate) fn read(&mut self, bits: &mut Bits<'_>, index: usize, before: i64, t: i64) -> Option<i64> {
        let state = &mut self.state;
        let changed_on = usize::from(state.header & CHANGED_ON);
        if index == 0 {
            if state.header & FIRST_KNOWN != 0 {
                state.last = t.wrapping_sub(bits.varint()?);
            }
        } else if changed_on > 0 && index >= changed_on {
            let number = bits.varbit_signed();
            state.distance = if index == changed_on { number } else { state.distance.wrapping_add(number) };
            state.last = before.wrapping_sub(state.distance);
        }
        Some(state.last)
    }

    /// As a writer that goes on needs it.
    pub(crate) fn for_writer(self) -> StartTimes {
        self.state
    }
}
