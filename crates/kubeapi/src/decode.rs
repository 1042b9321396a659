//! From what the API server sends to what is kept: only the fields that somebody needs, borrowed from the text.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cache::Key;
use crate::error::Error;

/// Makes of an object's JSON what a cache keeps of it.
pub trait Decode: Send + Sync + 'static {
    /// What is kept. Objects that are equal here have not changed for whoever uses the cache.
    type Object: PartialEq + Send + Sync + 'static;

    /// Reads one object.
    ///
    /// # Errors
    /// When the text is not such an object.
    fn decode(&self, json: &str) -> Result<Decoded<Self::Object>, serde_json::Error>;
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

/// One line of a watch.
#[derive(Debug)]
pub enum Event<'a> {
    /// ADDED or MODIFIED: the object's JSON.
    Put(&'a str),
    /// DELETED: the object's last JSON.
    Delete(&'a str),
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

/// Reads a line of a watch; none for a kind of event that is not known.
///
/// # Errors
/// [`Error::Format`] when it is no event.
pub fn event(line: &[u8]) -> Result<Option<Event<'_>>, Error> {
    let wrong = |err: serde_json::Error| Error::Format(format!("event: {err}"));
    let line = std::str::from_utf8(line).map_err(|err| Error::Format(format!("event: {err}")))?;
    let spelled: SpelledEvent<'_> = serde_json::from_str(line).map_err(wrong)?;
    let json = spelled.object.get();
    Ok(Some(match &*spelled.kind {
        "ADDED" | "MODIFIED" => Event::Put(json),
        "DELETED" => Event::Delete(json),
        "BOOKMARK" => {
            let bookmark: Bookmark = serde_json::from_str(json).map_err(wrong)?;
            let ends = bookmark.metadata.annotations.and_then(|annotations| annotations.value);
            Event::Bookmark {
                version: bookmark.metadata.resource_version,
                initial_end: ends.as_deref() == Some("true"),
            }
        }
        "ERROR" => {
            let status: Status = serde_json::from_str(json).map_err(wrong)?;
            let expired = matches!(status.reason.as_deref(), Some("Expired" | "Gone"));
            let code = status.code.and_then(|code| u16::try_from(code).ok());
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
    /// Each object's JSON.
    pub items: Vec<&'a str>,
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
pub fn list(body: &[u8]) -> Result<List<'_>, Error> {
    let body = std::str::from_utf8(body).map_err(|err| Error::Format(format!("list: {err}")))?;
    let spelled: SpelledList<'_> =
        serde_json::from_str(body).map_err(|err| Error::Format(format!("list: {err}")))?;
    Ok(List {
        version: spelled.metadata.resource_version,
        next: spelled.metadata.next.unwrap_or_default(),
        items: spelled.items.unwrap_or_default().into_iter().map(RawValue::get).collect(),
    })
}

/// What the server says in the body of an answer that is no success.
pub(crate) fn refusal(body: &[u8]) -> String {
    if let Ok(status) = serde_json::from_slice::<Status>(body) {
        return status.words();
    }
    let text: String = String::from_utf8_lossy(body).chars().take(200).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_every_kind() {
        let put = br#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}"#;
        assert!(matches!(event(put).unwrap(), Some(Event::Put(r#"{"metadata":{"name":"a"}}"#))));
        let turned = br#"{"object":{"a":1},"type":"DELETED"}"#;
        assert!(matches!(event(turned).unwrap(), Some(Event::Delete(r#"{"a":1}"#))));
        let end = br#"{"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"7","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(
            matches!(event(end).unwrap(), Some(Event::Bookmark { version, initial_end: true }) if version == "7")
        );
        let expired = br#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#;
        assert!(matches!(event(expired).unwrap(), Some(Event::Failed { code: 410, .. })));
        assert!(event(br#"{"type":"NEW","object":{}}"#).unwrap().is_none());
        for bad in [
            &b"{}"[..],
            b"",
            b"[]",
            b"{\"type\":1,\"object\":{}}",
            b"\xff",
            b"{\"type\":\"BOOKMARK\",\"object\":3}",
        ] {
            assert!(event(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lists_give_their_items_and_the_next_page() {
        let page = list(
            br#"{"kind":"PodList","metadata":{"resourceVersion":"5","continue":"x"},"items":[{"a":1},{}]}"#,
        )
        .unwrap();
        assert_eq!((page.version.as_str(), page.next.as_str()), ("5", "x"));
        assert_eq!(page.items, [r#"{"a":1}"#, "{}"]);
        assert!(list(br#"{"metadata":{},"items":null}"#).unwrap().items.is_empty());
        assert!(list(b"{}").is_err());
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        assert_eq!(
            refusal(br#"{"kind":"Status","message":"pods is forbidden","code":403}"#),
            "pods is forbidden"
        );
        assert_eq!(refusal(b"404 page not found\n"), "404 page not found");
    }
}
