//! The messages of `opentelemetry.proto.collector.metrics.v1`: one table for checking protobuf and for reading JSON.

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Message(&'static Message),
    Text,
    Blob,
    /// An identifier of so many bytes: hexadecimal in JSON.
    Id(usize),
    Bool,
    Int64,
    Int32,
    Uint32,
    /// Zigzag.
    Sint32,
    /// Fixed.
    Uint64,
    /// Fixed.
    Sfixed64,
    Double,
    Temporality,
    /// Repeated, packed.
    Fixed64List,
    /// Repeated, packed.
    DoubleList,
    /// Repeated, packed varints.
    Uint64List,
}

/// One field. JSON knows it by either name, errors about protobuf by the third.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) camel: &'static str,
    pub(crate) snake: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) repeated: bool,
}

/// The fields of a message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [Field],
}

impl Message {
    #[inline]
    pub(crate) fn field(&self, number: i32) -> Option<&'static Field> {
        let number = u32::try_from(number).ok()?;
        self.fields.iter().find(|field| field.number == number)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.camel == name || field.snake == name)
    }
}

const fn one(number: u32, camel: &'static str, snake: &'static str, name: &'static str, kind: Kind) -> Field {
    Field { number, camel, snake, name, kind, repeated: false }
}

const fn many(
    number: u32,
    camel: &'static str,
    snake: &'static str,
    name: &'static str,
    kind: Kind,
) -> Field {
    Field { number, camel, snake, name, kind, repeated: true }
}

const fn attributes(number: u32) -> Field {
    many(number, "attributes", "attributes", "Attributes", Kind::Message(&KEY_VALUE))
}

const fn start_time() -> Field {
    one(2, "startTimeUnixNano", "start_time_unix_nano", "StartTimeUnixNano", Kind::Uint64)
}

const fn time(number: u32) -> Field {
    one(number, "timeUnixNano", "time_unix_nano", "TimeUnixNano", Kind::Uint64)
}

const fn flags(number: u32) -> Field {
    one(number, "flags", "flags", "Flags", Kind::Uint32)
}

const fn exemplars(number: u32) -> Field {
    many(number, "exemplars", "exemplars", "Exemplars", Kind::Message(&EXEMPLAR))
}

const fn points(message: &'static Message) -> Field {
    many(1, "dataPoints", "data_points", "DataPoints", Kind::Message(message))
}

const fn temporality() -> Field {
    one(2, "aggregationTemporality", "aggregation_temporality", "AggregationTemporality", Kind::Temporality)
}

const fn dropped(number: u32) -> Field {
    one(number, "droppedAttributesCount", "dropped_attributes_count", "DroppedAttributesCount", Kind::Uint32)
}

const fn schema_url(number: u32) -> Field {
    one(number, "schemaUrl", "schema_url", "SchemaUrl", Kind::Text)
}

pub(crate) static REQUEST: Message = Message {
    name: "ExportMetricsServiceRequest",
    fields: &[many(
        1,
        "resourceMetrics",
        "resource_metrics",
        "ResourceMetrics",
        Kind::Message(&RESOURCE_METRICS),
    )],
};

/// Scopes of senders of before 2022 (field 1000 of a resource); JSON does not know them.
pub(crate) const DEPRECATED_SCOPES: i32 = 1000;

static RESOURCE_METRICS: Message = Message {
    name: "ResourceMetrics",
    fields: &[
        one(1, "resource", "resource", "Resource", Kind::Message(&RESOURCE)),
        many(2, "scopeMetrics", "scope_metrics", "ScopeMetrics", Kind::Message(&SCOPE_METRICS)),
        schema_url(3),
        many(
            DEPRECATED_SCOPES as u32,
            "deprecatedScopeMetrics",
            "deprecated_scope_metrics",
            "DeprecatedScopeMetrics",
            Kind::Message(&SCOPE_METRICS),
        ),
    ],
};

static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        attributes(1),
        dropped(2),
        many(3, "entityRefs", "entity_refs", "EntityRefs", Kind::Message(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        schema_url(1),
        one(2, "type", "type", "Type", Kind::Text),
        many(3, "idKeys", "id_keys", "IdKeys", Kind::Text),
        many(4, "descriptionKeys", "description_keys", "DescriptionKeys", Kind::Text),
    ],
};

static SCOPE_METRICS: Message = Message {
    name: "ScopeMetrics",
    fields: &[
        one(1, "scope", "scope", "Scope", Kind::Message(&SCOPE)),
        many(2, "metrics", "metrics", "Metrics", Kind::Message(&METRIC)),
        schema_url(3),
    ],
};

static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        one(1, "name", "name", "Name", Kind::Text),
        one(2, "version", "version", "Version", Kind::Text),
        attributes(3),
        dropped(4),
    ],
};

static METRIC: Message = Message {
    name: "Metric",
    fields: &[
        one(1, "name", "name", "Name", Kind::Text),
        one(2, "description", "description", "Description", Kind::Text),
        one(3, "unit", "unit", "Unit", Kind::Text),
        one(5, "gauge", "gauge", "Gauge", Kind::Message(&GAUGE)),
        one(7, "sum", "sum", "Sum", Kind::Message(&SUM)),
        one(9, "histogram", "histogram", "Histogram", Kind::Message(&HISTOGRAM)),
        one(
            10,
            "exponentialHistogram",
            "exponential_histogram",
            "ExponentialHistogram",
            Kind::Message(&EXPONENTIAL_HISTOGRAM),
        ),
        one(11, "summary", "summary", "Summary", Kind::Message(&SUMMARY)),
        many(12, "metadata", "metadata", "Metadata", Kind::Message(&KEY_VALUE)),
    ],
};

