//! A stream of chunks cut into its frames: see [`frame`](crate::read) for what they look like.

use super::answer::Refused;
use crate::send::checksum;

/// The longest length, in bytes: that of 64 bits.
const MAX_LENGTH: usize = 10;
const CHECKSUM: usize = 4;

/// What has come and is no whole frame yet.
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Bytes of it that were handed out.
    used: usize,
    /// Longest frame, in bytes.
    limit: u64,
}

impl Frames {
    pub(super) fn new(limit: u64) -> Self {
        Frames { buffer: Vec::new(), used: 0, limit }
    }

    /// More has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if it is there whole.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Refused> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let Some((size, head)) = length(rest)? else { return Ok(None) };
        if size > self.limit {
            return Err(Refused::Answer(format!(
                "chunkedReader: message size exceeded the limit {} bytes; got: {size} bytes",
                self.limit
            )));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let body = rest.get(head..).and_then(<[u8]>::split_first_chunk::<CHECKSUM>);
        let Some((sum, rest)) = body else { return Ok(None) };
        let Some(message) = rest.get(..size) else { return Ok(None) };
        if checksum(message) != u32::from_be_bytes(*sum) {
            return Err(Refused::Answer("chunkedReader: corrupted frame; checksum mismatch".into()));
        }
        self.used += head + CHECKSUM + size;
        Ok(Some(message))
    }

    /// Nothing more comes.
    pub(super) fn end(&self) -> Result<(), Refused> {
        match self.buffer.len() == self.used {
            true => Ok(()),
            false => Err(Refused::Answer("unexpected EOF".into())),
        }
    }
}

/// A length and how many bytes it has, if it is there whole.
fn length(bytes: &[u8]) -> Result<Option<(u64, usize)>, Refused> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(MAX_LENGTH).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i + 1 == MAX_LENGTH && bits > 1 {
            break;
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    match bytes.len() < MAX_LENGTH {
        true => Ok(None),
        false => Err(Refused::Answer("binary: varint overflows a 64-bit integer".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = vec![message.len() as u8];
        out.extend_from_slice(&checksum(message).to_be_bytes());
        out.extend_from_slice(message);
        out
    }

    fn read(limit: u64, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, String> {
        let told = |refused| match refused {
            Refused::Answer(why) => why,
            Refused::Interrupted(why) => why.to_string(),
        };
        let mut frames = Frames::new(limit);
        let mut all = Vec::new();
        for piece in pieces {
            frames.push(piece);
            while let Some(frame) = frames.next().map_err(told)? {
                all.push(frame.to_vec());
            }
        }
        frames.end().map_err(told)?;
        Ok(all)
    }

    #[test]
    fn frames_are_found_wherever_pieces_are_cut() {
        let stream = [frame(b"one"), frame(b""), frame(b"three")].concat();
        let expected = [&b"one"[..], b"", b"three"].map(<[u8]>::to_vec);
        for at in 0..stream.len() {
            let (a, b) = stream.split_at(at);
            assert_eq!(read(100, &[a, b]).unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn wrong_frames_are_refused_in_the_words_of_prometheus() {
        let mut damaged = frame(b"abc");
        damaged[6] ^= 1;
        for (stream, why) in [
            (damaged, "chunkedReader: corrupted frame; checksum mismatch"),
            (frame(b"abcdef"), "chunkedReader: message size exceeded the limit 5 bytes; got: 6 bytes"),
            (frame(b"abc")[..6].to_vec(), "unexpected EOF"),
            (vec![0xff; 11], "binary: varint overflows a 64-bit integer"),
        ] {
            assert_eq!(read(5, &[&stream]).unwrap_err(), why);
        }
    }
}
