//! Decompression with a ceiling.

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::Error;

/// Appends the decompressed form of the gzip stream `compressed` to `out`; several members in a row count as one.
///
/// # Errors
/// [`Error::BodyTooLarge`] as soon as more than `limit` bytes would come out; [`Error::Encoding`] if the stream is damaged.
pub fn gunzip(compressed: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(), Error> {
    let start = out.len();
    let mut inflate = Decompress::new(false);
    let mut rest = compressed;
    if rest.is_empty() {
        return Err(eof());
    }
    while !rest.is_empty() {
        rest = skip_header(rest)?;
        let member = out.len();
        inflate.reset(false);
        loop {
            let room = (limit - (out.len() - start)).saturating_add(1);
            if out.len() == out.capacity() {
                out.reserve((out.capacity() / 2).clamp(16 << 10, 8 << 20).min(room));
            }
            let (before_in, before_out) = (inflate.total_in(), out.len());
            let status = inflate
                .decompress_vec(rest, out, FlushDecompress::None)
                .map_err(|_| Error::Encoding("flate: corrupt input".to_owned()))?;
            let used = usize::try_from(inflate.total_in() - before_in).unwrap_or(rest.len());
            rest = rest.get(used..).unwrap_or_default();
            if out.len() - start > limit {
                return Err(Error::BodyTooLarge);
            }
            match status {
                Status::StreamEnd => break,
                _ if used == 0 && out.len() == before_out && out.len() < out.capacity() => return Err(eof()),
                _ => {}
            }
        }
        let trailer: &[u8; 8] = rest.first_chunk().ok_or_else(eof)?;
        let [c0, c1, c2, c3, l0, l1, l2, l3] = *trailer;
        let plain = out.get(member..).unwrap_or_default();
        let mut crc = flate2::Crc::new();
        crc.update(plain);
        if crc.sum() != u32::from_le_bytes([c0, c1, c2, c3])
            || crc.amount() != u32::from_le_bytes([l0, l1, l2, l3])
        {
            return Err(Error::Encoding("gzip: invalid checksum".to_owned()));
        }
        rest = rest.get(8..).unwrap_or_default();
    }
    Ok(())
}

fn eof() -> Error {
    Error::Encoding("unexpected EOF".to_owned())
}

/// RFC 1952, section 2.3: skips a member's header.
fn skip_header(bytes: &[u8]) -> Result<&[u8], Error> {
    let header: &[u8; 10] = bytes.first_chunk().ok_or_else(eof)?;
    if header[..3] != [0x1f, 0x8b, 8] {
        return Err(Error::Encoding("gzip: invalid header".to_owned()));
    }
    let flags = header[3];
    let mut rest = &bytes[10..];
    if flags & 4 != 0 {
        let [low, high] = *rest.first_chunk::<2>().ok_or_else(eof)?;
        rest = rest.get(2 + usize::from(u16::from_le_bytes([low, high]))..).ok_or_else(eof)?;
    }
    for _ in 0..(flags >> 3 & 1) + (flags >> 4 & 1) {
        let end = rest.iter().position(|&b| b == 0).ok_or_else(eof)?;
        rest = &rest[end + 1..];
    }
    if flags & 2 != 0 {
        rest = rest.get(2..).ok_or_else(eof)?;
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        w.write_all(plain).unwrap();
        w.finish().unwrap()
    }

    #[test]
    fn members_are_joined_and_bombs_are_cut() {
        let mut two = gzip(b"hello ");
        two.extend(gzip(b"world"));
        let mut out = Vec::new();
        gunzip(&two, &mut out, 11).unwrap();
        assert_eq!(out, b"hello world");
        out.clear();
        assert!(matches!(gunzip(&two, &mut out, 10), Err(Error::BodyTooLarge)));

        let bomb = gzip(&vec![0; 20 << 20]);
        let mut out = Vec::new();
        assert!(matches!(gunzip(&bomb, &mut out, 1 << 20), Err(Error::BodyTooLarge)));
        assert!(out.capacity() < 4 << 20, "{}", out.capacity());
    }

    #[test]
    fn damage_is_named() {
        let good = gzip(b"some text that is long enough to be compressed, some text");
        for cut in 0..good.len() {
            assert_eq!(
                gunzip(&good[..cut], &mut Vec::new(), 1 << 20).unwrap_err().to_string(),
                "unexpected EOF",
                "{cut}"
            );
        }
        let mut bad = good;
        let at = bad.len() - 6;
        bad[at] ^= 1;
        assert_eq!(gunzip(&bad, &mut Vec::new(), 1 << 20).unwrap_err().to_string(), "gzip: invalid checksum");
        assert_eq!(
            gunzip(b"not gzip at all", &mut Vec::new(), 99).unwrap_err().to_string(),
            "gzip: invalid header"
        );
        assert_eq!(gunzip(b"nope", &mut Vec::new(), 99).unwrap_err().to_string(), "unexpected EOF");
    }
}
