//! URLs rendered as Go's `net/url` renders them, since users compare them with Prometheus'.

use std::collections::BTreeMap;
use std::fmt::Write;

/// `scheme://host/path?params`, parameters sorted by name.
pub(crate) fn render(scheme: &str, host: &str, path: &str, params: &BTreeMap<String, Vec<String>>) -> String {
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push(':');
    }
    out.push_str("//");
    escape(&mut out, host, b"!$&'()*+,;=:[]<>\"");
    if !path.is_empty() && !path.starts_with('/') {
        out.push('/');
    }
    escape(&mut out, path, b"$&+,/:;=@");
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            out.push(separator);
            separator = '&';
            escape_query(&mut out, name);
            out.push('=');
            escape_query(&mut out, value);
        }
    }
    out
}

fn escape(out: &mut String, text: &str, also_plain: &[u8]) {
    for &b in text.as_bytes() {
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || also_plain.contains(&b) {
            out.push(b as char);
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
}

fn escape_query(out: &mut String, text: &str) {
    for (i, part) in text.split(' ').enumerate() {
        if i > 0 {
            out.push('+');
        }
        escape(out, part, b"");
    }
}

/// How others reach this process, for links to targets on this machine.
#[derive(Debug, Clone)]
pub struct ExternalAddress {
    /// `host:port` of the external URL.
    pub host: String,
    /// The port of the listen address.
    pub listen_port: String,
}

/// The URL with a host that means "this machine" replaced by the name others know it by.
pub(crate) fn global(url: &str, external: &ExternalAddress) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((host, port)) = split_host_port(authority) else { return url.to_owned() };
    if !["127.0.0.1", "localhost", "::1"].contains(&host) {
        return url.to_owned();
    }
    if port == external.listen_port {
        return format!("{scheme}://{}{path}", external.host);
    }
    let name = split_host_port(&external.host).map_or(external.host.as_str(), |(name, _)| name);
    format!("{scheme}://{name}:{port}{path}")
}

/// `net.SplitHostPort`.
fn split_host_port(authority: &str) -> Option<(&str, &str)> {
    let (host, port) = authority.rsplit_once(':')?;
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => Some((inner, port)),
        None if host.contains([':', '[', ']']) => None,
        None => Some((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_escaped_as_in_go() {
        let params = BTreeMap::from([
            ("match[]".to_owned(), vec!["{job=\"a b\"}".to_owned(), "é".to_owned()]),
            ("a".to_owned(), vec!["1".to_owned()]),
        ]);
        assert_eq!(
            render("http", "h:1", "federate x?y", &params),
            "http://h:1/federate%20x%3Fy?a=1&match%5B%5D=%7Bjob%3D%22a+b%22%7D&match%5B%5D=%C3%A9"
        );
    }

    #[test]
    fn local_hosts_become_the_external_one() {
        let external =
            ExternalAddress { host: "prom.example:9090".to_owned(), listen_port: "9090".to_owned() };
        for (url, expected) in [
            ("http://127.0.0.1:9090/metrics", "http://prom.example:9090/metrics"),
            ("http://localhost:9100/metrics?a=b", "http://prom.example:9100/metrics?a=b"),
            ("http://[::1]:80/metrics", "http://prom.example:80/metrics"),
            ("http://::1/metrics", "http://::1/metrics"),
            ("http://other:9100/", "http://other:9100/"),
            ("http://localhost/metrics", "http://localhost/metrics"),
        ] {
            assert_eq!(global(url, &external), expected);
        }
    }
}
