//! `/api/v1/otlp/v1/metrics`: OTLP metrics in.

use std::sync::Arc;

use http::StatusCode;

use crate::Api;
use crate::remote_write::{received, reply};
use crate::reply::{Answer, Reply};
use crate::request::Request;

pub(crate) async fn metrics(api: Arc<Api>, request: Request) -> Answer {
    let Some(receiver) = api.options.otlp_receiver.clone() else {
        let text = "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n";
        return Ok(Reply::go_error(StatusCode::NOT_FOUND, text));
    };
    let otlp::Answer { status, text } =
        received(api, request, move |body, encoding, kind, now| receiver.receive(encoding, kind, body, now))
            .await?;
    Ok(reply(status, text))
}
