//! One server that is read from.

use std::sync::Arc;
use std::time::Duration;

use httpclient::{Body, Bytes, Client, Connection, Error, Head, HeaderMap, Method, Request, USER_AGENT};
use model::{Labels, MatchOp, Matcher};
use parking_lot::Mutex;
use storage::QueryContext;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, AnswerReader, Asked, MAX_SAMPLES_ANSWER, Refused};
use super::frames::Frames;
use super::metrics::EndpointMetrics;
use super::options::ReadOptions;
use crate::read::{CHUNKS, Hints, Query, ReadRequest, SAMPLES, WireMatcher};
use crate::send::headers_of;
use crate::snappy;

/// So much of the body of a refusal is shown.
const MAX_ERROR: usize = 4 << 10;
/// Pieces of an answer that wait to be read.
const PIECES: usize = 4;
/// Connections that are kept open while nothing is asked.
const KEPT_CONNECTIONS: usize = 8;
/// How often a query that waits for an answer looks whether it has to stop.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// The function that a request for labels alone names.
const SERIES: &str = "series";

/// How to reach a server, and what to ask it.
pub(super) struct Endpoint {
    pub(super) options: ReadOptions,
    required: Vec<Matcher>,
    external: Labels,
    client: Client,
    headers: HeaderMap,
    idle: Mutex<Vec<Connection>>,
    metrics: EndpointMetrics,
}

/// The two kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Samples,
    Chunks,
}

enum Piece {
    Begins(Kind),
    More(Bytes),
    End,
    Failed(String),
}

/// An answer on its way.
pub(super) struct Fetch {
    endpoint: Arc<Endpoint>,
    asked: Asked,
    pieces: mpsc::Receiver<Piece>,
}

impl Endpoint {
    pub(super) fn new(
        options: ReadOptions,
        external: &Labels,
        metrics: EndpointMetrics,
    ) -> Result<Self, String> {
        let client = Client::new(&options.client).map_err(|err| err.to_string())?;
        let headers = headers_of(
            &[
                ("content-encoding", "snappy"),
                ("accept-encoding", "snappy"),
                ("content-type", "application/x-protobuf"),
                ("user-agent", USER_AGENT),
                ("x-prometheus-remote-read-version", "0.1.0"),
            ],
            &options.headers,
        )?;
        let required =
            options.required_matchers.iter().map(|(name, value)| Matcher::equal(&**name, &**value)).collect();
        let external = if options.filter_external_labels { external.clone() } else { Labels::empty() };
        Ok(Endpoint { options, required, external, client, headers, idle: Mutex::default(), metrics })
    }

    /// The newest time that is asked for: what is stored here from `local_start` on is asked only where the options say so.
    pub(super) fn until(&self, min_time: i64, max_time: i64, local_start: i64) -> Option<i64> {
        if self.options.read_recent {
            return Some(max_time);
        }
        (min_time <= local_start).then_some(max_time.min(local_start))
    }

    /// Whether selectors of these matchers are passed on.
    pub(super) fn accepts(&self, matchers: &[Matcher]) -> bool {
        let same = |a: &Matcher, b: &Matcher| a.op == b.op && a.name == b.name && a.value == b.value;
        self.required.iter().all(|required| matchers.iter().any(|matcher| same(matcher, required)))
    }

    /// What is asked for with these matchers: they and the external labels of which they say nothing.
    pub(super) fn asked(
        &self,
        matchers: &[Matcher],
        min_time: i64,
        max_time: i64,
        names_only: bool,
    ) -> Asked {
        let mut asked =
            Asked { matchers: matchers.to_vec(), added: Vec::new(), min_time, max_time, names_only };
        for (name, value) in &self.external {
            if matchers.iter().all(|matcher| &*matcher.name != name) {
                asked.matchers.push(Matcher::equal(name, value));
                asked.added.push(name.to_owned());
            }
        }
        asked
    }

