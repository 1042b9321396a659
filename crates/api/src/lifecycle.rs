//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::Api;
use crate::reply::{Answer, Body, Reply};
use crate::request::Request;

/// Whether who is not ready is about to end, or has only begun.
pub(crate) const STOPPING: HeaderName = HeaderName::from_static("x-prometheus-stopping");

pub(crate) async fn healthy(api: Arc<Api>, request: Request) -> Answer {
    Ok(status(&request, StatusCode::OK, &format!("{} is Healthy.\n", api.app_name())))
}

pub(crate) async fn ready(api: Arc<Api>, request: Request) -> Answer {
    Ok(if api.runtime.is_ready() {
        status(&request, StatusCode::OK, &format!("{} is Ready.\n", api.app_name()))
    } else {
        let mut reply = unavailable(api.runtime.is_stopping());
        if request.method == Method::HEAD {
            reply.body = Body::Whole(Bytes::new());
        }
        reply
    })
}

/// What is answered before start-up is over, and when the end has begun.
pub(crate) fn unavailable(stopping: bool) -> Reply {
    let mut reply = Reply::text(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
    let stopping = HeaderValue::from_static(if stopping { "true" } else { "false" });
    reply.headers.insert(STOPPING, stopping);
    reply
}

fn status(request: &Request, code: StatusCode, text: &str) -> Reply {
    if request.method == Method::HEAD { Reply::empty(code) } else { Reply::text(code, text) }
}

pub(crate) async fn reload(api: Arc<Api>, request: Request) -> Answer {
    if let Some(refused) = refused(&api, &request) {
        return Ok(refused);
    }
    let reloaded = tokio::task::spawn_blocking(move || api.runtime.reload()).await;
    Ok(match reloaded {
        Ok(Ok(())) => Reply::empty(StatusCode::OK),
        Ok(Err(why)) => failed(&why),
        Err(panic) => failed(&panic.to_string()),
    })
}

fn failed(why: &str) -> Reply {
    Reply::go_error(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n"))
}

pub(crate) async fn quit(api: Arc<Api>, request: Request) -> Answer {
    if let Some(refused) = refused(&api, &request) {
        return Ok(refused);
    }
    Ok(Reply::text(
        StatusCode::OK,
        match api.runtime.quit() {
            true => "Requesting termination... Goodbye!",
            false => "Termination already in progress.",
        },
    ))
}

fn refused(api: &Api, request: &Request) -> Option<Reply> {
    if request.method != Method::POST && request.method != Method::PUT {
        return Some(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"));
    }
    (!api.options.enable_lifecycle)
        .then(|| Reply::text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled."))
}
