//! One attempt to send a body, and what its outcome means.

use std::time::{Duration, SystemTime};

use httpclient::{
    Body, Bytes, Client, Connection, Head, HeaderMap, HeaderName, HeaderValue, Method, Request, USER_AGENT,
};
use tokio::time::{Instant, timeout_at};

use super::options::WriteOptions;
use crate::MessageType;

/// So much of an answer's body becomes part of an error.
const MAX_ERROR: usize = 1024;
/// So much of it is read, so that the connection can be used again.
const MAX_BODY: usize = 64 * 1024;

/// What the destination says that it wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stats {
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) exemplars: usize,
    /// It said so.
    pub(super) confirmed: bool,
}

/// Why an attempt failed.
#[derive(Debug)]
pub(super) struct SendError {
    pub(super) text: String,
    /// Whether to try again, and if the destination says so, after how long.
    pub(super) again: Option<Option<Duration>>,
    pub(super) stats: Stats,
}

/// Sends to one place.
pub(super) struct Sender {
    options: WriteOptions,
    client: Client,
    headers: HeaderMap,
}

impl Sender {
    pub(super) fn new(options: &WriteOptions) -> Result<Self, String> {
        let client = Client::new(&options.client).map_err(|e| e.to_string())?;
        let client = match &options.signer {
            Some(signer) => client.with_signer(signer.clone()),
            None => client,
        };
        let message = options.message;
        let headers = headers_of(
            &[
                ("content-encoding", "snappy"),
                ("content-type", message.content_type()),
                ("user-agent", USER_AGENT),
                ("x-prometheus-remote-write-version", message.version()),
            ],
            &options.headers,
        )?;
        Ok(Sender { options: options.clone(), client, headers })
    }

    pub(super) fn connection(&self) -> Connection {
        self.client.connection()
    }

    /// Sends a body. `attempt` counts from 0.
    pub(super) async fn send(
        &self,
        connection: &mut Connection,
        content: Bytes,
        attempt: u32,
    ) -> Result<Stats, SendError> {
        let mut headers = self.headers.clone();
        if attempt > 0 {
            headers.insert(HeaderName::from_static("retry-attempt"), HeaderValue::from(attempt));
        }
        let request = Request { method: Method::POST, url: &self.options.url, headers: &headers, content };
        let deadline = Instant::now() + self.options.timeout;
        let (head, mut incoming) = match connection.begin(&request, deadline).await {
            Ok(answered) => answered,
            // From the network: it may be better soon.
            Err(error) => {
                return Err(SendError {
                    text: error.to_string(),
                    again: Some(None),
                    stats: Stats::default(),
                });
            }
        };
        let mut body = Vec::new();
        let whole = timeout_at(deadline, read(&mut incoming, &mut body)).await.unwrap_or(false);
        if !whole {
            connection.close();
        }
        self.judge(&head, &body)
    }

    fn judge(&self, head: &Head, body: &[u8]) -> Result<Stats, SendError> {
        let stats = stats_of(head);
        let status = head.status.as_u16();
        if status / 100 == 2 {
            return Ok(stats);
        }
        let said = String::from_utf8_lossy(body.get(..MAX_ERROR).unwrap_or(body));
        let text = format!("server returned HTTP status {}: {}", head.status_text(), said.trim_end());
        let slow_down = status == 429 && self.options.queue.retry_on_http_429;
        let again = (status / 100 == 5 || slow_down).then(|| retry_after(head.header("retry-after")));
        Err(SendError { text, again, stats })
    }
}

/// Reads a body as far as it is of use, and says whether that is all of it. The status decides, whatever becomes of the body: a
/// page of errors may be as long as it likes.
async fn read(incoming: &mut Body<'_>, body: &mut Vec<u8>) -> bool {
    loop {
        match incoming.chunk().await {
            Ok(Some(_)) if body.len() > MAX_BODY => return false,
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// The headers of the protocol and those that somebody adds.
pub(crate) fn headers_of(
    own: &[(&'static str, &'static str)],
    added: &[(String, String)],
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in own {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for (name, value) in added {
        let parsed = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()));
        let (Ok(name), Ok(value)) = parsed else { return Err(format!("header {name} cannot be sent")) };
        headers.insert(name, value);
    }
    Ok(headers)
}

fn stats_of(head: &Head) -> Stats {
    let mut stats = Stats::default();
    for (name, count) in [
        ("x-prometheus-remote-write-samples-written", &mut stats.samples),
        ("x-prometheus-remote-write-histograms-written", &mut stats.histograms),
        ("x-prometheus-remote-write-exemplars-written", &mut stats.exemplars),
    ] {
        if let Ok(number) = head.header(name).parse() {
            *count = number;
            stats.confirmed = true;
        }
    }
    stats
}

/// In seconds, or the time of the day. In the past, or unreadable: as if it were not there.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<i64>() {
        return u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
    }
    let at = http_date(text)? / 1000;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    u64::try_from(at).ok()?.checked_sub(now).filter(|left| *left > 0).map(Duration::from_secs)
}

/// `Wed, 21 Oct 2015 07:28:00 GMT` as milliseconds since the Unix epoch.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    model::timestamp::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z"))
}

/// Whether a request of 2.0 was most likely not understood: there is no other way to find out.
pub(super) fn wrote_nothing(message: MessageType, stats: Stats, sent: [usize; 3]) -> Option<String> {
    let [samples, histograms, exemplars] = sent;
    if message == MessageType::V1
        || samples + histograms + exemplars == 0
        || stats.samples + stats.histograms + stats.exemplars > 0
    {
        return None;
    }
    Some(format!(
        "sent v2 request with {samples} samples, {histograms} histograms and {exemplars} exemplars; got 2xx, but PRW 2.0 response header statistics indicate {} samples, {} histograms and {} exemplars were accepted; assumining failure e.g. the target only supports PRW 1.0 prometheus.WriteRequest, but does not check the Content-Type header correctly",
        stats.samples, stats.histograms, stats.exemplars
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_headers_are_read() {
        assert_eq!(http_date("Wed, 21 Oct 2015 07:28:00 GMT"), Some(1_445_412_480_000));
        assert_eq!(http_date("tomorrow"), None);
        assert_eq!(retry_after("3"), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("-3"), None);
        assert_eq!(retry_after("18446744073709551615"), None);
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT"), None);
    }
}