    /// Sends the request; the answer comes meanwhile.
    pub(super) fn fetch(self: &Arc<Self>, asked: Asked, runtime: &Handle) -> Fetch {
        let (sender, pieces) = mpsc::channel(PIECES);
        let (endpoint, content) = (Arc::clone(self), request(&asked));
        runtime.spawn(async move {
            let abandoned = sender.clone();
            tokio::select! {
                () = endpoint.exchange(content, &sender) => {}
                () = abandoned.closed() => {}
            }
        });
        Fetch { endpoint: Arc::clone(self), asked, pieces }
    }

    async fn exchange(&self, content: Bytes, pieces: &mpsc::Sender<Piece>) {
        self.metrics.queries.inc();
        let _queries = Decrease(&self.metrics);
        let began = Instant::now();
        let deadline = began + self.options.timeout;
        let mut connection = self.idle.lock().pop().unwrap_or_else(|| self.client.connection());
        let request =
            Request { method: Method::POST, url: &self.options.url, headers: &self.headers, content };
        // A receiver that is gone ends this from outside.
        let fail = async |why: String| drop(pieces.send(Piece::Failed(why)).await);
        let (head, mut body) = match connection.begin(&request, deadline).await {
            Ok(answered) => answered,
            Err(error) => return fail(format!("error sending request: {}", self.told(&error))).await,
        };
        if !head.status.is_success() {
            let said = beginning(&mut body, deadline).await;
            let (url, status) = (&self.options.shown_url, head.status_text());
            return fail(format!("remote server {url} returned http status {status}: {said}")).await;
        }
        let code = head.status.as_u16().to_string();
        let Some(kind) = kind_of(&head) else {
            self.metrics.duration("unsupported").observe(began.elapsed().as_secs_f64());
            self.metrics.total("unsupported", &code).inc();
            return fail(format!("unsupported content type: {}", head.header("content-type"))).await;
        };
        let label = if kind == Kind::Samples { "sampled" } else { "chunked" };
        self.metrics.duration(label).observe(began.elapsed().as_secs_f64());
        drop(pieces.send(Piece::Begins(kind)).await);
        let outcome = loop {
            match timeout_at(deadline, body.chunk()).await {
                Ok(Ok(Some(bytes))) => drop(pieces.send(Piece::More(bytes)).await),
                Ok(Ok(None)) => break Ok(()),
                Ok(Err(error)) => break Err(error.to_string()),
                Err(_) => break Err(self.timed_out()),
            }
        };
        match outcome {
            Ok(()) => {
                drop(body);
                self.keep(connection);
                drop(pieces.send(Piece::End).await);
            }
            Err(why) if kind == Kind::Samples => {
                let status = head.status_text();
                fail(format!("error reading response. HTTP status code: {status}: {why}")).await;
            }
            Err(why) => fail(why).await,
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() < KEPT_CONNECTIONS {
            idle.push(connection);
        }
    }

    fn timed_out(&self) -> String {
        let timeout = i64::try_from(self.options.timeout.as_millis()).unwrap_or(i64::MAX);
        format!("context deadline exceeded: request timed out after {}", model::duration::format(timeout))
    }

    fn told(&self, error: &Error) -> String {
        match error {
            Error::Timeout { operation, url } => format!("{operation} {url:?}: {}", self.timed_out()),
            other => other.to_string(),
        }
    }
}

/// Counts a request as done, however it ends.
struct Decrease<'a>(&'a EndpointMetrics);

impl Drop for Decrease<'_> {
    fn drop(&mut self) {
        self.0.queries.dec();
    }
}

fn kind_of(head: &Head) -> Option<Kind> {
    let content_type = head.header("content-type");
    if content_type.starts_with("application/x-protobuf") {
        return Some(Kind::Samples);
    }
    let streamed = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    content_type.starts_with(streamed).then_some(Kind::Chunks)
}

