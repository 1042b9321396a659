//! OVHcloud: signatures of its API (<https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api>).

use std::fmt::Write;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use httpclient::Secret;

/// The secrets of an application that acts for a customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OvhKeys {
    /// The application's name.
    pub application_key: String,
    /// The application's secret.
    pub application_secret: Secret,
    /// The customer's consent.
    pub consumer_key: Secret,
}

impl OvhKeys {
    /// What goes into `X-Ovh-Signature` of a request without content; `timestamp` is in seconds of the server's clock.
    #[must_use]
    pub fn signature(&self, method: &str, url: &str, timestamp: i64) -> String {
        let secrets = (self.application_secret.reveal(), self.consumer_key.reveal());
        let signed = format!("{}+{}+{method}+{url}++{timestamp}", secrets.0, secrets.1);
        let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes());
        sum.as_ref().iter().fold("$1$".to_owned(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_signed_with_all_its_parts() {
        let keys = OvhKeys {
            application_key: "a".into(),
            application_secret: "appsecret".into(),
            consumer_key: "consumer".into(),
        };
        let signature = keys.signature("GET", "https://eu.api.ovh.com/1.0/vps", 1_457_018_875);
        // sha1sum of appsecret+consumer+GET+https://eu.api.ovh.com/1.0/vps++1457018875
        assert_eq!(signature, "$1$2a1567827faf639f1c5225d931cec7f0601bf54f");
    }
}
