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
    let now = api.now();
    let _slot = api.write_slots.acquire().await;
    let answer = tokio::task::spawn_blocking(move || {
        let encoding = request.header(header::CONTENT_ENCODING);
        receiver.receive(encoding, request.header(header::CONTENT_TYPE), &request.body.bytes, now)
    });
    let WriteAnswer { status, text, written } =
        answer.await.map_err(|panic| ApiError::new(ErrorKind::Internal, panic.to_string()))?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = match text {
        Some(text) => Reply::go_error(status, text),
        None => Reply::empty(status),
    };
    if let Some(written) = written {
        add_written(&mut reply.headers, written);
    }
    Ok(reply)
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
