//! `/api/v1/otlp/v1/metrics`: OTLP metrics in.

use std::sync::Arc;

use http::StatusCode;
use http::header;

use crate::Api;
use crate::reply::{Answer, ApiError, ErrorKind, Reply};
use crate::request::Request;

pub(crate) async fn metrics(api: Arc<Api>, request: Request) -> Answer {
    let Some(receiver) = api.options.otlp_receiver.clone() else {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
        return Ok(Reply::go_error(StatusCode::NOT_FOUND, text));
    };
    let now = api.now();
    let _slot = api.write_slots.acquire().await;
    let answer = tokio::task::spawn_blocking(move || {
        let encoding = request.header(header::CONTENT_ENCODING);
        receiver.receive(encoding, request.header(header::CONTENT_TYPE), &request.body.bytes, now)
    });
    let otlp::Answer { status, text } =
        answer.await.map_err(|panic| ApiError::new(ErrorKind::Internal, panic.to_string()))?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(match text {
        Some(text) => Reply::go_error(status, text),
        None => Reply::empty(status),
    })
}
