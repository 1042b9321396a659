//! Requests and their answers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzEncoder;

use kubeapi::Encoding;
use serde_json::{Value as Json, json};

use super::objects::{Change, Object, kind_of};
use super::protobuf;
use super::selector::Selector;
use super::{Shared, State, StreamedLists};

/// Answers longer than this are compressed if the client wants it.
const COMPRESSED_FROM: usize = 128 << 10;

struct Request {
    target: String,
    resource: String,
    query: HashMap<String, String>,
    headers: HashMap<String, String>,
    selector: Option<Selector>,
    /// How the answer is encoded.
    encoding: Encoding,
}

/// Serves requests of one connection until it is closed.
pub(super) fn connection(shared: &Arc<Shared>, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(copy) = stream.try_clone() else { return };
    let mut reader = BufReader::new(copy);
    while let Some(mut request) = read_request(&mut reader) {
        if !shared.state.lock().conduct.protobuf {
            request.encoding = Encoding::Json;
        }
        if answer(shared, &request, &mut stream).is_none() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let target = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query: HashMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), unescape(value)))
        .collect();
    let (resource, namespace) = resource_of(path);
    let text = |name: &str| query.get(name).map_or("", String::as_str);
    let selector = Selector::parse(&namespace, text("labelSelector"), text("fieldSelector"));
    let accepted = headers.get("accept").map_or("", String::as_str);
    let binary = accepted.contains("application/vnd.kubernetes.protobuf");
    let encoding = if binary { Encoding::Protobuf } else { Encoding::Json };
    Some(Request { resource, headers, selector, query, target, encoding })
}

/// `/api/v1/namespaces/shop/pods` is `/api/v1/pods` in `shop`.
fn resource_of(path: &str) -> (String, String) {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = if segments.first() == Some(&"api") { 2 } else { 3 };
    match segments.get(group..) {
        Some(["namespaces", namespace, resource]) => {
            (format!("/{}/{resource}", segments[..group].join("/")), unescape(namespace))
        }
        _ => (path.trim_end_matches('/').to_owned(), String::new()),
    }
}

fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).unwrap_or(0) as u8;
        out.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()) << 4 | hex(bytes.next()),
            other => other,
        });
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn status(code: u16, reason: &str, message: &str) -> Json {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn refuse(stream: &mut TcpStream, request: &Request, code: u16, reason: &str, message: &str) -> Option<()> {
    let status = status(code, reason, message);
    let body = match request.encoding {
        Encoding::Json => status.to_string().into_bytes(),
        Encoding::Protobuf => protobuf::envelope("Status", &protobuf::status(&status)),
    };
    whole(stream, request, code, body)
}

/// None: the connection is not used any more.
fn answer(shared: &Arc<Shared>, request: &Request, stream: &mut TcpStream) -> Option<()> {
    let mut state = shared.state.lock();
    state.requests.push(request.target.clone());
    let conduct = &mut state.conduct;
    if !conduct.refusals.is_empty() {
        let code = conduct.refusals.remove(0);
        drop(state);
        return refuse(stream, request, code, "Refused", "refused as told");
    }
    if let Some(token) = &conduct.token
        && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
    {
        drop(state);
        return refuse(stream, request, 401, "Unauthorized", "Unauthorized");
    }
    if !state.store.knows(&request.resource) {
        drop(state);
        let message = "the server could not find the requested resource";
        return refuse(stream, request, 404, "NotFound", message);
    }
    let Some(selector) = &request.selector else {
        drop(state);
        return refuse(stream, request, 400, "BadRequest", "unable to parse requirement");
    };
    if request.query.get("watch").is_some_and(|watch| watch == "true") {
        drop(state);
        return watch(shared, request, selector, stream);
    }
    let page = list(&state, request, selector);
    drop(state);
    match page {
        Some(body) => whole(stream, request, 200, body),
        None => refuse(stream, request, 410, "Expired", "The provided continue parameter is too old"),
    }
}

/// A page; none: the continue token is too old.
fn list(state: &State, request: &Request, selector: &Selector) -> Option<Vec<u8>> {
    let number = |name: &str| request.query.get(name).and_then(|text| text.parse::<usize>().ok());
    let after = request.query.get("continue");
    if after.is_some() && state.conduct.pages_expire {
        return None;
    }
    let mut items = Vec::new();
    let mut next = String::new();
    let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    for ((namespace, name), object) in state.store.objects(&request.resource) {
        let place = format!("{namespace}.{name}");
        if after.is_some_and(|after| *after >= place) || !selector.accepts(object) {
            continue;
        }
        if items.len() == limit {
            break;
        }
        items.push(object);
        next = place;
    }
    let version = state.store.version.to_string();
    if items.len() < limit {
        next.clear();
    }
    Some(match request.encoding {
        Encoding::Json => {
            let metadata = json!({"resourceVersion": version, "continue": next});
            let items: Vec<&str> = items.iter().map(|object| &*object.json).collect();
            let items = items.join(",");
            format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{metadata},"items":[{items}]}}"#).into()
        }
        Encoding::Protobuf => {
            let items = items.iter().map(|object| &*object.protobuf);
            protobuf::envelope("List", &protobuf::list(&version, &next, items))
        }
    })
}

