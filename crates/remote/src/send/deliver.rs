//! Sending one body, again and again until it is taken or refused for good.

use std::time::Duration;

use httpclient::{Bytes, Connection};

use super::client::{SendError, Sender, Stats};
use super::queue::{Queue, now_seconds};

/// What is sent.
pub(super) trait Content {
    /// The body of an attempt, counted from 0.
    fn body(&mut self, attempt: u32) -> Bytes;

    /// It is sent once more.
    fn retried(&self);
}

/// What the destination says that it wrote.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Delivered {
    /// With the attempt that it took.
    pub(super) last: Stats,
    /// With all attempts.
    pub(super) all: Stats,
}

/// Sends; none if that has to wait for the next start.
pub(super) async fn deliver(
    queue: &Queue,
    sender: &Sender,
    connection: &mut Connection,
    content: &mut (impl Content + Send),
) -> Option<Result<Delivered, SendError>> {
    let mut backoff = Backoff::new(queue);
    let mut all = Stats::default();
    let mut attempt = 0;
    loop {
        let body = content.body(attempt);
        let begun = std::time::Instant::now();
        let answer = tokio::select! {
            answer = sender.send(connection, body, attempt) => answer,
            () = queue.hard.cancelled() => return None,
        };
        queue.metrics.duration.observe(begun.elapsed().as_secs_f64());
        match answer {
            Ok(last) => return Some(Ok(Delivered { last, all: add(all, last) })),
            Err(error) => {
                all = add(all, error.stats);
                let Some(after) = error.again else { return Some(Err(SendError { stats: all, ..error })) };
                if !backoff.wait(after, &error.text).await {
                    return None;
                }
                content.retried();
                attempt += 1;
            }
        }
    }
}

fn add(a: Stats, b: Stats) -> Stats {
    Stats {
        samples: a.samples + b.samples,
        histograms: a.histograms + b.histograms,
        exemplars: a.exemplars + b.exemplars,
        confirmed: a.confirmed || b.confirmed,
    }
}

/// Pauses between attempts.
struct Backoff<'a> {
    queue: &'a Queue,
    pause: Duration,
}

impl<'a> Backoff<'a> {
    fn new(queue: &'a Queue) -> Self {
        Backoff { queue, pause: queue.options.queue.min_backoff }
    }

    /// Waits; false when there is no more time for that.
    async fn wait(&mut self, after: Option<Duration>, why: &str) -> bool {
        let queue = self.queue;
        let (name, url) = (&queue.options.name, &queue.options.shown_url);
        let pause = after.unwrap_or(self.pause);
        if after.is_some() {
            tracing::info!(
                component = "remote",
                remote_name = name,
                url,
                duration = ?pause,
                "Retrying after duration specified by Retry-After header"
            );
        }
        // More shards would make trouble worse.
        let twice = i64::try_from(pause.as_secs().saturating_mul(2)).unwrap_or(i64::MAX);
        let calm = now_seconds().saturating_add(twice);
        queue.keep_shards_until(calm);
        tracing::warn!(
            component = "remote",
            remote_name = name,
            url,
            err = why,
            "Failed to send batch, retrying"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = queue.finishing.cancelled() => return false,
        }
        self.pause = (pause * 2).min(queue.options.queue.max_backoff);
        true
    }
}
