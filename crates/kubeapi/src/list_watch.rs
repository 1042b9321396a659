//! Follows a selection: everything that is there, then what changes, for as long as somebody wants to know.
//!
//! The full state comes as a stream (`sendInitialEvents`) where the server offers that, else as a list in pages. A watch
//! that ends, as all do after some minutes, goes on from the version of its last event or bookmark, so nothing is lost
//! and nothing is asked for twice; a version that is too old, told by a status or in the stream, brings the full state
//! again. Failures are repeated after growing, jittered pauses.

use std::sync::Arc;
use std::time::Duration;

use httpclient::{BodyShare, Client, Head, HeaderMap, HeaderValue, Url};
use tokio::time::{Instant, timeout_at};

use crate::access::Reached;
use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::decode::{self, Decode, Encoded, Encoding, Event, Unreadable};
use crate::error::Error;
use crate::pace::{BackOff, Chance};
use crate::request::Selection;
use crate::stream::Events;

/// How the server is asked. The default suits a real one.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Objects of a page of a list.
    pub page: usize,
    /// How long a watch lasts, at least and at most: chosen by chance, so that not all end together.
    pub watch: (Duration, Duration),
    /// The first pause after a failure, which grows up to twice by chance and doubles from failure to failure.
    pub first_pause: Duration,
    /// The longest pause, before chance.
    pub longest_pause: Duration,
    /// How long the server may take to begin an answer, and to send a page.
    pub answer: Duration,
    /// How long a list that is streamed may pause: a server that does not know such lists never ends them.
    pub silence: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            page: 500,
            watch: (Duration::from_secs(300), Duration::from_secs(600)),
            first_pause: Duration::from_millis(800),
            longest_pause: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            silence: Duration::from_secs(30),
        }
    }
}

/// The longest page, as sent and decompressed.
const LONGEST_PAGE: usize = 512 << 20;
/// How much of a refusal is read.
const LONGEST_REFUSAL: usize = 64 << 10;
/// How much longer than agreed a watch may last.
const GRACE: Duration = Duration::from_secs(30);
/// Objects of a page that are decoded before others have a turn on this thread.
const TURN: usize = 16;
/// A watch that ends sooner, without an event, is a failure.
const TOO_SHORT: Duration = Duration::from_secs(1);

