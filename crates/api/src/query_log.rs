//! The query log (`global.query_log_file`): each query that ran, a line of JSON with Prometheus' fields.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use exposition::registry::{Counter, Gauge, Registry};
use model::go_json::{Encoder, push_string};
use model::timestamp::format_rfc3339_nanos;
use parking_lot::Mutex;

use crate::json;

/// Where queries are written down, if anywhere. The configuration says where.
pub struct QueryLog {
    file: Mutex<Option<File>>,
    enabled: Gauge,
    failures: Counter,
}

/// A file that can take the place of the one in use, or none.
#[derive(Debug)]
pub struct OpenedLog(Option<File>);

/// A query that ran.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) query: &'a str,
    /// First and last step, in milliseconds since the Unix epoch.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// In milliseconds; 0 for a query at one time.
    pub(crate) step: i64,
    pub(crate) error: Option<String>,
    /// As the API answers them.
    pub(crate) stats: &'a str,
    pub(crate) asked_by: &'a Asker,
}

/// The request that brought a query.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl QueryLog {
    /// A log that is off.
    #[must_use]
    pub fn new(registry: &Registry) -> QueryLog {
        QueryLog {
            file: Mutex::new(None),
            enabled: registry.gauge("prometheus_engine_query_log_enabled", "State of the query log."),
            failures: registry
                .counter("prometheus_engine_query_log_failures_total", "The number of query log failures."),
        }
    }

    /// Opens the file at `path`, to be appended to; `None` is for no log. It is opened anew each time, so that one that
    /// was moved away is followed by a new one.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn open(path: Option<&Path>) -> io::Result<OpenedLog> {
        let open = |path| File::options().append(true).create(true).open(path);
        Ok(OpenedLog(path.map(open).transpose()?))
    }

    /// From now on queries are written there.
    pub fn switch_to(&self, opened: OpenedLog) {
        self.enabled.set(f64::from(u8::from(opened.0.is_some())));
        *self.file.lock() = opened.0;
    }

    /// Whether queries are written down.
    pub(crate) fn is_on(&self) -> bool {
        self.file.lock().is_some()
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let mut file = self.file.lock();
        let Some(open) = &mut *file else { return };
        if open.write_all(line(entry, SystemTime::now()).as_bytes()).is_err() {
            self.failures.inc();
        }
    }
}

impl std::fmt::Debug for QueryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryLog").field("on", &self.is_on()).finish()
    }
}

fn line(entry: &Entry<'_>, now: SystemTime) -> String {
    let nanos = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let mut out = String::from("{");
    json::field(&mut out, "time", &format_rfc3339_nanos(i128::try_from(nanos).unwrap_or(i128::MAX)));
    json::field(&mut out, "level", "INFO");
    json::field(&mut out, "source", concat!("query_log.rs:", line!()));
    json::field(&mut out, "msg", "promql query logged");
    json::key(&mut out, "params");
    out.push('{');
    json::field(&mut out, "end", &with_millis(entry.end));
    plain_field(&mut out, "query", entry.query);
    json::field(&mut out, "start", &with_millis(entry.start));
    json::raw_field(&mut out, "step", entry.step / 1000);
    out.push('}');
    if let Some(error) = &entry.error {
        plain_field(&mut out, "error", error);
    }
    json::raw_field(&mut out, "stats", entry.stats);
    json::field(&mut out, "spanID", "0000000000000000");
    json::field(&mut out, "traceID", "00000000000000000000000000000000");
    json::key(&mut out, "httpRequest");
    out.push('{');
    let client = entry.asked_by.client.map_or_else(String::new, |client| client.to_canonical().to_string());
    json::field(&mut out, "clientIP", &client);
    json::field(&mut out, "method", &entry.asked_by.method);
    json::field(&mut out, "path", &entry.asked_by.path);
    out.push_str("}}\n");
    out
}

/// A time with exactly three decimals.
fn with_millis(t: i64) -> String {
    let whole = model::timestamp::format_rfc3339(t - t.rem_euclid(1000));
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), t.rem_euclid(1000))
}

/// As loggers write it, which do not care about HTML.
fn plain_field(out: &mut String, name: &str, text: &str) {
    json::key(out, name);
    push_string(out, text, Encoder::Plain);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn entry(asked_by: &Asker) -> Entry<'_> {
        Entry {
            query: "up > \"x\"",
            start: 1_700_002_800_250,
            end: 1_700_002_860_000,
            step: 15_500,
            error: Some("no".to_owned()),
            stats: "{}",
            asked_by,
        }
    }

    fn asker() -> Asker {
        Asker {
            client: Some("::ffff:127.0.0.1".parse().unwrap()),
            method: "POST".to_owned(),
            path: "/api/v1/query_range".to_owned(),
        }
    }

    #[test]
    fn lines_have_prometheus_fields_in_its_order() {
        let line = line(&entry(&asker()), UNIX_EPOCH + Duration::new(1_700_003_000, 120));
        let (before, after) = line.split_once(r#""source":""#).unwrap();
        assert_eq!(before, r#"{"time":"2023-11-14T23:03:20.00000012Z","level":"INFO","#);
        let (_, after) = after.split_once(r#"","#).unwrap();
        let params = r#""params":{"end":"2023-11-14T23:01:00.000Z","query":"up > \"x\"","start":"2023-11-14T23:00:00.250Z","step":15}"#;
        let request =
            r#""httpRequest":{"clientIP":"127.0.0.1","method":"POST","path":"/api/v1/query_range"}"#;
        let want = format!(
            r#""msg":"promql query logged",{params},"error":"no","stats":{{}},"spanID":"0000000000000000","traceID":"00000000000000000000000000000000",{request}}}"#
        );
        assert_eq!(after.trim_end(), want);
    }

    #[test]
    fn the_file_is_opened_anew_and_only_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.log");
        let log = QueryLog::new(&Registry::new());
        log.write(&entry(&asker()));
        std::fs::write(&path, "before\n").unwrap();
        log.switch_to(QueryLog::open(Some(&path)).unwrap());
        log.write(&entry(&asker()));
        assert!(QueryLog::open(Some(&dir.path().join("none/q.log"))).is_err());
        log.write(&entry(&asker()));
        let lines = std::fs::read_to_string(&path).unwrap();
        assert_eq!(lines.lines().count(), 3);
        assert!(lines.starts_with("before\n{"));
        log.switch_to(QueryLog::open(None).unwrap());
        assert!(!log.is_on());
    }
}