async fn beginning(body: &mut Body<'_>, deadline: Instant) -> String {
    let mut said = Vec::new();
    while let Ok(Ok(Some(bytes))) = timeout_at(deadline, body.chunk()).await {
        said.extend_from_slice(bytes.get(..MAX_ERROR - said.len()).unwrap_or(&bytes));
        if said.len() >= MAX_ERROR {
            break;
        }
    }
    String::from_utf8_lossy(&said).trim_matches('\n').to_owned()
}

/// The message, compressed.
fn request(asked: &Asked) -> Bytes {
    let matcher = |matcher: &Matcher| WireMatcher {
        kind: match matcher.op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        },
        name: matcher.name.to_string(),
        value: matcher.value.to_string(),
    };
    let function = if asked.names_only { SERIES } else { "" };
    let query = Query {
        start: asked.min_time,
        end: asked.max_time,
        matchers: asked.matchers.iter().map(matcher).collect(),
        hints: Some(Hints { function: function.to_owned(), start: asked.min_time, end: asked.max_time }),
    };
    // A stream of chunks has no place for a series of which only the labels are wanted.
    let accepted = if asked.names_only { vec![SAMPLES, CHUNKS] } else { vec![CHUNKS, SAMPLES] };
    let plain = ReadRequest { queries: vec![query], accepted }.write();
    let mut packed = Vec::new();
    snappy::compress(&plain, &mut snap::raw::Encoder::new(), &mut packed);
    packed.into()
}

impl Fetch {
    /// Waits for the answer. Not to be called by a thread that drives futures.
    pub(super) fn answer(mut self, ctx: &QueryContext, runtime: &Handle) -> Result<Answer, Refused> {
        let mut kind = Kind::Samples;
        let mut began = false;
        let asked = std::mem::replace(&mut self.asked, Asked::nothing());
        let outcome = self.read(ctx, &asked, runtime, &mut kind, &mut began);
        if began {
            let (label, code) = match (kind, &outcome) {
                (Kind::Samples, _) => ("sampled", "200"),
                (Kind::Chunks, Ok(_)) => ("chunked", "200"),
                (Kind::Chunks, Err(_)) => ("chunked", "aborted_stream"),
            };
            self.endpoint.metrics.total(label, code).inc();
        }
        outcome
    }

    fn read(
        &mut self,
        ctx: &QueryContext,
        asked: &Asked,
        runtime: &Handle,
        kind: &mut Kind,
        began: &mut bool,
    ) -> Result<Answer, Refused> {
        let mut reader = AnswerReader::new(ctx, asked);
        let mut frames = Frames::new(self.endpoint.options.chunked_read_limit);
        let mut whole: Vec<u8> = Vec::new();
        loop {
            match self.next(ctx, runtime)? {
                Piece::Begins(told) => (*kind, *began) = (told, true),
                Piece::More(bytes) if *kind == Kind::Chunks => {
                    frames.push(&bytes);
                    while let Some(message) = frames.next()? {
                        reader.frame(message)?;
                    }
                }
                Piece::More(bytes) => {
                    let len = (whole.len() + bytes.len()) as u64;
                    if len > MAX_SAMPLES_ANSWER || !ctx.has_room_for(len) {
                        return Err(Refused::Answer(format!(
                            "error reading response: {len} bytes are too many"
                        )));
                    }
                    ctx.hold_bytes(bytes.len() as u64)?;
                    whole.extend_from_slice(&bytes);
                }
                Piece::Failed(why) => return Err(Refused::Answer(why)),
                Piece::End => break,
            }
        }
        match kind {
            Kind::Chunks => frames.end()?,
            Kind::Samples => reader.samples(&whole)?,
        }
        Ok(reader.finish())
    }

    fn next(&mut self, ctx: &QueryContext, runtime: &Handle) -> Result<Piece, Refused> {
        loop {
            ctx.check()?;
            let next = self.pieces.recv();
            match runtime.block_on(async { tokio::time::timeout(CHECK_INTERVAL, next).await }) {
                Ok(Some(piece)) => return Ok(piece),
                Ok(None) => return Err(Refused::Answer("unexpected EOF".into())),
                Err(_) => {}
            }
        }
    }
}
