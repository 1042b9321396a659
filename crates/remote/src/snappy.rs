//! Snappy's block format, with a bound on what comes out.

/// Why bytes are not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Corrupt,
    /// It would be more than allowed; nothing was allocated.
    TooLong,
}

/// The length that a block says it has after decompression.
pub(crate) fn decompressed_len(packed: &[u8]) -> Result<usize, Refused> {
    if packed.is_empty() {
        return Err(Refused::Corrupt);
    }
    snap::raw::decompress_len(packed).map_err(|_| Refused::Corrupt)
}

/// Decompresses into `out`, which is overwritten.
pub(crate) fn decompress(packed: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), Refused> {
    let len = decompressed_len(packed)?;
    if len > most {
        return Err(Refused::TooLong);
    }
    out.clear();
    out.resize(len, 0);
    let written = snap::raw::Decoder::new().decompress(packed, out).map_err(|_| Refused::Corrupt)?;
    out.truncate(written);
    Ok(())
}

/// Compresses into `out`, which is overwritten.
pub(crate) fn compress(plain: &[u8], encoder: &mut snap::raw::Encoder, out: &mut Vec<u8>) {
    out.resize(snap::raw::max_compress_len(plain.len()), 0);
    // It only fails for bodies of 4 GiB, or without the room just made.
    let written = encoder.compress(plain, out).unwrap_or(0);
    out.truncate(written);
}
