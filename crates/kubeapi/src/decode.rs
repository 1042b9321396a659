//! From what the API server sends to what is kept: only the fields that somebody needs, borrowed from what was sent.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cache::Key;
use crate::error::Error;
use crate::protobuf::{self, Malformed, Message};
use crate::schema;

/// How the server encodes what it sends; its answer's content type says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`; events are lines.
    Json,
    /// `application/vnd.kubernetes.protobuf`; events come after their lengths.
    Protobuf,
}

impl Encoding {
    /// Both, the smaller one first.
    pub(crate) const ACCEPT: &str = "application/vnd.kubernetes.protobuf,application/json";

    pub(crate) fn of(content_type: &str) -> Self {
        if content_type.starts_with("application/vnd.kubernetes.protobuf") {
            Encoding::Protobuf
        } else {
            Encoding::Json
        }
    }
}

/// An object as the server sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded<'a> {
    /// Its JSON.
    Json(&'a str),
    /// Its message, without envelope.
    Protobuf(&'a [u8]),
}

/// An object that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// As JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// As protobuf.
    #[error("{0}")]
    Protobuf(#[from] Malformed),
}

impl<'a> Encoded<'a> {
    /// Reads what `T` wants of the object. In a message, fields have the names that `schema` gives them.
    ///
    /// # Errors
    /// When it is no such object.
    pub fn read<T: Deserialize<'a>>(self, schema: &'static Message) -> Result<T, Unreadable> {
        Ok(match self {
            Encoded::Json(json) => serde_json::from_str(json)?,
            Encoded::Protobuf(bytes) => protobuf::read(schema, bytes)?,
        })
    }
}

/// Makes of an object what a cache keeps of it.
pub trait Decode: Send + Sync + 'static {
    /// What is kept. Objects that are equal here have not changed for whoever uses the cache.
    type Object: PartialEq + Send + Sync + 'static;

    /// Reads one object.
    ///
    /// # Errors
    /// When it is not such an object.
    fn decode(&self, object: Encoded<'_>) -> Result<Decoded<Self::Object>, Unreadable>;
}

/// An object with what the cache has to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<T> {
    /// Namespace and name.
    pub key: Key,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// What is kept.
    pub object: T,
}

/// What a watch tells.
#[derive(Debug)]
pub enum Event<'a> {
    /// ADDED or MODIFIED: the object.
    Put(Encoded<'a>),
    /// DELETED: the object as it was last.
    Delete(Encoded<'a>),
    /// BOOKMARK: everything up to this version was sent.
    Bookmark {
        /// The version to go on from.
        version: String,
        /// Whether it is the one that ends the initial events.
        initial_end: bool,
    },
    /// ERROR.
    Failed {
        /// The code of the `Status`.
        code: u16,
        /// Its words.
        message: String,
    },
}

#[derive(Deserialize)]
struct SpelledEvent<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: Option<InitialEnd>,
}

#[derive(Deserialize)]
struct InitialEnd {
    #[serde(default, rename = "k8s.io/initial-events-end")]
    value: Option<String>,
}

/// The object that tells of a failure.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    code: Option<i64>,
}

impl Status {
    fn words(self) -> String {
        self.message.filter(|text| !text.is_empty()).or(self.reason).unwrap_or_else(|| "unknown".to_owned())
    }
}

/// Reads an event of a watch; none for a kind of event that is not known.
///
/// # Errors
/// [`Error::Format`] when it is no event.
pub fn event(encoding: Encoding, event: &[u8]) -> Result<Option<Event<'_>>, Error> {
    told(encoding, event).map_err(|err| Error::Format(format!("event: {err}")))
}

fn told(encoding: Encoding, event: &[u8]) -> Result<Option<Event<'_>>, Unreadable> {
    let (kind, object) = match encoding {
        Encoding::Json => {
            let spelled: SpelledEvent<'_> = serde_json::from_slice(event)?;
            (spelled.kind, Encoded::Json(spelled.object.get()))
        }
        Encoding::Protobuf => {
            let (kind, envelope) = protobuf::watch_event(event)?;
            (Cow::Borrowed(kind), Encoded::Protobuf(protobuf::open(envelope)?))
        }
    };
    Ok(Some(match &*kind {
        "ADDED" | "MODIFIED" => Event::Put(object),
        "DELETED" => Event::Delete(object),
        "BOOKMARK" => {
            let Bookmark { metadata } = object.read(&schema::ONLY_METADATA)?;
            let ends = metadata.annotations.and_then(|annotations| annotations.value);
            Event::Bookmark {
                version: metadata.resource_version,
                initial_end: ends.as_deref() == Some("true"),
            }
        }
        "ERROR" => {
            let status: Status = object.read(&schema::STATUS)?;
            let expired = matches!(status.reason.as_deref(), Some("Expired" | "Gone"));
            let code = status.code.and_then(|code| u16::try_from(code).ok()).filter(|code| *code > 0);
            Event::Failed { code: if expired { 410 } else { code.unwrap_or(500) }, message: status.words() }
        }
        _ => return Ok(None),
    }))
}

/// A page of a list.
#[derive(Debug)]
pub struct List<'a> {
    /// The version at which it holds.
    pub version: String,
    /// What to ask the next page with; empty on the last one.
    pub next: String,
    /// The objects.
    pub items: Vec<Encoded<'a>>,
}

#[derive(Deserialize)]
struct SpelledList<'a> {
    metadata: ListMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// Reads a page of a list.