/// Runs until dropped.
pub(crate) async fn follow<D: Decode>(
    cluster: Arc<Cluster>,
    selection: Selection,
    decoder: D,
    cache: Arc<Cache<D::Object>>,
) {
    let behaviour = cluster.behaviour.clone();
    let mut back_off = BackOff::new(behaviour.first_pause, behaviour.longest_pause);
    let mut follower = Follower {
        cluster,
        behaviour: behaviour.clone(),
        selection,
        decoder,
        cache,
        chance: Chance::new(),
        version: None,
        streams: true,
        pages_expired: 0,
        progress: false,
        way: 0,
    };
    loop {
        follower.progress = false;
        let outcome = follower.pass().await;
        if follower.progress {
            back_off.reset();
        }
        let err = match outcome {
            Ok(Next::AtOnce) => continue,
            Ok(Next::Later) => {
                let pause = behaviour.first_pause.mul_f64(1.0 + follower.chance.next());
                tokio::time::sleep(pause).await;
                continue;
            }
            Err(err) => err,
        };
        let resource = follower.selection.resource;
        let mut pause = Duration::ZERO;
        match &err {
            Error::StreamRefused(reason) => {
                tracing::info!(component = "kubernetes", resource, %reason, "Listing in pages, since the server does not stream lists");
                follower.streams = false;
            }
            Error::Expired => {
                tracing::info!(
                    component = "kubernetes",
                    resource,
                    "Listing again, since the resource version is too old"
                );
                follower.version = None;
                if !follower.progress {
                    pause = back_off.pause(&mut follower.chance);
                }
            }
            _ => {
                follower.cluster.metrics.failures.inc();
                pause = back_off.pause(&mut follower.chance);
                if let Error::Status { code, retry_after, .. } = &err {
                    if *code == 401 {
                        follower.cluster.forget(follower.way).await;
                    }
                    pause = pause.max(Duration::from_secs(retry_after.unwrap_or(0).min(120)));
                }
                let namespace = follower.selection.namespace.as_str();
                tracing::warn!(component = "kubernetes", resource, namespace, %err, "Failed to watch");
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// When to go on after a list or a watch that was no failure.
enum Next {
    AtOnce,
    /// After the first pause: the connection did not last, and the next one may not either.
    Later,
}

struct Follower<D: Decode> {
    cluster: Arc<Cluster>,
    behaviour: Behaviour,
    selection: Selection,
    decoder: D,
    cache: Arc<Cache<D::Object>>,
    chance: Chance,
    /// What the cache holds; none before the first full state and when it is too old.
    version: Option<String>,
    /// Whether full states are asked for as streams.
    streams: bool,
    /// How many lists in a row expired between two pages.
    pages_expired: u32,
    /// Whether anything came in this pass.
    progress: bool,
    /// The number of the way to the server that the last request went.
    way: u64,
}

impl<D: Decode> Follower<D> {
    /// One list or one watch.
    async fn pass(&mut self) -> Result<Next, Error> {
        let Reached { client, base, number, .. } = self.cluster.reach().await?;
        self.way = number;
        if self.version.is_none() && !self.streams {
            self.list(&client, &base).await
        } else {
            self.watch(&client, &base).await
        }
    }

    async fn list(&mut self, client: &Client, base: &Url) -> Result<Next, Error> {
        let generation = self.cache.begin();
        // A list whose pages expire before it ends is read in one piece.
        let limit = if self.pages_expired < 2 { self.behaviour.page } else { 0 };
        let mut connection = client.connection();
        let mut headers = self.headers();
        headers.insert("accept-encoding", HeaderValue::from_static("gzip"));
        let (mut next, mut body, mut plain) = (String::new(), Vec::new(), Vec::new());
        loop {
            let url = self.selection.list_url(base, limit, &next);
            body.clear();
            let start = Instant::now();
            let head = connection
                .get(
                    &url,
                    &headers,
                    LONGEST_PAGE,
                    start + self.behaviour.answer,
                    &mut body,
                    &mut BodyShare::default(),
                )
                .await
                .map_err(|err| self.unreached(&err))?;
            let metrics = &self.cluster.metrics;
            metrics.by_status.with(&[head.status.as_str()]).inc();
            metrics.duration.with(&[&self.selection.template()]).observe(start.elapsed().as_secs_f64());
            let text = if head.header("content-encoding") == "gzip" {
                plain.clear();
                httpclient::gunzip(&body, &mut plain, LONGEST_PAGE)
                    .map_err(|err| Error::Connection(err.to_string()))?;
                &plain
            } else {
                &body
            };
            if head.status.as_u16() != 200 {
                if head.status.as_u16() == 410 && !next.is_empty() {
                    self.pages_expired += 1;
                }
                return Err(refusal(&head, text));
            }
            let list = decode::list(Encoding::of(head.header("content-type")), text)?;
            for (i, item) in list.items.into_iter().enumerate() {
                self.put(item);
                if i % TURN == TURN - 1 {
                    tokio::task::yield_now().await;
                }
            }
            self.progress = true;
            next = list.next;
            if next.is_empty() {
                self.cache.finish(generation);
                self.pages_expired = 0;
                self.version = Some(list.version);
                return Ok(Next::AtOnce);
            }
        }
    }

    async fn watch(&mut self, client: &Client, base: &Url) -> Result<Next, Error> {
        let lasts = self.chance.between(self.behaviour.watch);
        let url = self.selection.watch_url(base, self.version.as_deref(), lasts.as_secs().max(1));
        let begun = Instant::now();
        let mut connection = client.connection();
        let (head, mut body) = connection
            .open(&url, &self.headers(), begun + self.behaviour.answer)
            .await
            .map_err(|err| self.unreached(&err))?;
        self.cluster.metrics.by_status.with(&[head.status.as_str()]).inc();
        if head.status.as_u16() != 200 {
            let mut text = Vec::new();
            while text.len() < LONGEST_REFUSAL
                && let Ok(Ok(Some(piece))) = timeout_at(begun + self.behaviour.answer, body.chunk()).await
            {
                text.extend_from_slice(&piece);
            }
            return Err(match refusal(&head, &text) {
                // 400 and 422: the parameters are not known or not allowed.
                Error::Status { code: 400 | 422, message, .. } if self.version.is_none() => {
                    Error::StreamRefused(message)
                }
                err => err,
            });
        }
        // The full state that is being streamed, until it is complete.
        let mut initial = self.version.is_none().then(|| self.cache.begin());
        let encoding = Encoding::of(head.header("content-type"));
        let mut events = Events::new(encoding);
        let ends = begun + lasts + GRACE;
        loop {
            let until =
                if initial.is_some() { ends.min(Instant::now() + self.behaviour.silence) } else { ends };
            match timeout_at(until, body.chunk()).await {
                Ok(Ok(Some(piece))) => {
                    events.push(&piece, |event| self.take(encoding, event, &mut initial))?;
                }
                Ok(Err(err)) if initial.is_none() && self.progress => {
                    // Whatever was complete was taken: go on from there.
                    tracing::debug!(component = "kubernetes", resource = self.selection.resource, %err, "A watch broke off");
                    return Ok(Next::Later);
                }
                Ok(Err(err)) => return Err(Error::Connection(err.to_string())),
                Ok(Ok(None)) if initial.is_some() => {
                    return Err(Error::Connection("a streamed list ended before it was complete".to_owned()));
                }
                Err(_) if initial.is_some() => {
                    return Err(Error::StreamRefused("the list did not end".to_owned()));
                }
                Ok(Ok(None)) | Err(_) => return self.ended(begun.elapsed()),
            }
        }
    }

    /// A watch has ended as agreed.
    fn ended(&mut self, lasted: Duration) -> Result<Next, Error> {
        if self.progress {
            return Ok(if lasted < TOO_SHORT { Next::Later } else { Next::AtOnce });
        }
        if lasted < TOO_SHORT {
            return Err(Error::Connection("a watch ended at once, without an event".to_owned()));
        }
        // Not even a bookmark in minutes: the version may be one that the server has yet to reach, as after it was
        // restored from a backup, and it would stay silent for ever.
        Err(Error::Expired)
    }

    fn take(&mut self, encoding: Encoding, event: &[u8], initial: &mut Option<u32>) -> Result<(), Error> {
        match decode::event(encoding, event)? {
            None => {}
            Some(Event::Put(object)) => {
                let version = self.put(object);
                self.reached(version, initial.is_some());
            }
            Some(Event::Delete(object)) => match self.decoder.decode(object) {
                Ok(decoded) => {
                    self.cache.remove(&decoded.key);
                    self.reached(Some(decoded.version), initial.is_some());
                }
                Err(err) => self.skip(&err),
            },
            Some(Event::Bookmark { version, initial_end }) => {
                if initial_end && let Some(generation) = initial.take() {
                    self.cache.finish(generation);
                }
                self.reached(Some(version), initial.is_some());
            }
            Some(Event::Failed { code: 410, .. }) => return Err(Error::Expired),
            Some(Event::Failed { message, .. }) if initial.is_some() => {
                return Err(Error::StreamRefused(message));
            }
            Some(Event::Failed { code, message }) => {
                return Err(Error::Status { code, message, retry_after: None });
            }
        }
        Ok(())
    }

    /// The cache is as the server was at `version`. While a full state comes it is not: its objects have versions in no
    /// order.
    fn reached(&mut self, version: Option<String>, incomplete: bool) {
        self.progress = true;
        if let Some(version) = version.filter(|version| !version.is_empty() && !incomplete) {
            self.version = Some(version);
        }
    }

    fn put(&self, object: Encoded<'_>) -> Option<String> {
        match self.decoder.decode(object) {
            Ok(mut decoded) => {
                let version = std::mem::take(&mut decoded.version);
                self.cache.put(decoded);
                Some(version)
            }
            Err(err) => {
                self.skip(&err);
                None
            }
        }
    }

    /// One object that cannot be read must not keep us from all others.
    fn skip(&self, err: &Unreadable) {
        self.cluster.metrics.failures.inc();
        tracing::warn!(component = "kubernetes", resource = self.selection.resource, %err, "Skipped an object that cannot be decoded");
    }

    /// A request that has no answer.
    fn unreached(&self, err: &impl ToString) -> Error {
        self.cluster.metrics.by_status.with(&["<error>"]).inc();
        Error::Connection(err.to_string())
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static(httpclient::USER_AGENT));
        headers.insert("accept", HeaderValue::from_static(Encoding::ACCEPT));
        headers
    }
}

fn refusal(head: &Head, body: &[u8]) -> Error {
    match head.status.as_u16() {
        410 => Error::Expired,
        code => {
            let said = decode::refusal(Encoding::of(head.header("content-type")), body);
            Error::Status {
                code,
                message: if said.is_empty() { head.status_text() } else { said },
                retry_after: head.header("retry-after").parse().ok(),
            }
        }
    }
}
