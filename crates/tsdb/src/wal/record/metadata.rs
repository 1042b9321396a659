//! Type 6: type, unit and help of series.

use storage::Metadata;

use super::bytes::{Cursor, put_text, put_uvarint};
use super::{BadRecord, METADATA};

const UNIT: &str = "UNIT";
const HELP: &str = "HELP";

/// Types by their number; 0 is any other.
const KINDS: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// Appends what is said of a series to a record.
pub(crate) fn push_metadata(buf: &mut Vec<u8>, reference: u64, metadata: &Metadata) {
    if buf.is_empty() {
        buf.push(METADATA);
    }
    put_uvarint(buf, reference);
    buf.push(KINDS.iter().position(|kind| *kind == metadata.kind).unwrap_or_default() as u8);
    put_uvarint(buf, 2);
    for (name, value) in [(UNIT, &metadata.unit), (HELP, &metadata.help)] {
        put_text(buf, name);
        put_text(buf, value);
    }
}

/// Calls `each` with reference and metadata. Fields of other names are passed over.
pub(crate) fn read_metadata(record: &[u8], mut each: impl FnMut(u64, Metadata)) -> Result<(), BadRecord> {
    let mut cursor = Cursor::after_kind(record, &[METADATA])?;
    while !cursor.is_empty() {
        let reference = cursor.uvarint()?;
        let kind = KINDS.get(usize::from(cursor.byte()?)).unwrap_or(&KINDS[0]);
        let mut metadata = Metadata { kind: (*kind).to_owned(), ..Metadata::default() };
        for _ in 0..cursor.uvarint()? {
            let (name, value) = (cursor.text()?, cursor.text()?);
            match name {
                UNIT => value.clone_into(&mut metadata.unit),
                HELP => value.clone_into(&mut metadata.help),
                _ => {}
            }
        }
        each(reference, metadata);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn metadata_round_trips(
            all in prop::collection::vec((any::<u64>(), 0..KINDS.len(), "\\PC{0,9}", "\\PC{0,20}"), 1..20),
        ) {
            let want: Vec<_> = all
                .into_iter()
                .map(|(r, kind, unit, help)| (r, Metadata { kind: KINDS[kind].to_owned(), unit, help }))
                .collect();
            let mut buf = Vec::new();
            want.iter().for_each(|(r, metadata)| push_metadata(&mut buf, *r, metadata));
            let mut back = Vec::new();
            read_metadata(&buf, |r, metadata| back.push((r, metadata))).unwrap();
            prop_assert_eq!(back, want);
        }
    }
}
