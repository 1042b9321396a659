//! The two messages that a write request may be.

/// Which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MessageType {
    /// Remote write 1.0.
    #[default]
    V1,
    /// Remote write 2.0.
    V2,
}

const PROTOBUF: &str = "application/x-protobuf";

/// Names as in an error text.
pub(crate) fn list(types: &[MessageType]) -> String {
    types.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ")
}

impl MessageType {
    /// Its full name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MessageType::V1 => "prometheus.WriteRequest",
            MessageType::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// By its full name.
    ///
    /// # Errors
    /// Prometheus' text when there is no such message.
    pub fn of_name(name: &str) -> Result<Self, String> {
        let all = [MessageType::V1, MessageType::V2];
        all.into_iter().find(|one| one.name() == name).ok_or_else(|| {
            format!("unknown type for remote write protobuf message {name}, supported: {}", list(&all))
        })
    }

    /// What a sender says in `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            MessageType::V1 => PROTOBUF,
            MessageType::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The version of the protocol, as a header says it.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            MessageType::V1 => "0.1.0",
            MessageType::V2 => "2.0.0",
        }
    }

    /// What a receiver makes of a `Content-Type`; none is 1.0.
    pub(crate) fn of_content_type(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(MessageType::V1);
        }
        let mut parts = text.split(';');
        if parts.next() != Some(PROTOBUF) {
            return Err(format!("expected {PROTOBUF} as the first (media) part, got {text} content-type"));
        }
        for part in parts {
            match part.split('=').collect::<Vec<_>>()[..] {
                ["proto", name] => {
                    return Self::of_name(name).map_err(|why| format!("got {text} content type; {why}"));
                }
                [_, _] => {}
                _ => {
                    return Err(format!(
                        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {part} in {text} content-type"
                    ));
                }
            }
        }
        Ok(MessageType::V1)
    }
}
