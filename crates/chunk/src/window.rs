//! The window of significant bits that the XORs of one value's changes share.

use crate::bits::Bits;

/// As a writer keeps it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Leading zeros; [`NONE`] before the first XOR.
    leading: u8,
    trailing: u8,
}

const NONE: u8 = 0xff;

/// The significant bits of an XOR.
pub(crate) struct Significant {
    /// Whether the window had to be moved.
    pub(crate) moved: bool,
    /// When it was, five bits of leading zeros and six of the width come first.
    pub(crate) bits: u128,
    /// How many bits that are.
    pub(crate) len: u32,
}

impl Window {
    /// Before the first XOR.
    pub(crate) const fn new() -> Self {
        Window { leading: NONE, trailing: 0 }
    }

    /// Takes the bits that matter from an XOR that is not 0, moving the window if they do not fit in it.
    #[inline]
    pub(crate) fn cut(&mut self, xor: u64) -> Significant {
        let leading = xor.leading_zeros().min(31);
        let trailing = xor.trailing_zeros();
        if self.leading != NONE && leading >= self.leading.into() && trailing >= self.trailing.into() {
            let len = 64 - u32::from(self.leading) - u32::from(self.trailing);
            return Significant { moved: false, bits: (xor >> self.trailing).into(), len };
        }
        self.leading = leading as u8;
        self.trailing = trailing as u8;
        let width = 64 - leading - trailing;
        let head = leading << 6 | (width & 63); // 64 is written as 0
        Significant {
            moved: true,
            bits: u128::from(head) << width | u128::from(xor >> trailing),
            len: 11 + width,
        }
    }

    /// The bits of a value after `before`: `0` when it is the same, `10` in the window, `11` with a new one.
    #[inline]
    pub(crate) fn value_bits(&mut self, before: f64, v: f64) -> (u128, u32) {
        let xor = before.to_bits() ^ v.to_bits();
        if xor == 0 {
            return (0, 1);
        }
        let Significant { moved, bits, len } = self.cut(xor);
        ((0b10 | u128::from(moved)) << len | bits, 2 + len)
    }
}

/// As a reader keeps it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReadWindow {
    leading: u32,
    /// Of the window; 0 before the first.
    significant: u32,
}

impl ReadWindow {
    /// Moves it to what the leftmost eleven bits of `word` say.
    #[inline]
    pub(crate) fn set(&mut self, word: u64) {
        self.leading = (word >> 59) as u32;
        self.significant = match (word >> 53 & 63) as u32 {
            0 => 64,
            n => n,
        };
    }

    /// How many bits an XOR takes in it.
    #[inline]
    pub(crate) fn significant(self) -> u32 {
        self.significant
    }

    /// The XOR behind the leftmost `used` bits of a peeked `word`, if all of it is there.
    #[inline]
    pub(crate) fn read_from(self, word: u64, used: u32) -> Option<u64> {
        if self.significant == 0 || used + self.significant > 57 {
            return None;
        }
        let trailing = 64u32.saturating_sub(self.leading + self.significant);
        Some((word << used >> (64 - self.significant)) << trailing)
    }

    /// Reads an XOR.
    #[inline]
    pub(crate) fn read(self, bits: &mut Bits<'_>) -> u64 {
        // Damaged bytes may refer to a window that was never set, or name one wider than 64 bits.
        if self.significant == 0 {
            return 0;
        }
        let trailing = 64u32.saturating_sub(self.leading + self.significant);
        bits.take(self.significant) << trailing
    }

    /// Reads the next value after `value`, both as bits: the reverse of [`Window::value_bits`].
    #[inline]
    pub(crate) fn read_value(&mut self, bits: &mut Bits<'_>, value: &mut u64) {
        let word = bits.peek();
        if word >> 63 == 0 {
            bits.skip(1);
            return;
        }
        if word >> 62 == 0b10 {
            bits.skip(2);
        } else {
            bits.skip(13);
            self.set(word << 2);
        }
        *value ^= self.read(bits);
    }

    /// As a writer that goes on needs it.
    pub(crate) fn for_writer(self) -> Window {
        match self.significant {
            0 => Window::new(),
            n => {
                Window { leading: self.leading as u8, trailing: 64u32.saturating_sub(self.leading + n) as u8 }
            }
        }
    }
}
