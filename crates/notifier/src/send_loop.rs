//! Sends to one Alertmanager what its queue holds.

use std::sync::Arc;
use std::time::Duration;

use httpclient::{Bytes, Client, Connection, HeaderMap, HeaderName, HeaderValue, Method, Request, Url};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alert::{Alert, to_json};
use crate::metrics::{Metrics, Of};
use crate::options::ManagerOptions;
use crate::queue::Queue;

/// Pause after a request that failed; it doubles up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// So much of an answer is read, so that the connection can be used again.
const MAX_ANSWER: usize = 64 * 1024;

/// How the Alertmanagers of a set are reached.
pub(crate) struct Way {
    pub(crate) client: Client,
    pub(crate) timeout: Duration,
}

/// One Alertmanager's queue and the task that empties it.
pub(crate) struct SendLoop {
    url: String,
    queue: Mutex<Queue>,
    work: Notify,
    stop: CancellationToken,
    batch_size: usize,
    metrics: Of,
}

/// Why alerts were not taken.
struct Failed {
    text: String,
    /// It may be better soon.
    again: bool,
}

impl SendLoop {
    /// Begins to send; the task ends after [`stop`](Self::stop).
    pub(crate) fn start(
        url: &str,
        way: Arc<RwLock<Arc<Way>>>,
        options: &ManagerOptions,
        metrics: &Metrics,
        tasks: &tokio_util::task::TaskTracker,
    ) -> Arc<Self> {
        let send_loop = Arc::new(SendLoop {
            url: url.to_owned(),
            queue: Mutex::new(Queue::new(options.queue_capacity)),
            work: Notify::new(),
            stop: CancellationToken::new(),
            batch_size: options.batch_size.max(1),
            metrics: metrics.of(url),
        });
        let (running, metrics, drain) = (Arc::clone(&send_loop), metrics.clone(), options.drain);
        tasks.spawn(async move {
            running.run(&way, drain).await;
            metrics.forget(&running.url);
        });
        send_loop
    }

    pub(crate) fn add(&self, alerts: &[Arc<Alert>]) {
        if self.stop.is_cancelled() {
            return;
        }
        let mut queue = self.queue.lock();
        let lost = queue.add(alerts);
        self.metrics.queue_length.set(queue.len() as f64);
        drop(queue);
        if lost > 0 {
            self.metrics.dropped.add(lost as f64);
            tracing::warn!(
                component = "notifier",
                alertmanager = self.url,
                count = lost,
                "Alert notification queue full, dropping alerts"
            );
        }
        self.work.notify_one();
    }

    /// Nothing more is taken. What waits is sent first, or dropped.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    async fn run(&self, way: &RwLock<Arc<Way>>, drain: bool) {
        let mut open: Option<(Arc<Way>, Connection)> = None;
        let mut pause = PAUSES.0;
        while !self.stop.is_cancelled() {
            let batch = self.take();
            if batch.is_empty() {
                tokio::select! {
                    () = self.work.notified() => {}
                    () = self.stop.cancelled() => {}
                }
                continue;
            }
            match self.send(way, &mut open, &batch).await {
                Ok(()) => pause = PAUSES.0,
                Err(true) => {
                    self.put_back(batch);
                    let _ = tokio::time::timeout(pause, self.stop.cancelled()).await;
                    pause = (pause * 2).min(PAUSES.1);
                    self.queue.lock().keep_newest();
                }
                Err(false) => self.metrics.dropped.add(batch.len() as f64),
            }
        }
        if drain {
            self.drain(way, &mut open).await;
        }
        let left = self.queue.lock().len();
        if left > 0 {
            self.metrics.dropped.add(left as f64);
            tracing::warn!(
                component = "notifier",
                alertmanager = self.url,
                count = left,
                "Alert notification queue not drained on shutdown, dropping alerts"
            );
        }
    }

    /// Sends what waits; an Alertmanager that does not answer now is not waited for.
    async fn drain(&self, way: &RwLock<Arc<Way>>, open: &mut Option<(Arc<Way>, Connection)>) {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            match self.send(way, open, &batch).await {
                Ok(()) => {}
                Err(true) => {
                    self.put_back(batch);
                    return;
                }
                Err(false) => self.metrics.dropped.add(batch.len() as f64),
            }
        }
    }

    fn take(&self) -> Vec<Arc<Alert>> {
        let mut queue = self.queue.lock();
        let batch = queue.take(self.batch_size);
        self.metrics.queue_length.set(queue.len() as f64);
        batch
    }

    fn put_back(&self, batch: Vec<Arc<Alert>>) {
        let mut queue = self.queue.lock();
        let lost = queue.put_back(batch);
        self.metrics.queue_length.set(queue.len() as f64);
        self.metrics.dropped.add(lost as f64);
    }

    /// Sends a batch. An error says whether it may be tried again.
    async fn send(
        &self,
        way: &RwLock<Arc<Way>>,
        open: &mut Option<(Arc<Way>, Connection)>,
        batch: &[Arc<Alert>],
    ) -> Result<(), bool> {
        let now = Arc::clone(&way.read());
        // The way may have changed since the last batch: other certificates, other credentials.
        let known = open.take().filter(|(known, _)| Arc::ptr_eq(known, &now));
        let (way, connection) = open.insert(known.unwrap_or_else(|| {
            let connection = now.client.connection();
            (now, connection)
        }));
        let began = Instant::now();
        match post(&self.url, way, connection, to_json(batch)).await {
            Ok(()) => {
                self.metrics.latency.observe(began.elapsed().as_secs_f64());
                self.metrics.sent.add(batch.len() as f64);
                Ok(())
            }
            Err(failed) => {
                self.metrics.errors.add(batch.len() as f64);
                tracing::error!(
                    component = "notifier",
                    alertmanager = self.url,
                    count = batch.len(),
                    err = failed.text,
                    "Error sending alerts"
                );
                Err(failed.again)
            }
        }
    }
}

async fn post(url: &str, way: &Way, connection: &mut Connection, body: String) -> Result<(), Failed> {
    let url = Url::parse(url).map_err(|error| Failed { text: format!("{url}: {error}"), again: false })?;
    let mut headers = HeaderMap::new();
    for (name, value) in [("user-agent", httpclient::USER_AGENT), ("content-type", "application/json")] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let request = Request { method: Method::POST, url: &url, headers: &headers, content: Bytes::from(body) };
    let deadline = Instant::now() + way.timeout;
    let begun = connection.begin(&request, deadline).await;
    let (head, mut answer) = begun.map_err(|error| Failed { text: error.to_string(), again: true })?;
    let mut read = 0;
    let whole = tokio::time::timeout_at(deadline, async {
        while let Ok(Some(piece)) = answer.chunk().await {
            read += piece.len();
            if read > MAX_ANSWER {
                return false;
            }
        }
        true
    });
    // The status decides, whatever becomes of the body.
    if !whole.await.unwrap_or(false) {
        connection.close();
    }
    let status = head.status.as_u16();
    match status / 100 {
        2 => Ok(()),
        class => Err(Failed {
            text: format!("bad response status {}", head.status_text()),
            again: class == 5 || status == 429,
        }),
    }
}