fn content_type(request: &Request) -> &'static str {
    match request.encoding {
        Encoding::Json => "application/json",
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
    }
}

fn whole(stream: &mut TcpStream, request: &Request, code: u16, mut bytes: Vec<u8>) -> Option<()> {
    let gzip = request.headers.get("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
    let mut encoding = "";
    if gzip && bytes.len() > COMPRESSED_FROM {
        let mut compressed = Vec::new();
        GzEncoder::new(&bytes[..], Compression::fast()).read_to_end(&mut compressed).ok()?;
        bytes = compressed;
        encoding = "Content-Encoding: gzip\r\n";
    }
    let head = format!(
        "HTTP/1.1 {code} Status\r\nContent-Type: {}\r\n{encoding}Content-Length: {}\r\n\r\n",
        content_type(request),
        bytes.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&bytes)).ok()
}

/// Writes events as chunks.
struct Events<'a> {
    stream: &'a mut TcpStream,
    left: Option<usize>,
    /// What bookmarks say that they are.
    kind: (&'static str, String),
    encoding: Encoding,
}

impl Events<'_> {
    fn object(&mut self, kind: &str, object: &Object) -> Option<()> {
        let (of, _) = self.kind;
        self.event(kind, || (*object.json).to_owned(), || protobuf::envelope(of, &object.protobuf))
    }

    fn failure(&mut self, status: &Json) -> Option<()> {
        self.event("ERROR", || status.to_string(), || protobuf::envelope("Status", &protobuf::status(status)))
    }

    fn bookmark(&mut self, version: u64, ends: bool) -> Option<()> {
        let (kind, group) = &self.kind;
        let mut object =
            json!({"kind": kind, "apiVersion": group, "metadata": {"resourceVersion": version.to_string()}});
        if ends {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let of = *kind;
        self.event("BOOKMARK", || object.to_string(), || protobuf::envelope(of, &protobuf::bookmark(&object)))
    }

    fn event(
        &mut self,
        kind: &str,
        text: impl FnOnce() -> String,
        envelope: impl FnOnce() -> Vec<u8>,
    ) -> Option<()> {
        let event = match self.encoding {
            Encoding::Json => format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", text()).into_bytes(),
            Encoding::Protobuf => protobuf::event(kind, &envelope()),
        };
        let sent = self.left.map_or(event.len(), |left| left.min(event.len()));
        let mut chunk = format!("{sent:x}\r\n").into_bytes();
        chunk.extend_from_slice(&event[..sent]);
        chunk.extend_from_slice(b"\r\n");
        self.stream.write_all(&chunk).ok()?;
        if let Some(left) = &mut self.left {
            *left -= sent;
            if *left == 0 {
                return None;
            }
        }
        Some(())
    }
}

