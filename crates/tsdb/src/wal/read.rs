//! Going through the records of a segment.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::frame::{Damage, Segment};
use super::record::BadRecord;

/// A segment that was read to its end.
#[derive(Debug)]
pub(crate) struct ReadSegment {
    pub(crate) damage: Vec<Damage>,
    /// End of the last record that was read whole.
    pub(crate) good_end: u64,
}

/// Calls `each` with every record, unpacked, and where it ends. What cannot be read is noted as damage, and reading goes on
/// behind it.
///
/// # Errors
/// When the file cannot be read, `each` fails, or `stop` is set.
pub(crate) fn each_record<R: io::Read>(
    mut segment: Segment<R>,
    stop: &AtomicBool,
    mut each: impl FnMut(&mut [u8], u64) -> io::Result<Result<(), BadRecord>>,
) -> io::Result<ReadSegment> {
    let mut unpacked = Vec::new();
    let mut bad = Vec::new();
    while let Some((packed, compression)) = segment.next_packed()? {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let read = match compression.unpack(packed, &mut unpacked) {
            Ok(()) => each(&mut unpacked, segment.good_end)?.map_err(|BadRecord| "bad record"),
            Err(reason) => Err(reason),
        };
        if let Err(reason) = read {
            bad.push(Damage { offset: segment.record_start, reason });
        }
    }
    let Segment { mut damage, good_end, .. } = segment;
    damage.extend(bad);
    Ok(ReadSegment { damage, good_end })
}
