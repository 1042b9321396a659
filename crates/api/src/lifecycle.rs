//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`.

use std::sync::Arc;

use http::{Method, StatusCode};

use crate::Api;
use crate::reply::{Answer, Reply};
use crate::request::Request;

pub(crate) async fn healthy(_: Arc<Api>, request: Request) -> Answer {
    Ok(status(&request, StatusCode::OK, "Prometheus Server is Healthy.\n"))
}

pub(crate) async fn ready(api: Arc<Api>, request: Request) -> Answer {
    Ok(if api.runtime.is_ready() {
        status(&request, StatusCode::OK, "Prometheus Server is Ready.\n")
    } else {
        status(&request, StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
    })
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
    Reply::text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n"))
}

pub(crate) async fn quit(api: Arc<Api>, request: Request) -> Answer {
    if let Some(refused) = refused(&api, &request) {
        return Ok(refused);
    }
    api.runtime.quit();
    Ok(Reply::text(StatusCode::OK, "Requesting termination... Goodbye!"))
}

fn refused(api: &Api, request: &Request) -> Option<Reply> {
    if request.method != Method::POST && request.method != Method::PUT {
        return Some(Reply::text(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed"));
    }
    (!api.options.enable_lifecycle)
        .then(|| Reply::text(StatusCode::FORBIDDEN, "Lifecycle API is not enabled."))
}
