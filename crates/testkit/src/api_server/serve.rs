//! Requests and their answers.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzEncoder;

use super::objects::Change;
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
}

/// Serves requests of one connection until it is closed.
pub(super) fn connection(shared: &Arc<Shared>, mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(copy) = stream.try_clone() else { return };
    let mut reader = BufReader::new(copy);
    while let Some(request) = read_request(&mut reader) {
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
    Some(Request { resource, headers, selector, query, target })
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

fn status(code: u16, reason: &str, message: &str) -> String {
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
    .to_string()
}

/// None: the connection is not used any more.
fn answer(shared: &Arc<Shared>, request: &Request, stream: &mut TcpStream) -> Option<()> {
    let mut state = shared.state.lock();
    state.requests.push(request.target.clone());
    let conduct = &mut state.conduct;
    if !conduct.refusals.is_empty() {
        let code = conduct.refusals.remove(0);
        drop(state);
        return whole(stream, request, code, &status(code, "Refused", "refused as told"));
    }
    if let Some(token) = &conduct.token
        && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
    {
        drop(state);
        return whole(stream, request, 401, &status(401, "Unauthorized", "Unauthorized"));
    }
    if !state.store.knows(&request.resource) {
        drop(state);
        let message = "the server could not find the requested resource";
        return whole(stream, request, 404, &status(404, "NotFound", message));
    }
    let Some(selector) = &request.selector else {
        drop(state);
        return whole(stream, request, 400, &status(400, "BadRequest", "unable to parse requirement"));
    };
    if request.query.get("watch").is_some_and(|watch| watch == "true") {
        drop(state);
        return watch(shared, request, selector, stream);
    }
    let (code, body) = list(&state, request, selector);
    drop(state);
    whole(stream, request, code, &body)
}

fn list(state: &State, request: &Request, selector: &Selector) -> (u16, String) {
    let number = |name: &str| request.query.get(name).and_then(|text| text.parse::<usize>().ok());
    let after = request.query.get("continue");
    if after.is_some() && state.conduct.pages_expire {
        return (410, status(410, "Expired", "The provided continue parameter is too old"));
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
        items.push(&*object.json);
        next = place;
    }
    let goes_on = items.len() == limit;
    let metadata = serde_json::json!({
        "resourceVersion": state.store.version.to_string(),
        "continue": if goes_on { next } else { String::new() },
    });
    (
        200,
        format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{metadata},"items":[{}]}}"#, items.join(",")),
    )
}

fn whole(stream: &mut TcpStream, request: &Request, code: u16, body: &str) -> Option<()> {
    let gzip = request.headers.get("accept-encoding").is_some_and(|accepted| accepted.contains("gzip"));
    let mut bytes = body.as_bytes().to_vec();
    let mut encoding = "";
    if gzip && bytes.len() > COMPRESSED_FROM {
        let mut compressed = Vec::new();
        GzEncoder::new(&bytes[..], Compression::fast()).read_to_end(&mut compressed).ok()?;
        bytes = compressed;
        encoding = "Content-Encoding: gzip\r\n";
    }
    let head = format!(
        "HTTP/1.1 {code} Status\r\nContent-Type: application/json\r\n{encoding}Content-Length: {}\r\n\r\n",
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
}

/// The kind and group of the objects of a resource.
fn kind_of(resource: &str) -> (&'static str, String) {
    let (group, name) = resource.rsplit_once('/').unwrap_or_default();
    let kind = match name {
        "nodes" => "Node",
        "services" => "Service",
        "endpoints" => "Endpoints",
        "namespaces" => "Namespace",
        "replicasets" => "ReplicaSet",
        "jobs" => "Job",
        "endpointslices" => "EndpointSlice",
        "ingresses" => "Ingress",
        _ => "Pod",
    };
    (kind, group.trim_start_matches("/apis/").trim_start_matches("/api/").to_owned())
}

impl Events<'_> {
    fn line(&mut self, kind: &str, object: &str) -> Option<()> {
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        let sent = self.left.map_or(line.len(), |left| left.min(line.len()));
        let mut chunk = format!("{sent:x}\r\n").into_bytes();
        chunk.extend_from_slice(&line.as_bytes()[..sent]);
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

    fn bookmark(&mut self, version: u64, ends: bool) -> Option<()> {
        let annotations = if ends { r#","annotations":{"k8s.io/initial-events-end":"true"}"# } else { "" };
        let (kind, group) = &self.kind;
        let object = format!(
            r#"{{"kind":"{kind}","apiVersion":"{group}","metadata":{{"resourceVersion":"{version}"{annotations}}}}}"#
        );
        self.line("BOOKMARK", &object)
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
        return whole(stream, request, 422, &status(422, "Invalid", message));
    }
    let expired = !initial && seen < state.store.oldest;
    let too_old = status(410, "Expired", "too old resource version");
    if expired && state.conduct.expired_by_status {
        drop(state);
        return whole(stream, request, 410, &too_old);
    }
    let lasts: u64 = text("timeoutSeconds").parse().unwrap_or(1800);
    let until = Instant::now() + Duration::from_secs(lasts).min(state.conduct.longest_watch);
    let (broken, mut marked) = (state.broken, state.bookmarks);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    let mut events =
        Events { stream, left: state.conduct.cut_after.take(), kind: kind_of(&request.resource) };
    if expired {
        events.line("ERROR", &too_old)?;
        return ended(events.stream);
    }
    if initial && state.conduct.streamed_lists == StreamedLists::RefusedInStream {
        let message = "a watch stream was requested by the client but the required storage feature RequestWatchProgress is disabled";
        events.line("ERROR", &status(500, "InternalError", message))?;
        return ended(events.stream);
    }
    if initial {
        seen = state.store.version;
        let objects = state.store.objects(&request.resource);
        let there: Vec<Arc<str>> = objects
            .filter(|(_, object)| selector.accepts(object))
            .map(|(_, object)| object.json.clone())
            .collect();
        drop(state);
        for json in there {
            events.line("ADDED", &json)?;
        }
        events.bookmark(seen, true)?;
        state = shared.state.lock();
    }
    loop {
        if state.stopped || state.broken != broken {
            return None;
        }
        let news: Vec<(&'static str, Arc<str>)> = state
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
        for (kind, json) in news {
            events.line(kind, &json)?;
        }
        if mark {
            events.bookmark(seen, false)?;
        }
        state = shared.state.lock();
    }
}

/// What a watch with this selector hears of a change.
fn told(change: &Change, selector: &Selector) -> Option<(&'static str, Arc<str>)> {
    let before = change.before.as_ref().filter(|object| selector.accepts(object));
    let after = change.after.as_ref().filter(|object| selector.accepts(object));
    match (before, after) {
        (None, Some(after)) => Some(("ADDED", after.json.clone())),
        (Some(_), Some(after)) => Some(("MODIFIED", after.json.clone())),
        (Some(before), None) => {
            // An object that leaves the selection comes with its old state.
            let last = change.last.as_ref().unwrap_or(before);
            Some(("DELETED", last.json.clone()))
        }
        (None, None) => None,
    }
}

fn ended(stream: &mut TcpStream) -> Option<()> {
    stream.write_all(b"0\r\n\r\n").ok()
}
