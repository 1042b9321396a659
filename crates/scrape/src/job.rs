//! A job in force: its options and what is made from them once.

use std::sync::Arc;

use exposition::registry::Gauge;
use httpclient::{Client, HeaderMap, HeaderValue, USER_AGENT};
use model::number;
use parking_lot::RwLock;

use crate::failure_log::FailureLog;
use crate::metadata::SharedMetadata;
use crate::options::{JobOptions, NameEscaping, ScrapeProtocol};
use crate::target::Target;

/// Options of a job, its client, and what its targets share.
pub(crate) struct Job {
    pub(crate) options: JobOptions,
    pub(crate) client: Client,
    pub(crate) metadata: SharedMetadata,
    /// Why no target of the job is scraped at the moment.
    pub(crate) forced_error: RwLock<Option<Arc<str>>>,
    /// Where fetches that fail are written down.
    pub(crate) failure_log: RwLock<Option<Arc<FailureLog>>>,
    /// Lines that are remembered of its targets' pages.
    pub(crate) lines: Gauge,
}

impl Job {
    pub(crate) fn new(options: JobOptions) -> Result<Self, String> {
        let client = Client::new(&options.client).map_err(|err| err.to_string())?;
        Ok(Job {
            options,
            client,
            metadata: SharedMetadata::default(),
            forced_error: RwLock::default(),
            failure_log: RwLock::default(),
            lines: Gauge::default(),
        })
    }

    /// Headers of a scrape request.
    pub(crate) fn headers(&self, target: &Target) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        if let Some(host) = target.host_with_usual_port() {
            set("host", host);
        }
        set("user-agent", USER_AGENT);
        set("accept", &accept(&self.options.scrape_protocols, self.options.name_escaping));
        set("accept-encoding", if self.options.enable_compression { "gzip" } else { "identity" });
        set("x-prometheus-scrape-timeout-seconds", &number::format_f(target.timeout.as_secs_f64()));
        headers
    }
}

/// `Accept`: the formats in order of preference, then anything. Prometheus starts counting down at one more than the
/// number of formats it knows, which is five with protobuf.
fn accept(protocols: &[ScrapeProtocol], escaping: NameEscaping) -> String {
    let mut weight = 6;
    let mut out = String::new();
    for protocol in protocols {
        out.push_str(protocol.media_type());
        if protocol.has_escaping() {
            out.push_str(";escaping=");
            out.push_str(escaping.as_str());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_lists_formats_by_weight() {
        assert_eq!(
            accept(&ScrapeProtocol::DEFAULT_ORDER, NameEscaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept(&[ScrapeProtocol::PrometheusText1_0_0], NameEscaping::Underscores),
            "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5"
        );
    }
}
