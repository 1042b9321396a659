//! Pages that are scraped, and OpenMetrics files that are imported.

use exposition::{
    Entry, LabelsBuf, MetricKind, PageFormat, PageParser, ProtobufEntry, ProtobufOptions, ProtobufParser,
    labels_of,
};

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

/// A protobuf page read to the end with everything that its entries have, histograms in each way.
pub(crate) fn protobuf(data: &[u8]) {
    let mut labels = LabelsBuf::new();
    for switches in 0..8 {
        let options = ProtobufOptions {
            native: switches & 1 != 0,
            classic_too: switches & 2 != 0,
            convert: switches & 4 != 0,
        };
        let mut parser = ProtobufParser::new(data, options);
        while let Ok(entry) = parser.next() {
            match entry {
                ProtobufEntry::Eof => break,
                ProtobufEntry::Family(_) => continue,
                ProtobufEntry::Series { .. } => {}
                ProtobufEntry::Histogram => {
                    let mut value = parser.histogram();
                    let _ = value.validate();
                    if let model::histogram::HistogramValue::Integer(h) = &mut value {
                        h.reduce_schema(-4);
                    }
                }
            }
            let _ = (parser.read_labels(&mut labels), parser.start_time(), parser.timestamp_ms());
            parser.exemplars(drop);
        }
    }
}
