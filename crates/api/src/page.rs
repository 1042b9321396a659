//! The page: embedded files, or a note on how to build them.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::Api;
use crate::agent::AGENT_PAGE;
use crate::reply::{Answer, Body, Reply};
use crate::request::Request;

/// What the build of `ui/` leaves: each file as `NAME.br` and `NAME.gz`, and `index.html` plain, too.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../ui/dist"]
#[allow_missing = true]
struct Files;

/// The tag in `index.html` that relative addresses start from.
const BASE: &str = "<base href=\"/\"";

/// What the page is called where nothing else was asked for.
const TITLE: &str = "<title>binnacle</title>";

/// The page runs its own files only and asks nobody else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; frame-ancestors 'self'";

/// How the page knows that it is the one of an agent.
const AGENT_HTML: &str = "<html data-mode=\"agent\" ";

const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>binnacle</title>\
<body style=\"font: 16px/1.5 system-ui; max-width: 40em; margin: 4em auto; padding: 0 1em\">\
<h1>The page is not built into this program</h1>\
<p>The server works: its HTTP API is at <a href=\"api/v1/status/buildinfo\"><code>/api/v1</code></a>, its metrics at \
<a href=\"metrics\"><code>/metrics</code></a>.</p>\
<p>To have the page, run <code>make ui</code> in the source tree (it needs Node 20 or newer) and build the program again. \
<code>make run</code> does both.</p>";

pub(crate) async fn home(api: Arc<Api>, _: Request) -> Answer {
    let page = if api.db.is_some() { "/query" } else { AGENT_PAGE };
    let location = format!("{}{page}", api.options.external_path);
    Ok(Reply::redirect(StatusCode::FOUND, &location))
}

/// Where everything is, for whoever asks for the root while a prefix is in force.
pub(crate) async fn to_prefix(api: Arc<Api>, _: Request) -> Answer {
    Ok(Reply::redirect(StatusCode::FOUND, &api.options.route_prefix))
}

/// The old address of the query page; links in old alerts lead here.
pub(crate) async fn graph(api: Arc<Api>, request: Request) -> Answer {
    let location = format!("{}/query?{}", api.options.external_path, request.raw_query);
    Ok(Reply::redirect(StatusCode::FOUND, &location))
}

pub(crate) async fn index(api: Arc<Api>, _: Request) -> Answer {
    let html = match Files::get("index.html") {
        Some(file) => {
            let base = format!("<base href=\"{}/\"", api.options.external_path);
            let html = String::from_utf8_lossy(&file.data).replace(BASE, &base);
            match api.db {
                Some(_) => html,
                None => html.replacen("<html ", AGENT_HTML, 1),
            }
        }
        None => NOT_BUILT.to_owned(),
    };
    let html = match &api.options.page_title {
        Some(title) => html.replacen(TITLE, &format!("<title>{}</title>", escape(title)), 1),
        None => html,
    };
    let mut reply = Reply::new(StatusCode::OK, "text/html; charset=utf-8", html);
    let policy = HeaderValue::from_static(CONTENT_SECURITY_POLICY);
    reply.headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    // It names the hashed files of this very build.
    reply.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(reply)
}

/// Text as it stands in HTML.
pub(crate) fn escape(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('"', "&#34;").replace('\'', "&#39;");
    escaped.replace('<', "&lt;").replace('>', "&gt;")
}

pub(crate) async fn asset(_: Arc<Api>, request: Request) -> Answer {
    let name = request.path.trim_start_matches('/');
    let accepted = request.header(header::ACCEPT_ENCODING);
    let found = [("br", ".br"), ("gzip", ".gz"), ("", "")].into_iter().find_map(|(coding, ending)| {
        if !coding.is_empty() && !accepted.split(',').any(|c| c.trim().split(';').next() == Some(coding)) {
            return None;
        }
        Files::get(&format!("{name}{ending}")).map(|file| (coding, file))
    });
    let Some((coding, file)) = found else {
        return Ok(Reply::go_error(StatusCode::NOT_FOUND, "404 page not found\n"));
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(name)));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if name.starts_with("assets/") {
        // Their names hold a hash of what is in them.
        headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    }
    if !coding.is_empty() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let body = match file.data {
        std::borrow::Cow::Borrowed(bytes) => bytes::Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    };
    Ok(Reply { status: StatusCode::OK, headers, body: Body::Whole(body) })
}

pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}
