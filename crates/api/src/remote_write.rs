//! `/api/v1/write`: remote write in.

use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use remote::{WriteAnswer, Written};

use crate::Api;
use crate::reply::{Answer, ApiError, ErrorKind, Reply};
use crate::request::Request;

pub(crate) async fn write(api: Arc<Api>, request: Request) -> Answer {
    let Some(receiver) = api.options.write_receiver.clone() else {
        let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver\n";
        return Ok(Reply::go_error(StatusCode::NOT_FOUND, text));
    };
    let WriteAnswer { status, text, written } =
        received(api, request, move |body, encoding, kind, now| receiver.receive(encoding, kind, body, now))
            .await?;
    let mut reply = reply(status, text);
    if let Some(written) = written {
        add_written(&mut reply.headers, written);
    }
    Ok(reply)
}

/// What `receive` makes of the body, content encoding and content type of a request, and the time. Waits for its turn: few are
/// worked on at once.
pub(crate) async fn received<A: Send + 'static>(
    api: Arc<Api>,
    request: Request,
    receive: impl FnOnce(&[u8], &str, &str, i64) -> A + Send + 'static,
) -> Result<A, ApiError> {
    let now = api.now();
    let _slot = api.write_slots.acquire().await;
    let answer = tokio::task::spawn_blocking(move || {
        let encoding = request.header(header::CONTENT_ENCODING);
        receive(&request.body.bytes, encoding, request.header(header::CONTENT_TYPE), now)
    });
    answer.await.map_err(|panic| ApiError::new(ErrorKind::Internal, panic.to_string()))
}

/// A receiver's status, with what is wrong if anything is.
pub(crate) fn reply(status: u16, text: Option<String>) -> Reply {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match text {
        Some(text) => Reply::go_error(status, text),
        None => Reply::empty(status),
    }
}

fn add_written(headers: &mut HeaderMap, written: Written) {
    let counts = [
        ("x-prometheus-remote-write-samples-written", written.samples),
        ("x-prometheus-remote-write-histograms-written", written.histograms),
        ("x-prometheus-remote-write-exemplars-written", written.exemplars),
    ];
    for (name, count) in counts {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(count));
    }
}
