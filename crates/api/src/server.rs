//! Requests on their way to the handlers, and answers on their way out.

use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use httpserver::{Caller, PrivateSocket, ResponseBody, Server};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bodies::BodyError;
use crate::reply::{Body, Reply};
use crate::{Api, bodies, routes};

/// Form bodies beyond this are refused: Go's limit for parsed forms.
const MAX_FORM_BYTES: usize = 10 << 20;

/// Serves `api` on `listener` until `stop` is cancelled, then lets running requests finish.
pub async fn serve(api: Arc<Api>, server: Server, listener: TcpListener, stop: CancellationToken) {
    let handler = move |request| handle(Arc::clone(&api), request);
    server.serve(&listener, handler, stop).await;
}

/// Serves the pages of metrics, and nothing else, to this very process: whatever `--web.config.file` asks of others.
pub async fn serve_own_metrics(api: Arc<Api>, socket: PrivateSocket, stop: CancellationToken) {
    let handler = move |request: Request<Incoming>| {
        let api = Arc::clone(&api);
        async move {
            let path = request.uri().path().strip_prefix(&api.options.route_prefix);
            if path.is_some_and(|path| api.pages.iter().any(|page| page.path == path)) {
                return handle(api, request).await;
            }
            let mut refused = Response::new(ResponseBody::default());
            *refused.status_mut() = StatusCode::NOT_FOUND;
            refused
        }
    };
    socket.serve(handler, stop).await;
}

async fn handle(api: Arc<Api>, request: Request<Incoming>) -> Response<ResponseBody> {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let is_form = is_form(&parts);
    let caller = parts.extensions.get::<Caller>();
    let raw = routes::body_limit(&api, parts.uri.path()).filter(|_| parts.method == Method::POST);
    let reading = async {
        let _reading = caller.map(Caller::reading);
        match raw {
            Some(limit) => Ok((bodies::Body::default(), api.bodies.read(body, limit).await?)),
            None if is_form => Ok((api.forms.read(body, MAX_FORM_BYTES).await?, bodies::Body::default())),
            None => Ok(Default::default()),
        }
    };
    let read_timeout = api.options.read_timeout;
    let (handler, reply) = match tokio::time::timeout(read_timeout, reading).await {
        // What was a form is parameters now, which are as long: its memory is set aside until they are done with.
        Ok(Ok((form, body))) => routes::dispatch(Arc::clone(&api), parts, &form.bytes, body).await,
        Ok(Err(error)) => ("", unread(&error)),
        Err(_) => {
            ("", Reply::text(StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive in time\n"))
        }
    };
    api.metrics.requests.with(&[handler, reply.status.as_str()]).inc();
    api.metrics.duration.with(&[handler]).observe(began.elapsed().as_secs_f64());
    if let Body::Whole(body) = &reply.body {
        api.metrics.size.with(&[handler]).observe(body.len() as f64);
    }
    let mut response = Response::new(match reply.body {
        Body::Whole(bytes) => ResponseBody::whole(bytes),
        Body::Pieces(receiver) => ResponseBody::pieces(receiver),
    });
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// What clients are told whose body was not read to its end.
fn unread(error: &BodyError) -> Reply {
    let status = match error {
        BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Broken => StatusCode::BAD_REQUEST,
        BodyError::MadeRoom => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut reply = Reply::text(status, format!("{error}\n"));
    if *error == BodyError::MadeRoom {
        reply.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

/// Whether the body is a form and, as in Go, of a method whose forms are read.
fn is_form(parts: &http::request::Parts) -> bool {
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|value| value.split(';').next()).unwrap_or_default();
    matches!(parts.method, Method::POST | Method::PUT | Method::PATCH)
        && kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
