//! `scrape_failure_log_file`: each fetch that failed, a line of JSON with Prometheus' fields.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use model::timestamp::format_rfc3339_nanos;
use parking_lot::Mutex;

/// A file that failed fetches are appended to; jobs that name the same file share it.
#[derive(Debug)]
pub(crate) struct FailureLog(Mutex<File>);

impl FailureLog {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(FailureLog(Mutex::new(File::options().append(true).create(true).open(path)?)))
    }

    /// A line that cannot be written is lost: scraping goes on.
    pub(crate) fn write(&self, reason: &str, job: &str, url: &str) {
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let time = format_rfc3339_nanos(i128::try_from(nanos).unwrap_or(i128::MAX));
        let line = line(&time, reason, job, url);
        let _ = self.0.lock().write_all(line.as_bytes());
    }
}

fn line(time: &str, reason: &str, job: &str, url: &str) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let (reason, job, url) = (text(reason), text(job), text(url));
    let source = concat!("failure_log.rs:", line!());
    format!(
        "{{\"time\":\"{time}\",\"level\":\"ERROR\",\"source\":\"{source}\",\"msg\":{reason},\"job_name\":{job},\"target\":{url}}}\n"
    )
}

/// The files of all jobs, opened anew: one that was moved away is followed by a new one.
#[derive(Debug, Default)]
pub(crate) struct FailureLogs(BTreeMap<PathBuf, Arc<FailureLog>>);

impl FailureLogs {
    /// The log at `path`, opened when it is asked for first.
    pub(crate) fn get(&mut self, path: Option<&Path>) -> io::Result<Option<Arc<FailureLog>>> {
        let Some(path) = path else { return Ok(None) };
        if let Some(open) = self.0.get(path) {
            return Ok(Some(open.clone()));
        }
        let log = Arc::new(FailureLog::open(path)?);
        self.0.insert(path.to_owned(), log.clone());
        Ok(Some(log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_prometheus_fields_in_its_order() {
        let line = line("2026-11-21T22:59:28Z", "Get \"http://a<b\": no", "j\"1", "http://a/b?c=d&e");
        let (before, after) = line.split_once(",\"source\":\"failure_log.rs:").unwrap_or_default();
        assert_eq!(before, r#"{"time":"2026-11-21T22:59:28Z","level":"ERROR""#);
        let (_, after) = after.split_once("\",").unwrap_or_default();
        assert_eq!(
            after,
            "\"msg\":\"Get \\\"http://a<b\\\": no\",\"job_name\":\"j\\\"1\",\"target\":\"http://a/b?c=d&e\"}\n"
        );
    }
}
