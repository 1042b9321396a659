//! CRC-32C, as logs and files of chunks have it: big endian.

/// Bytes of it.
pub(crate) const CHECKSUM: usize = 4;

pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    (crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_be_bytes()
}

/// Whether a checksum is that of these bytes. To a fuzzer every one is, since it would hardly ever guess one.
#[allow(unexpected_cfgs, reason = "set by cargo fuzz")]
pub(crate) fn is_checksum(sum: [u8; CHECKSUM], bytes: &[u8]) -> bool {
    cfg!(fuzzing) || checksum(bytes) == sum
}
