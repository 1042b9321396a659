//! What the server tells its users about itself: `/api/v1/notifications`, and the same as it changes at
//! `/api/v1/notifications/live`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use exposition::registry::{Counter, Registry};
use exposition::{Family, MetricKind};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use model::Labels;
use model::timestamp::format_rfc3339_nanos;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::reply::{Answer, Body, Reply, success};
use crate::request::Request;
use crate::{Api, json};

/// Updates that wait for a subscriber; more are lost to it.
const WAITING: usize = 10;

/// A state of the server that its users should know of, in the words of Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The configuration file was refused: the old one goes on running.
    ReloadFailed,
    /// The log is being replayed.
    StartingUp,
    /// The process is about to end.
    ShuttingDown,
}

impl Notice {
    fn text(self) -> &'static str {
        match self {
            Notice::ReloadFailed => "Configuration reload has failed.",
            Notice::StartingUp => "Prometheus is starting and replaying the write-ahead log (WAL).",
            Notice::ShuttingDown => "Prometheus is shutting down and gracefully stopping all operations.",
        }
    }
}

type Subscriber = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// The notices in force, and who wants to hear of changes.
pub struct Notifications {
    state: Arc<Mutex<State>>,
    max_subscribers: usize,
    sent: Counter,
    dropped: Counter,
}

#[derive(Default)]
struct State {
    /// Each with the time since which it is in force, in nanoseconds since the Unix epoch.
    notices: Vec<(Notice, i128)>,
    subscribers: Vec<Subscriber>,
    /// No more subscribers: the process ends.
    closed: bool,
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifications").finish_non_exhaustive()
    }
}

impl Notifications {
    /// None yet. At most `max_subscribers` hear of changes at once.
    #[must_use]
    pub fn new(registry: &Registry, max_subscribers: usize) -> Notifications {
        let state = Arc::new(Mutex::new(State::default()));
        let counted = Arc::clone(&state);
        registry.collector(move |out| {
            let mut active = Family::new(
                "prometheus_api_notification_active_subscribers",
                "The current number of active notification subscribers.",
                MetricKind::Gauge,
            );
            let listening = counted.lock().subscribers.iter().filter(|s| !s.is_closed()).count();
            active.push(Labels::default(), listening as f64);
            out.push(active);
        });
        Notifications {
            state,
            max_subscribers,
            sent: registry.counter(
                "prometheus_api_notification_updates_sent_total",
                "Total number of notification updates sent.",
            ),
            dropped: registry.counter(
                "prometheus_api_notification_updates_dropped_total",
                "Total number of notification updates dropped.",
            ),
        }
    }

    /// Puts a notice in force; one that is already gets a new date.
    pub fn add(&self, notice: Notice) {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(0));
        let mut state = self.state.lock();
        match state.notices.iter_mut().find(|(known, _)| *known == notice) {
            Some((_, date)) => *date = now,
            None => state.notices.push((notice, now)),
        }
        self.tell(&mut state, notice, now, true);
    }

    /// Takes a notice back, if it is in force.
    pub fn remove(&self, notice: Notice) {
        let mut state = self.state.lock();
        if let Some(at) = state.notices.iter().position(|(known, _)| *known == notice) {
            let (_, date) = state.notices.remove(at);
            self.tell(&mut state, notice, date, false);
        }
    }

    /// Says that the process ends, and ends the streams: whoever waits for connections to end need not wait for them.
    pub fn shut_down(&self) {
        let is_known = self.state.lock().notices.iter().any(|(known, _)| *known == Notice::ShuttingDown);
        if !is_known {
            self.add(Notice::ShuttingDown);
        }
        let mut state = self.state.lock();
        state.closed = true;
        state.subscribers.clear();
    }

    fn tell(&self, state: &mut State, notice: Notice, date: i128, active: bool) {
        state.subscribers.retain(|subscriber| !subscriber.is_closed());
        let event = event(notice, date, active);
        for subscriber in &state.subscribers {
            self.sent.inc();
            if subscriber.try_send(Ok(event.clone())).is_err() {
                self.dropped.inc();
            }
        }
    }

    /// What is in force, then each change; none when there are too many who listen already.
    fn subscribe(&self) -> Option<mpsc::Receiver<Result<Bytes, std::io::Error>>> {
        let mut state = self.state.lock();
        state.subscribers.retain(|subscriber| !subscriber.is_closed());
        if state.closed || state.subscribers.len() >= self.max_subscribers {
            return None;
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        for &(notice, date) in &state.notices {
            // There is room: there are fewer kinds of notices than places.
            let _ = sender.try_send(Ok(event(notice, date, true)));
        }
        state.subscribers.push(sender);
        Some(receiver)
    }
}

fn event(notice: Notice, date: i128, active: bool) -> Bytes {
    let mut out = String::from("data: ");
    write(&mut out, notice, date, active);
    out.push_str("\n\n");
    out.into()
}

fn write(out: &mut String, notice: Notice, date: i128, active: bool) {
    out.push('{');
    json::field(out, "text", notice.text());
    json::field(out, "date", &format_rfc3339_nanos(date));
    json::raw_field(out, "active", active);
    out.push('}');
}

pub(crate) async fn list(api: Arc<Api>, _: Request) -> Answer {
    let mut out = String::from("[");
    for &(notice, date) in &api.options.notifications.state.lock().notices {
        json::comma(&mut out);
        write(&mut out, notice, date, true);
    }
    out.push(']');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn live(api: Arc<Api>, _: Request) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(match api.options.notifications.subscribe() {
        Some(events) => Reply { status: StatusCode::OK, headers, body: Body::Pieces(events) },
        // What tells an `EventSource` of a browser not to try again.
        None => Reply { status: StatusCode::NO_CONTENT, headers, body: Body::Whole(Bytes::new()) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(events: &mut mpsc::Receiver<Result<Bytes, std::io::Error>>) -> Vec<String> {
        std::iter::from_fn(|| events.try_recv().ok())
            .map(|event| String::from_utf8_lossy(&event.unwrap_or_default()).into_owned())
            .collect()
    }

    #[test]
    fn subscribers_hear_what_is_and_what_changes_until_the_end() {
        let notifications = Notifications::new(&Registry::new(), 1);
        notifications.add(Notice::StartingUp);
        let mut events = notifications.subscribe().into_iter().next().unwrap_or_else(|| mpsc::channel(1).1);
        assert!(notifications.subscribe().is_none(), "one is the limit");
        notifications.remove(Notice::StartingUp);
        notifications.remove(Notice::StartingUp);
        let heard = texts(&mut events);
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(heard[0].starts_with(r#"data: {"text":"Prometheus is starting"#), "{heard:?}");
        assert!(heard[1].ends_with("\"active\":false}\n\n"), "{heard:?}");
        drop(events);
        let mut next = notifications.subscribe();
        assert!(next.is_some(), "the place is free again");
        notifications.add(Notice::ShuttingDown);
        notifications.shut_down();
        let heard = next.as_mut().map(texts).unwrap_or_default();
        assert!(heard.len() == 1 && heard[0].contains("shutting down"), "{heard:?}");
        assert!(next.is_some_and(|n| n.is_closed()), "the stream ends");
        assert!(notifications.subscribe().is_none());
    }
}