///
/// # Errors
/// [`Error::Format`] when it is none.
pub fn list(encoding: Encoding, body: &[u8]) -> Result<List<'_>, Error> {
    page(encoding, body).map_err(|err| Error::Format(format!("list: {err}")))
}

fn page(encoding: Encoding, body: &[u8]) -> Result<List<'_>, Unreadable> {
    let (metadata, items) = match encoding {
        Encoding::Json => {
            let SpelledList { metadata, items } = serde_json::from_slice(body)?;
            let items = items.unwrap_or_default();
            (metadata, items.into_iter().map(|item| Encoded::Json(item.get())).collect())
        }
        Encoding::Protobuf => {
            let (metadata, items) = protobuf::list(protobuf::open(body)?)?;
            let metadata = Encoded::Protobuf(metadata).read::<ListMetadata>(&schema::LIST_METADATA)?;
            (metadata, items.into_iter().map(Encoded::Protobuf).collect())
        }
    };
    Ok(List { version: metadata.resource_version, next: metadata.next.unwrap_or_default(), items })
}

/// What the server says in the body of an answer that is no success.
pub(crate) fn refusal(encoding: Encoding, body: &[u8]) -> String {
    let status: Option<Status> = match encoding {
        Encoding::Json => serde_json::from_slice(body).ok(),
        Encoding::Protobuf => {
            protobuf::open(body).ok().and_then(|message| protobuf::read(&schema::STATUS, message).ok())
        }
    };
    if let Some(status) = status {
        return status.words();
    }
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Encoding::Json;
    use super::*;

    #[test]
    fn events_of_every_kind() {
        let put = br#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#;
        assert!(matches!(
            event(Json, put).unwrap(),
            Some(Event::Put(Encoded::Json(r#"{"metadata":{"name":"a"}}"#)))
        ));
        let turned = br#"{"object":{"a":1},"type":"DELETED"}"#;
        assert!(matches!(event(Json, turned).unwrap(), Some(Event::Delete(Encoded::Json(r#"{"a":1}"#)))));
        let end = br#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(
            matches!(event(Json, end).unwrap(), Some(Event::Bookmark { version, initial_end: true }) if version == "7")
        );
        let expired = br#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#;
        assert!(matches!(event(Json, expired).unwrap(), Some(Event::Failed { code: 410, .. })));
        assert!(event(Json, br#"{"type":"NEW","object":{}}"#).unwrap().is_none());
        for bad in [
            &b"{}"[..],
            b"",
            b"[]",
            b"{\"type\":1,\"object\":{}}",
            b"\xff",
            b"{\"type\":\"BOOKMARK\",\"object\":3}",
        ] {
            assert!(event(Json, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lists_give_their_items_and_the_next_page() {
        let page = list(
            Json,
            br#"{"kind":"PodList","metadata":{"resourceVersion":"5","continue":"x"},"items":[{"a":1},{}]}"#,
        )
        .unwrap();
        assert_eq!((page.version.as_str(), page.next.as_str()), ("5", "x"));
        assert_eq!(page.items, [Encoded::Json(r#"{"a":1}"#), Encoded::Json("{}")]);
        assert!(list(Json, br#"{"metadata":{},"items":null}"#).unwrap().items.is_empty());
        assert!(list(Json, b"{}").is_err());
    }

    #[test]
    fn what_a_real_server_sends_is_the_same_in_both_encodings() {
        #[derive(Deserialize)]
        struct Object {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata {
            name: String,
            resource_version: String,
            labels: std::collections::BTreeMap<String, String>,
        }
        let told = |encoding: Encoding, stream: &[u8]| {
            let mut told = Vec::new();
            let mut events = crate::stream::Events::new(encoding);
            events
                .push(stream, |bytes| {
                    let event = event(encoding, bytes)?.expect("a kind that is known");
                    let metadata = |object: Encoded<'_>| {
                        let object: Object = object.read(&schema::ONLY_METADATA).expect("an object");
                        let Metadata { name, resource_version, labels } = object.metadata;
                        (name, resource_version, labels)
                    };
                    told.push(match event {
                        Event::Put(object) => format!("put {:?}", metadata(object)),
                        Event::Delete(object) => format!("delete {:?}", metadata(object)),
                        other => format!("{other:?}"),
                    });
                    Ok(())
                })
                .unwrap();
            told
        };
        let watched = told(Json, include_bytes!("../testdata/watch.json"));
        assert_eq!(watched.len(), 6);
        assert!(watched[0].starts_with(r#"put ("gone2", "288", {"gone2": "yes""#), "{watched:?}");
        assert_eq!(watched[5], r#"Bookmark { version: "291", initial_end: false }"#);
        assert_eq!(told(Encoding::Protobuf, include_bytes!("../testdata/watch.pb")), watched);
        let refused = told(Json, include_bytes!("../testdata/refused_stream.json"));
        assert!(
            refused[0].starts_with("Failed { code: 500, message: \"a watch stream was requested"),
            "{refused:?}"
        );
        assert_eq!(told(Encoding::Protobuf, include_bytes!("../testdata/refused_stream.pb")), refused);
        for (encoding, body) in [
            (Json, &include_bytes!("../testdata/not_found.json")[..]),
            (Encoding::Protobuf, include_bytes!("../testdata/not_found.pb")),
        ] {
            assert_eq!(refusal(encoding, body), "pods \"y\" not found");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        assert_eq!(
            refusal(Json, br#"{"kind":"Status","message":"pods is forbidden","code":403}"#),
            "pods is forbidden"
        );
        assert_eq!(refusal(Json, b"404 page not found\n"), "404 page not found");
    }
}
