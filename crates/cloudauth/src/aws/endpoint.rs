//! Where a service of a region is.

use crate::environment::Environment;

/// A service as its endpoints, its signatures and its variables call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// First part of the host's name: `ec2`, `kafka`.
    pub host: &'static str,
    /// Name in signatures.
    pub signing: &'static str,
    /// End of `AWS_ENDPOINT_URL_…`.
    pub variable: &'static str,
}

pub(crate) const STS: Service = Service { host: "sts", signing: "sts", variable: "STS" };

/// What the names of hosts end in, by how the region's name begins.
const SUFFIXES: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("us-iso-", "c2s.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
];

/// The URL of a service: what the environment says, or the region's own.
pub(crate) fn url(service: Service, region: &str, fips: bool, environment: &Environment) -> String {
    let ignored = environment
        .get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let own = format!("AWS_ENDPOINT_URL_{}", service.variable);
    if let Some(url) = environment.first(&[&own, "AWS_ENDPOINT_URL"]).filter(|_| !ignored) {
        return url.to_owned();
    }
    let suffix = SUFFIXES.iter().find(|(prefix, _)| region.starts_with(prefix));
    let suffix = suffix.map_or("amazonaws.com", |(_, suffix)| suffix);
    let fips = if fips { "-fips" } else { "" };
    format!("https://{}{fips}.{region}.{suffix}", service.host)
}