static GAUGE: Message = Message { name: "Gauge", fields: &[points(&NUMBER_POINT)] };

static SUM: Message = Message {
    name: "Sum",
    fields: &[
        points(&NUMBER_POINT),
        temporality(),
        one(3, "isMonotonic", "is_monotonic", "IsMonotonic", Kind::Bool),
    ],
};

static HISTOGRAM: Message = Message { name: "Histogram", fields: &[points(&HISTOGRAM_POINT), temporality()] };

static EXPONENTIAL_HISTOGRAM: Message =
    Message { name: "ExponentialHistogram", fields: &[points(&EXPONENTIAL_POINT), temporality()] };

static SUMMARY: Message = Message { name: "Summary", fields: &[points(&SUMMARY_POINT)] };

static NUMBER_POINT: Message = Message {
    name: "NumberDataPoint",
    fields: &[
        attributes(7),
        start_time(),
        time(3),
        one(4, "asDouble", "as_double", "AsDouble", Kind::Double),
        one(6, "asInt", "as_int", "AsInt", Kind::Sfixed64),
        exemplars(5),
        flags(8),
    ],
};

static HISTOGRAM_POINT: Message = Message {
    name: "HistogramDataPoint",
    fields: &[
        attributes(9),
        start_time(),
        time(3),
        one(4, "count", "count", "Count", Kind::Uint64),
        one(5, "sum", "sum", "Sum", Kind::Double),
        many(6, "bucketCounts", "bucket_counts", "BucketCounts", Kind::Fixed64List),
        many(7, "explicitBounds", "explicit_bounds", "ExplicitBounds", Kind::DoubleList),
        exemplars(8),
        flags(10),
        one(11, "min", "min", "Min", Kind::Double),
        one(12, "max", "max", "Max", Kind::Double),
    ],
};

static EXPONENTIAL_POINT: Message = Message {
    name: "ExponentialHistogramDataPoint",
    fields: &[
        attributes(1),
        start_time(),
        time(3),
        one(4, "count", "count", "Count", Kind::Uint64),
        one(5, "sum", "sum", "Sum", Kind::Double),
        one(6, "scale", "scale", "Scale", Kind::Sint32),
        one(7, "zeroCount", "zero_count", "ZeroCount", Kind::Uint64),
        one(8, "positive", "positive", "Positive", Kind::Message(&BUCKETS)),
        one(9, "negative", "negative", "Negative", Kind::Message(&BUCKETS)),
        flags(10),
        exemplars(11),
        one(12, "min", "min", "Min", Kind::Double),
        one(13, "max", "max", "Max", Kind::Double),
        one(14, "zeroThreshold", "zero_threshold", "ZeroThreshold", Kind::Double),
    ],
};

static BUCKETS: Message = Message {
    name: "ExponentialHistogramDataPointBuckets",
    fields: &[
        one(1, "offset", "offset", "Offset", Kind::Sint32),
        many(2, "bucketCounts", "bucket_counts", "BucketCounts", Kind::Uint64List),
    ],
};

static SUMMARY_POINT: Message = Message {
    name: "SummaryDataPoint",
    fields: &[
        attributes(7),
        start_time(),
        time(3),
        one(4, "count", "count", "Count", Kind::Uint64),
        one(5, "sum", "sum", "Sum", Kind::Double),
        many(6, "quantileValues", "quantile_values", "QuantileValues", Kind::Message(&QUANTILE)),
        flags(8),
    ],
};

static QUANTILE: Message = Message {
    name: "SummaryDataPointValueAtQuantile",
    fields: &[
        one(1, "quantile", "quantile", "Quantile", Kind::Double),
        one(2, "value", "value", "Value", Kind::Double),
    ],
};

static EXEMPLAR: Message = Message {
    name: "Exemplar",
    fields: &[
        many(7, "filteredAttributes", "filtered_attributes", "FilteredAttributes", Kind::Message(&KEY_VALUE)),
        time(2),
        one(3, "asDouble", "as_double", "AsDouble", Kind::Double),
        one(6, "asInt", "as_int", "AsInt", Kind::Sfixed64),
        one(5, "traceId", "trace_id", "TraceId", Kind::Id(16)),
        one(4, "spanId", "span_id", "SpanId", Kind::Id(8)),
    ],
};

static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[
        one(1, "key", "key", "Key", Kind::Text),
        one(2, "value", "value", "Value", Kind::Message(&ANY_VALUE)),
        one(3, "keyStrindex", "key_strindex", "KeyStrindex", Kind::Int32),
    ],
};

static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        one(1, "stringValue", "string_value", "StringValue", Kind::Text),
        one(2, "boolValue", "bool_value", "BoolValue", Kind::Bool),
        one(3, "intValue", "int_value", "IntValue", Kind::Int64),
        one(4, "doubleValue", "double_value", "DoubleValue", Kind::Double),
        one(5, "arrayValue", "array_value", "ArrayValue", Kind::Message(&ARRAY)),
        one(6, "kvlistValue", "kvlist_value", "KvlistValue", Kind::Message(&LIST)),
        one(7, "bytesValue", "bytes_value", "BytesValue", Kind::Blob),
        one(8, "stringValueStrindex", "string_value_strindex", "StringValueStrindex", Kind::Int32),
    ],
};

static ARRAY: Message = Message {
    name: "ArrayValue",
    fields: &[many(1, "values", "values", "Values", Kind::Message(&ANY_VALUE))],
};

static LIST: Message = Message {
    name: "KeyValueList",
    fields: &[many(1, "values", "values", "Values", Kind::Message(&KEY_VALUE))],
};
