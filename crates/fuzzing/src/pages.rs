//! Pages that are scraped, and OpenMetrics files that are imported.

use exposition::{Entry, MetricKind, PageFormat, PageParser, labels_of};

/// Read to the end in both formats, with the labels of all series and exemplars.
pub(crate) fn page(data: &[u8]) {
    for format in [PageFormat::Text, PageFormat::OpenMetrics] {
        let mut parser = PageParser::new(format, data);
        while let Ok(entry) = parser.next() {
            match entry {
                Entry::Eof => break,
                Entry::Series(line) => {
                    let _ = labels_of(format, line.series, MetricKind::Untyped);
                    let _ = line.exemplar.map(|exemplar| exemplar.labels());
                }
                _ => {}
            }
        }
    }
}
