//! Bodies of answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::crowd::Working;

/// The body of an answer.
pub struct ResponseBody {
    content: Content,
    /// The connection is busy until it is sent.
    pub(crate) working: Option<Working>,
}

enum Content {
    Whole(Full<Bytes>),
    Pieces(mpsc::Receiver<Result<Bytes, std::io::Error>>),
}

impl ResponseBody {
    /// All of it.
    pub fn whole(bytes: impl Into<Bytes>) -> ResponseBody {
        ResponseBody { content: Content::Whole(Full::new(bytes.into())), working: None }
    }

    /// Pieces as they are made; an error ends the connection so that the client sees the answer is not complete.
    #[must_use]
    pub fn pieces(receiver: mpsc::Receiver<Result<Bytes, std::io::Error>>) -> ResponseBody {
        ResponseBody { content: Content::Pieces(receiver), working: None }
    }
}

impl Default for ResponseBody {
    fn default() -> Self {
        ResponseBody::whole(Bytes::new())
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if let Some(working) = &this.working {
            working.is_asked_for_more();
        }
        let polled = match &mut this.content {
            Content::Whole(full) => Pin::new(full).poll_frame(cx).map_err(|never| match never {}),
            Content::Pieces(receiver) => {
                receiver.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        };
        if let (Some(working), Poll::Ready(Some(_))) = (&this.working, &polled) {
            working.hands_over();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(full) => full.is_end_stream(),
            Content::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(full) => full.size_hint(),
            Content::Pieces(_) => SizeHint::default(),
        }
    }
}
