//! Which handler answers which path and method.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use httpserver::{Access, Caller};

use crate::lookup::{self, Found, Line};
use crate::reply::{Answer, ApiError, Body, Coding, ErrorKind, Reply, compress};
use crate::request::{Params, Request};
use crate::view::Seen;
use crate::{
    Api, admin, agent, backfill, bodies, consoles, debug, features, federate, lifecycle, notifications,
    openapi, otlp_metrics, page, query, remote_read, remote_write, rule_groups, search, self_metrics, series,
    status, targets, user_files,
};

type Handler = fn(Arc<Api>, Request) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// One line of the table.
struct Route {
    /// Segments; `:name` stands for one, `*name` for the rest. Also the `handler` label of the HTTP metrics.
    pattern: &'static str,
    methods: &'static [Method],
    handler: Handler,
    seen: Seen,
}

impl Line for &'static Route {
    fn pattern(self) -> &'static str {
        self.pattern
    }
    fn methods(self) -> &'static [Method] {
        self.methods
    }
}

const DELETE: &[Method] = &[Method::DELETE];
const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::POST];
const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
const GET_HEAD: &[Method] = &[Method::GET, Method::HEAD];
const GET_POST_PUT: &[Method] = &[Method::GET, Method::POST, Method::PUT];

macro_rules! route {
    ($methods:expr, $pattern:expr, $handler:path) => {
        route!($methods, $pattern, $handler, Everything)
    };
    ($methods:expr, $pattern:expr, $handler:path, $seen:ident) => {
        Route {
            pattern: $pattern,
            methods: $methods,
            handler: |api, request| Box::pin($handler(api, request)),
            seen: Seen::$seen,
        }
    };
}

/// Paths under `/api/v1`: with CORS headers, `OPTIONS`, compression.
const API: &[Route] = &[
    route!(GET_POST, "/api/v1/query", query::instant, View),
    route!(GET_POST, "/api/v1/query_range", query::range, View),
    route!(GET_POST, "/api/v1/query_explain", query::explain, View),
    route!(GET_POST, "/api/v1/query_exemplars", query::exemplars, View),
    route!(GET_POST, "/api/v1/format_query", query::format, Nothing),
    route!(GET_POST, "/api/v1/parse_query", query::tree, Nothing),
    route!(GET_POST, "/api/v1/labels", series::label_names, View),
    route!(GET, "/api/v1/label/:name/values", series::label_values, View),
    route!(GET_POST, "/api/v1/series", series::series, View),
    route!(GET_POST, "/api/v1/search/metric_names", search::metric_names, View),
    route!(GET_POST, "/api/v1/search/label_names", search::label_names, View),
    route!(GET_POST, "/api/v1/search/label_values", search::label_values, View),
    route!(GET, "/api/v1/scrape_pools", targets::pools),
    route!(GET, "/api/v1/scrape_pools/config", targets::pool_config),
    route!(GET, "/api/v1/targets", targets::targets),
    route!(GET, "/api/v1/targets/metadata", targets::target_metadata),
    route!(GET, "/api/v1/targets/relabel_steps", targets::relabel_steps),
    route!(GET, "/api/v1/metadata", targets::metadata, View),
    route!(GET, "/api/v1/alertmanagers", status::alertmanagers),
    route!(GET, "/api/v1/alerts", rule_groups::alerts, View),
    route!(GET, "/api/v1/rules", rule_groups::rules, View),
    route!(POST, "/api/v1/rules/backfill", backfill::begin),
    route!(GET, "/api/v1/rules/backfill", backfill::list),
    route!(DELETE, "/api/v1/rules/backfill/:id", backfill::cancel),
    route!(GET, "/api/v1/notifications", notifications::list),
    route!(GET, "/api/v1/notifications/live", notifications::live),
    route!(GET, "/api/v1/features", features::features),
    route!(GET, "/api/v1/openapi.yaml", openapi::openapi, Nothing),
    route!(GET, "/api/v1/status/config", status::config),
    route!(GET, "/api/v1/status/flags", status::flags),
    route!(GET, "/api/v1/status/buildinfo", status::build_info, Nothing),
    route!(GET, "/api/v1/status/runtimeinfo", status::runtime_info),
    route!(GET, "/api/v1/status/walreplay", status::wal_replay, Nothing),
    route!(GET, "/api/v1/status/tsdb", status::tsdb),
    route!(GET, "/api/v1/status/tsdb/blocks", status::blocks),
    route!(GET, "/api/v1/status/self_metrics", self_metrics::self_metrics),
    route!(POST_PUT, "/api/v1/admin/tsdb/delete_series", admin::delete_series),
    route!(POST_PUT, "/api/v1/admin/tsdb/clean_tombstones", admin::clean_tombstones),
    route!(POST_PUT, "/api/v1/admin/tsdb/snapshot", admin::snapshot),
    route!(POST, WRITE, remote_write::write),
    route!(POST, OTLP, otlp_metrics::metrics),
    route!(POST, READ, remote_read::read, View),
];

