//! Events of a watch whose body comes in pieces.

use crate::decode::Encoding;
use crate::error::Error;

/// The longest event: the server's own limit for an object is far below.
const LONGEST: usize = 32 << 20;
/// What a buffer may keep of a long event's memory.
const KEPT: usize = 64 << 10;

/// Joins pieces and cuts them into events: lines of JSON, or messages that their length in four bytes, the highest
/// first, stands before.
pub(crate) struct Events {
    encoding: Encoding,
    /// The beginning of an event whose end has not come yet.
    rest: Vec<u8>,
    /// In this much of it no event ends.
    searched: usize,
}

impl Events {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Events { encoding, rest: Vec::new(), searched: 0 }
    }

    /// Calls `take` with each event that `piece` completes; empty ones are left out.
    ///
    /// # Errors
    /// What `take` answers, and [`Error::Format`] for an event that is too long.
    pub(crate) fn push(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.rest.is_empty() {
            let taken = self.cut(piece, &mut take)?;
            self.rest.extend_from_slice(&piece[taken..]);
        } else {
            let mut joined = std::mem::take(&mut self.rest);
            joined.extend_from_slice(piece);
            let taken = self.cut(&joined, &mut take)?;
            joined.drain(..taken);
            joined.shrink_to(KEPT);
            self.rest = joined;
        }
        if self.rest.len() > LONGEST {
            return Err(Error::Format(format!("an event is longer than {LONGEST} bytes")));
        }
        Ok(())
    }

    /// Gives `take` the events of `bytes`, and says how many bytes they were.
    fn cut(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let mut taken = 0;
        while let Some((event, after)) = self.first(&bytes[taken..]) {
            taken += after;
            self.searched = 0;
            if !event.trim_ascii().is_empty() {
                take(event)?;
            }
        }
        Ok(taken)
    }

    /// The first event, if it is whole, and where the next one begins.
    fn first<'a>(&mut self, bytes: &'a [u8]) -> Option<(&'a [u8], usize)> {
        match self.encoding {
            Encoding::Json => {
                let Some(end) = memchr::memchr(b'\n', &bytes[self.searched..]) else {
                    self.searched = bytes.len();
                    return None;
                };
                let end = self.searched + end;
                Some((&bytes[..end], end + 1))
            }
            Encoding::Protobuf => {
                let (length, rest) = bytes.split_first_chunk::<4>()?;
                let length = u32::from_be_bytes(*length) as usize;
                Some((rest.get(..length)?, 4 + length))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn events_are_the_same_however_they_are_cut(
            events in prop::collection::vec("[a-z{}\"]{0,12}", 0..8),
            cuts in prop::collection::vec(1_usize..9, 0..40),
            binary: bool,
        ) {
            let mut bytes = Vec::new();
            for event in &events {
                if binary {
                    bytes.extend_from_slice(&u32::try_from(event.len()).unwrap().to_be_bytes());
                }
                bytes.extend_from_slice(event.as_bytes());
                if !binary {
                    bytes.push(b'\n');
                }
            }
            bytes.extend_from_slice(b"torn");
            let mut got = Vec::new();
            let mut joined = Events::new(if binary { Encoding::Protobuf } else { Encoding::Json });
            let mut rest = &bytes[..];
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                joined.push(piece, |event| { got.push(String::from_utf8_lossy(event).into_owned()); Ok(()) }).unwrap();
            }
            let whole: Vec<String> = events.into_iter().filter(|event| !event.is_empty()).collect();
            prop_assert_eq!(got, whole);
        }
    }

    #[test]
    fn an_event_without_end_is_refused() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let mut events = Events::new(encoding);
            let piece = vec![b'x'; 1 << 20];
            let refused = (0..40).any(|_| events.push(&piece, |_| Ok(())).is_err());
            assert!(refused, "{encoding:?}");
        }
    }
}
