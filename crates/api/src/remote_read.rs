//! `/api/v1/read`: remote read for others.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use remote::{ReadAnswer, ReadError};
use storage::QueryContext;
use tokio::sync::oneshot;

use crate::Api;
use crate::pace::{Pieces, Place};
use crate::reply::{Answer, Body, Reply};
use crate::request::Request;

/// What the memory of remote read is accounted as.
const ACCOUNT: &str = "remote_read";

pub(crate) async fn read(api: Arc<Api>, request: Request) -> Answer {
    let external: BTreeMap<String, String> = api.runtime.external_labels().into_iter().collect();
    let queries = api.options.read_server.queries().clone();
    queries.inc();
    // It is never closed.
    let Ok(slot) = Arc::clone(&api.read_slots).acquire_owned().await else {
        return Ok(Reply::go_error(StatusCode::INTERNAL_SERVER_ERROR, "remote read has ended\n"));
    };
    let place = Place::new(slot, &api.waiting_pages);
    let (head, begun) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        work(&api, &external, &request, place, head);
        queries.dec();
    });
    let reply = match begun.await {
        Ok(Ok((answer, body))) => {
            let mut reply = Reply::empty(StatusCode::OK);
            add_headers(&mut reply, answer);
            reply.body = body;
            reply
        }
        Ok(Err(error)) => refusal(&error),
        Err(_) => Reply::go_error(StatusCode::INTERNAL_SERVER_ERROR, "remote read has failed\n"),
    };
    Ok(reply)
}

fn add_headers(reply: &mut Reply, answer: ReadAnswer) {
    let content_type = match answer {
        ReadAnswer::Samples => "application/x-protobuf",
        ReadAnswer::Chunks => "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
    };
    reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if answer == ReadAnswer::Samples {
        reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    }
}

/// The kind of answer was told already, in headers that an error leaves as they are.
fn refusal(error: &ReadError) -> Reply {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = Reply::go_error(status, format!("{}\n", error.text));
    if error.begun == Some(ReadAnswer::Samples) {
        reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    }
    reply
}

type Begun = Result<(ReadAnswer, Body), ReadError>;

/// Reads, and sends pieces as they are made. What goes wrong before the first piece is told to `head`.
fn work(
    api: &Api,
    external: &BTreeMap<String, String>,
    request: &Request,
    place: Place,
    head: oneshot::Sender<Begun>,
) {
    let ctx = QueryContext::unlimited().with_memory(api.options.memory.account(ACCOUNT));
    let (mut pieces, receiver) = Pieces::new(place);
    let mut waiting = Some((head, receiver));
    let gone = || ReadError { status: 499, text: String::new(), begun: None };
    let mut send = |piece: Vec<u8>, kind: ReadAnswer, waiting: &mut Option<_>| {
        if let Some((head, receiver)) = waiting.take() {
            let head: oneshot::Sender<Begun> = head;
            head.send(Ok((kind, Body::Pieces(receiver)))).map_err(|_| gone())?;
        }
        pieces.send(piece).map_err(|_| gone())
    };
    let told = std::cell::Cell::new(ReadAnswer::Samples);
    let server = api.options.read_server.reading(request.view(api).shared_store());
    let outcome =
        server.answer(&ctx, external, &request.body.bytes, |answer| told.set(answer), &mut |piece| {
            send(piece, told.get(), &mut waiting)
        });
    let kind = told.get();
    for text in ctx.warnings().texts() {
        tracing::warn!(component = "web", err = text, "Warnings on remote read query");
    }
    match (outcome, waiting) {
        (Ok(()), None) => {}
        (Ok(()), Some((head, _))) => {
            let _ = head.send(Ok((kind, Body::Whole(Bytes::new()))));
        }
        (Err(error), Some((head, _))) => {
            let _ = head.send(Err(error));
        }
        (Err(error), None) => {
            tracing::error!(component = "web", err = error.text, "remote read failed");
            // The connection is broken off: what lacks series must not look whole.
            pieces.break_off(std::io::Error::other(error.text));
        }
    }
}