fn watch(shared: &Arc<Shared>, request: &Request, selector: &Selector, stream: &mut TcpStream) -> Option<()> {
    let text = |name: &str| request.query.get(name).map_or("", String::as_str);
    let initial = text("sendInitialEvents") == "true";
    let bookmarks = text("allowWatchBookmarks") == "true";
    let mut state = shared.state.lock();
    let mut seen: u64 = text("resourceVersion").parse().unwrap_or(0);
    if initial && state.conduct.streamed_lists == StreamedLists::RefusedByStatus {
        drop(state);
        let message = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return refuse(stream, request, 422, "Invalid", message);
    }
    let expired = !initial && seen < state.store.oldest;
    if expired && state.conduct.expired_by_status {
        drop(state);
        return refuse(stream, request, 410, "Expired", "too old resource version");
    }
    let lasts: u64 = text("timeoutSeconds").parse().unwrap_or(1800);
    let until = Instant::now() + Duration::from_secs(lasts).min(state.conduct.longest_watch);
    let (broken, mut marked) = (state.broken, state.bookmarks);
    let stream_type = if request.encoding == Encoding::Protobuf { ";stream=watch" } else { "" };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {}{stream_type}\r\nTransfer-Encoding: chunked\r\n\r\n",
        content_type(request)
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut events = Events {
        stream,
        left: state.conduct.cut_after.take(),
        kind: kind_of(&request.resource),
        encoding: request.encoding,
    };
    if expired {
        events.failure(&status(410, "Expired", "too old resource version"))?;
        return ended(events.stream);
    }
    if initial && state.conduct.streamed_lists == StreamedLists::RefusedInStream {
        let message = "a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled";
        events.failure(&status(500, "InternalError", message))?;
        return ended(events.stream);
    }
    if initial {
        seen = state.store.version;
        let objects = state.store.objects(&request.resource);
        let objects = objects.map(|(_, object)| object).filter(|object| selector.accepts(object));
        let there: Vec<Object> = objects.cloned().collect();
        drop(state);
        for object in there {
            events.object("ADDED", &object)?;
        }
        events.bookmark(seen, true)?;
        state = shared.state.lock();
    }
    loop {
        if state.stopped || state.broken != broken {
            return None;
        }
        let news: Vec<(&'static str, Object)> = state
            .store
            .log
            .iter()
            .filter(|change| change.version > seen && change.resource == request.resource)
            .filter_map(|change| told(change, selector))
            .collect();
        let compacted = seen < state.store.oldest && !state.store.log.iter().any(|c| c.version > seen);
        seen = if compacted { seen } else { state.store.version };
        let mark = bookmarks && state.bookmarks != marked;
        marked = state.bookmarks;
        if news.is_empty() && !mark {
            if Instant::now() >= until {
                drop(state);
                return ended(events.stream);
            }
            shared.changed.wait_until(&mut state, until);
            continue;
        }
        drop(state);
        for (kind, object) in news {
            events.object(kind, &object)?;
        }
        if mark {
            events.bookmark(seen, false)?;
        }
        state = shared.state.lock();
    }
}

/// What a watch with this selector hears of a change.
fn told(change: &Change, selector: &Selector) -> Option<(&'static str, Object)> {
    let before = change.before.as_ref().filter(|object| selector.accepts(object));
    let after = change.after.as_ref().filter(|object| selector.accepts(object));
    match (before, after) {
        (None, Some(after)) => Some(("ADDED", after.clone())),
        (Some(_), Some(after)) => Some(("MODIFIED", after.clone())),
        (Some(before), None) => {
            // An object that leaves the selection comes with its old state.
            let last = change.last.as_ref().unwrap_or(before);
            Some(("DELETED", last.clone()))
        }
        (None, None) => None,
    }
}

fn ended(stream: &mut TcpStream) -> Option<()> {
    stream.write_all(b"0\r\n\r\n").ok()
}