/// Below which the API is.
const API_ROOT: &str = "/api/v1";

/// Where samples are written to.
const WRITE: &str = "/api/v1/write";

/// Where metrics are pushed to by OTLP.
const OTLP: &str = "/api/v1/otlp/v1/metrics";

/// Where others read.
const READ: &str = "/api/v1/read";

const OPENAPI: &str = "/api/v1/openapi.yaml";

/// The longest body that is read of a POST of this path, unless it is a form; none where none is.
pub(crate) fn body_limit(api: &Api, path: &str) -> Option<usize> {
    match path.strip_prefix(api.options.route_prefix.as_str())? {
        WRITE if api.options.write_receiver.is_some() => Some(remote::MAX_WRITE_BODY),
        OTLP if api.options.otlp_receiver.is_some() => Some(otlp::MAX_BODY),
        READ => Some(remote::MAX_READ_BODY),
        _ => None,
    }
}

/// Those of them that have an answer before the log is replayed.
const WHILE_STARTING: [&str; 3] =
    ["/api/v1/status/walreplay", "/api/v1/notifications", "/api/v1/notifications/live"];

/// Those that are not for pages of other origins: they are for servers, or, as in Prometheus, describe the rest.
const WITHOUT_CORS: [&str; 4] = [OPENAPI, OTLP, READ, WRITE];

/// Those that are never compressed: compressed already, or streams that would stay in the encoder.
const UNCOMPRESSED: [&str; 10] = [
    OPENAPI,
    OTLP,
    READ,
    WRITE,
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/search/metric_names",
    "/api/v1/search/label_names",
    "/api/v1/search/label_values",
    "/api/v1/status/walreplay",
];

/// Where the operator's own files are, if there are any.
const USER_FILES: &str = "/user/*filepath";

/// What is not under the prefix, if there is one.
const TO_PREFIX: &[Route] = &[route!(GET, "/", page::to_prefix, Nothing)];

/// Everything else.
const PLAIN: &[Route] = &[
    route!(GET_HEAD, "/-/healthy", lifecycle::healthy, Nothing),
    route!(GET_HEAD, "/-/ready", lifecycle::ready, Nothing),
    route!(GET_POST_PUT, "/-/reload", lifecycle::reload),
    route!(GET_POST_PUT, "/-/quit", lifecycle::quit),
    route!(GET, "/consoles/*filepath", consoles::console),
    route!(GET, USER_FILES, user_files::user),
    route!(GET, "/metrics", self_metrics::page),
    route!(GET, "/metrics/node", self_metrics::page),
    route!(GET, "/federate", federate::federate, View),
    route!(GET_POST, "/debug/*subpath", debug::debug),
    route!(GET, "/version", status::version, Nothing),
    route!(GET, "/", page::home, Nothing),
    route!(GET, "/graph", page::graph, Nothing),
    route!(GET, "/assets/*filepath", page::asset, Nothing),
    route!(GET, "/favicon.svg", page::asset, Nothing),
    route!(GET, "/favicon.ico", page::asset, Nothing),
    route!(GET, "/manifest.json", page::asset, Nothing),
    route!(GET, "/query", page::index, Nothing),
    route!(GET, "/agent", page::index, Nothing),
    route!(GET, "/alerts", page::index, Nothing),
    route!(GET, "/targets", page::index, Nothing),
    route!(GET, "/rules", page::index, Nothing),
    route!(GET, "/service-discovery", page::index, Nothing),
    route!(GET, "/status", page::index, Nothing),
    route!(GET, "/tsdb-status", page::index, Nothing),
    route!(GET, "/flags", page::index, Nothing),
    route!(GET, "/config", page::index, Nothing),
    route!(GET, "/alertmanager-discovery", page::index, Nothing),
];

