//! Lines of a body that comes in pieces.

use crate::error::Error;

/// The longest event: the server's own limit for an object is far below.
const LONGEST_LINE: usize = 32 << 20;
/// What a buffer may keep of a long line's memory.
const KEPT: usize = 64 << 10;

/// Joins pieces into lines.
#[derive(Default)]
pub(crate) struct Lines {
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
}

impl Lines {
    /// Calls `take` with each line that `piece` completes, without its end; empty ones are left out.
    ///
    /// # Errors
    /// What `take` answers, and [`Error::Format`] for a line without end.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut piece = piece;
        while let Some(end) = memchr::memchr(b'\n', piece) {
            let (line, after) = (&piece[..end], &piece[end + 1..]);
            piece = after;
            if self.rest.is_empty() {
                Self::one(line, &mut take)?;
            } else {
                self.rest.extend_from_slice(line);
                let outcome = Self::one(&self.rest, &mut take);
                self.rest.clear();
                self.rest.shrink_to(KEPT);
                outcome?;
            }
        }
        if self.rest.len() + piece.len() > LONGEST_LINE {
            return Err(Error::Format(format!("an event is longer than {LONGEST_LINE} bytes")));
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }

    fn one(line: &[u8], take: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if line.trim_ascii().is_empty() { Ok(()) } else { take(line) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            lines in prop::collection::vec("[a-z{}\"]{0,12}", 0..8),
            cuts in prop::collection::vec(1_usize..9, 0..40),
        ) {
            let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>() + "torn";
            let mut got = Vec::new();
            let mut joined = Lines::default();
            let mut rest = text.as_bytes();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                joined.push(piece, |line| { got.push(String::from_utf8_lossy(line).into_owned()); Ok(()) }).unwrap();
            }
            let whole: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(got, whole);
        }
    }
}