/// Finds and runs the handler; returns its pattern, for metrics, and the answer.
pub(crate) async fn dispatch(
    api: Arc<Api>,
    parts: http::request::Parts,
    form: &[u8],
    body: bodies::Body,
) -> (&'static str, Reply) {
    let raw_query = parts.uri.query().unwrap_or("").to_owned();
    let caller = parts.extensions.get::<Caller>();
    let request = Request {
        method: parts.method,
        path: String::new(),
        params: Params::parse(form, &raw_query),
        raw_query,
        access: caller.map_or(Access::Nothing, |caller| caller.access.clone()),
        client: caller.map(|caller| caller.address.ip()),
        headers: parts.headers,
        path_param: String::new(),
        body,
    };
    let full = parts.uri.path();
    let prefix = api.options.route_prefix.clone();
    let mut cleaned = lookup::clean(full);
    if cleaned.strip_prefix(&prefix) == Some(API_ROOT) {
        cleaned.push('/');
    }
    if cleaned != full {
        return ("", redirect(&request, StatusCode::TEMPORARY_REDIRECT, &cleaned));
    }
    let Some(full) = lookup::decode(full) else {
        return ("", Reply::text(StatusCode::BAD_REQUEST, "400 Bad Request"));
    };
    let rest = full.strip_prefix(&prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match rest.and_then(|rest| rest.strip_prefix(API_ROOT)).filter(|rest| rest.starts_with('/')) {
        Some(path) => api_call(api, request, path).await,
        None => match rest {
            _ if !prefix.is_empty() && full == "/" => plain_call(api, request, "/", TO_PREFIX).await,
            Some("") if request.method == Method::GET => ("", moved(&request, &format!("{prefix}/"))),
            Some(path) if !path.is_empty() => plain_call(api, request, path, PLAIN).await,
            _ => ("", not_found()),
        },
    }
}

/// A call of what is not the API, whose `path` is below the prefix.
async fn plain_call(
    api: Arc<Api>,
    mut request: Request,
    path: &str,
    table: &'static [Route],
) -> (&'static str, Reply) {
    path.clone_into(&mut request.path);
    let served = |route: &&Route| {
        agent::has_page(route.pattern, api.db.is_none())
            && (route.pattern != USER_FILES || api.options.user_assets.is_some())
    };
    match lookup::find(table.iter().filter(served), &request.method, path) {
        Found::Route(route, param) => {
            request.path_param = param;
            (route.pattern, run(api, route, request).await)
        }
        Found::Elsewhere(path) => ("", moved(&request, &(api.options.route_prefix.clone() + &path))),
        Found::Otherwise(methods) if request.method == Method::OPTIONS => {
            let mut reply = Reply::empty(StatusCode::OK);
            allow(&mut reply, &methods);
            ("", reply)
        }
        Found::Otherwise(methods) => ("", method_not_allowed(&methods, &request.method)),
        Found::Nothing => ("", not_found()),
    }
}

/// A call of the API, whose `path` is below its root.
async fn api_call(api: Arc<Api>, mut request: Request, path: &str) -> (&'static str, Reply) {
    request.path = format!("{API_ROOT}{path}");
    let origin = request.header(header::ORIGIN).to_owned();
    let coding = Coding::accepted(request.header(header::ACCEPT_ENCODING));
    if request.method == Method::OPTIONS {
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        vary_by_coding(&mut reply);
        add_cors(&api, &origin, &mut reply);
        return ("/api/v1/*path", reply);
    }
    let (route, param) = match lookup::find(API.iter(), &request.method, &request.path) {
        Found::Route(route, param) => (route, param),
        // As Prometheus has it, whose router does not know what it is mounted below.
        Found::Elsewhere(path) => {
            return ("", moved(&request, path.strip_prefix(API_ROOT).unwrap_or(&path)));
        }
        Found::Otherwise(methods) => return ("", method_not_allowed(&methods, &request.method)),
        Found::Nothing => return ("", not_found()),
    };
    request.path_param = param;
    if !api.runtime.is_ready() && !WHILE_STARTING.contains(&route.pattern) {
        return (route.pattern, lifecycle::unavailable(api.runtime.is_stopping()));
    }
    let mut reply = match api.db {
        None if agent::refuses(route.pattern, api.options.search_max_limit.is_some()) => {
            ApiError::new(ErrorKind::Execution, agent::UNAVAILABLE).into_reply()
        }
        _ => run(Arc::clone(&api), route, request).await,
    };
    if !UNCOMPRESSED.contains(&route.pattern) {
        vary_by_coding(&mut reply);
        compress(&mut reply, coding);
    }
    if !WITHOUT_CORS.contains(&route.pattern) {
        add_cors(&api, &origin, &mut reply);
    }
    (route.pattern, reply)
}

/// Sends the client to a path that is percent-encoded, with the query it has.
fn redirect(request: &Request, status: StatusCode, path: &str) -> Reply {
    let mut location = path.to_owned();
    if !request.raw_query.is_empty() {
        location.push('?');
        location.push_str(&request.raw_query);
    }
    let mut reply = Reply::redirect(status, &location);
    // Only those who look at pages get one.
    if request.method != Method::GET && request.method != Method::HEAD {
        reply.headers.remove(header::CONTENT_TYPE);
        reply.body = Body::Whole(Bytes::new());
    }
    reply
}

/// Sends the client to where the route is.
fn moved(request: &Request, path: &str) -> Reply {
    let status = match request.method {
        Method::GET => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::TEMPORARY_REDIRECT,
    };
    redirect(request, status, &lookup::encode(path))
}

async fn run(api: Arc<Api>, route: &Route, request: Request) -> Reply {
    if !route.seen.is_for(&request.access) {
        return forbidden(&request);
    }
    match (route.handler)(api, request).await {
        Ok(reply) => reply,
        Err(error) => error.into_reply(),
    }
}

fn not_found() -> Reply {
    Reply::go_error(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// What those are told who may see too little for a route.
fn forbidden(request: &Request) -> Reply {
    let why = match request.access {
        Access::Nothing => "no rule of tenancy is for this request",
        _ => "this tells more than the caller may see (tenancy)",
    };
    match request.path.starts_with("/api/") {
        true => ApiError::new(ErrorKind::Forbidden, why).into_reply(),
        false => Reply::text(StatusCode::FORBIDDEN, format!("{why}\n")),
    }
}

fn method_not_allowed(methods: &[Method], asked: &Method) -> Reply {
    let text = if asked == Method::HEAD { "" } else { "Method Not Allowed\n" };
    let mut reply = Reply::go_error(StatusCode::METHOD_NOT_ALLOWED, text);
    allow(&mut reply, methods);
    reply
}

fn allow(reply: &mut Reply, methods: &[Method]) {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        reply.headers.insert(header::ALLOW, value);
    }
}

/// Caches must not give one client what was packed for another.
fn vary_by_coding(reply: &mut Reply) {
    reply.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
}

fn add_cors(api: &Api, origin: &str, reply: &mut Reply) {
    let headers = &mut reply.headers;
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if origin.is_empty() {
        return;
    }
    const SET: [(HeaderName, &str); 3] = [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ];
    for (name, value) in SET {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if api.options.cors_origin.is_match(origin)
        && let Ok(value) = HeaderValue::from_str(origin)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_described_and_the_other_way_round() {
        let served = API.iter().filter(|route| route.pattern != OPENAPI).flat_map(|route| {
            let path =
                route.pattern.trim_start_matches("/api/v1").replace(":name", "{name}").replace(":id", "{id}");
            route.methods.iter().map(move |method| format!("{method} {path}"))
        });
        assert_eq!(openapi::described(), served.collect());
    }
}
